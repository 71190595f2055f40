import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isNew, lastOf, newOnes } from '../lib/past.js';

/** @returns {any} */
const job = (id, submitted, more = {}) => ({ id, submitted, rerun_of: null, files_total: 1, ...more });

describe('the job before', () => {
  it('is the newest older one that ran all its files', () => {
    const jobs = [job('f', 9), job('e', 5, { files_total: 0 }), job('d', 4, { rerun_of: 'b' }), job('b', 2), job('a', 1)];
    assert.equal(lastOf(jobs, job('x', 6)), 'b');
    assert.equal(lastOf(jobs, job('f', 9)), 'b');
    assert.equal(lastOf(jobs, job('a', 1)), null);
    assert.equal(lastOf(jobs, job('y', 10, { rerun_of: 'a' })), 'a', 'the one that is run again');
  });

  it('says of each failure how it was', () => {
    const past = {
      fresh: newOnes({
        new_failures: [
          { path: 'a', name: 'one', num: 1, with_num: 4 },
          { path: 'a', name: 'two', num: 1, with_num: null },
          { path: 'b', num: 2, with_num: 5 },
        ],
      }),
    };
    assert.equal(isNew(past, 'a', 'one'), 'passed');
    assert.equal(isNew(past, 'a', 'two'), 'absent');
    assert.equal(isNew(past, 'a', 'three'), 'bad');
    // What is told of the file as a whole holds for each of its cases.
    assert.equal(isNew(past, 'b'), 'passed');
    assert.equal(isNew(past, 'b', 'one'), 'passed');
    assert.equal(isNew(past, 'c'), 'bad');
    assert.equal(isNew(null, 'a'), null);
  });
});
