import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Lru } from '../lru.js';

describe('Lru', () => {
  it('keeps what was used last', () => {
    const lru = new Lru(2).set('a', 1).set('b', 2);
    lru.get('a');
    lru.set('c', 3);
    assert.equal(lru.get('b'), undefined);
    assert.equal(lru.get('a'), 1);
    assert.equal(lru.size, 2);
  });

  it('takes a new value for an old key', () => {
    const lru = new Lru(1).set('a', 1).set('a', 2);
    assert.equal(lru.get('a'), 2);
  });

  for (const limit of [0, -1, 1.5, NaN, '2']) {
    it(`refuses a limit of ${String(limit)}`, () => {
      assert.throws(() => new Lru(limit), RangeError);
    });
  }
});
