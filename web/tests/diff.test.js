import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readable } from '../lib/diff.js';
import { differ, hunks, key } from '../lib/differ.js';

const kinds = (message) => readable(message).map(({ kind }) => kind);
const marked = (message) => readable(message).map(({ text, mark }) => mark && text.slice(...mark));

describe('a failure’s message', () => {
  it('shows the differences that frameworks print', () => {
    assert.deepEqual(kinds('+ actual - expected\n\n+ 1\n- 2'), ['plus', 'plain', 'plus', 'minus']);
    assert.deepEqual(kinds('E   AssertionError\nE     - foo\nE     + bar\nE     ? ^^^'), ['plain', 'minus', 'plus', 'hint']);
    assert.deepEqual(kinds('--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y\n same'), ['plain', 'plain', 'hunk', 'minus', 'plus', 'plain']);
    assert.deepEqual(kinds('- Expected  - 1\n+ Received  + 1\n\n  Object {\n-   "a": 1,\n+   "a": 2,'), [
      'minus',
      'plus',
      'plain',
      'plain',
      'minus',
      'plus',
    ]);
  });

  it('pairs expected and actual, and marks in what they differ', () => {
    assert.deepEqual(kinds('assertion failed\n  left: 503\n right: 200'), ['plain', 'plus', 'minus']);
    assert.deepEqual(marked('expected: "a cat sat"\n     got: "a bat sat"'), ['c', 'b']);
    assert.deepEqual(marked('Expected: 1\nReceived: 12'), ['', '2']);
  });

  it('is left alone where there is no difference', () => {
    for (const text of ['plain', 'a list:\n- one\n- two', 'expected: 5', 'got: 3', '', 'x\n---\ny', 'a: b\nc = d']) {
      assert.ok(
        kinds(text).every((kind) => kind === 'plain'),
        text,
      );
    }
  });

  it('loses nothing but escapes', () => {
    const text = '\x1b[31m- a\x1b[0m\n+ <b>\n  c';
    assert.deepEqual(
      readable(text).map((line) => line.text),
      ['- a', '+ <b>', '  c'],
    );
  });
});

describe('two logs', () => {
  it('differ by as little as can be, and the difference leads from one to the other', () => {
    let seed = 11;
    const next = (n) => {
      seed = (seed * 48271) % 2147483647;
      return seed % n;
    };
    for (let round = 0; round < 300; round += 1) {
      const text = () => Array.from({ length: next(14) }, () => 'abc'[next(3)]);
      const [a, b] = [text(), text()];
      const changes = differ(a, b);
      assert.deepEqual(
        changes.filter(({ sign }) => sign !== '+').map(({ a: at }) => a[at]),
        a,
      );
      assert.deepEqual(
        changes.filter(({ sign }) => sign !== '-').map(({ b: at }) => b[at]),
        b,
      );
      for (const { sign, a: x, b: y } of changes) if (sign === ' ') assert.equal(a[x], b[y]);
      // The longest common subsequence by the plain table.
      const table = Array.from({ length: a.length + 1 }, () => new Array(b.length + 1).fill(0));
      for (let i = 1; i <= a.length; i += 1) {
        for (let j = 1; j <= b.length; j += 1) {
          table[i][j] = a[i - 1] === b[j - 1] ? table[i - 1][j - 1] + 1 : Math.max(table[i - 1][j], table[i][j - 1]);
        }
      }
      assert.equal(changes.filter(({ sign }) => sign === ' ').length, table[a.length][b.length], `${a} ${b}`);
    }
  });

  it('are given up when they have too little in common', () => {
    const many = (prefix) => Array.from({ length: 400 }, (_, i) => `${prefix}${i}`);
    assert.equal(differ(many('a'), many('b'), 100), null);
    assert.equal(differ(['x', ...many('a')], ['y', ...many('a')], 2).length, 402);
  });

  it('show what is around a change, and how much was left out', () => {
    const same = Array.from({ length: 20 }, (_, i) => String(i));
    const shown = hunks(differ(same, [...same.slice(0, 10), 'new', ...same.slice(10)]));
    assert.deepEqual(
      shown.map(({ sign, count }) => (sign === '…' ? count : sign)),
      [7, ' ', ' ', ' ', '+', ' ', ' ', ' ', 7],
    );
  });

  it('may differ in numbers without differing', () => {
    assert.equal(key('took 12 ms at 0xdeadBEEF', { numbers: false }), key('took 7 ms at 0x1', { numbers: false }));
    assert.notEqual(key('took 12 ms'), key('took 7 ms'));
    assert.equal(key('\x1b[32mok\x1b[0m'), 'ok');
  });
});
