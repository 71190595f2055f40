import assert from 'node:assert/strict';
import test from 'node:test';
import { backoff, retry } from '../backoff.js';

test('doubles up to its limit', () => {
  assert.deepEqual([1, 2, 3, 4].map((n) => backoff(n)), [100, 200, 400, 800]);
  assert.equal(backoff(1000), 30_000);
});

test('retry waits between tries and gives the result', async () => {
  const waits = [];
  const result = await retry(
    async (attempt) => {
      if (attempt < 3) throw new Error(`try ${attempt}`);
      return 'there';
    },
    { wait: async (ms) => waits.push(ms) },
  );
  assert.equal(result, 'there');
  assert.deepEqual(waits, [100, 200]);
});

test('retry gives up with the last error', async () => {
  const task = async (attempt) => {
    throw new Error(`try ${attempt}`);
  };
  await assert.rejects(retry(task, { tries: 2, wait: async () => {} }), /try 2/);
});

test('jitter', { todo: 'spread the waits' });
