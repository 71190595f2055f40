/** Milliseconds to wait before try `attempt` (from 1): doubles from `base`, never above `limit`. */
export function backoff(attempt, { base = 100, limit = 30_000 } = {}) {
  if (!Number.isInteger(attempt) || attempt < 1) throw new RangeError('attempt must be a whole number from 1');
  return Math.min(limit, base * 2 ** Math.min(attempt - 1, 30));
}

/** Calls `task` until it succeeds, at most `tries` times, waiting by `wait(ms)` in between. */
export async function retry(task, { tries = 3, wait }) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await task(attempt);
    } catch (error) {
      if (attempt >= tries) throw error;
      await wait(backoff(attempt));
    }
  }
}
