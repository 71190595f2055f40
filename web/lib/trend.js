// A project's past as columns for a chart. Pure.

import { FINAL } from './states.js';

/**
 * Ended jobs, oldest first, as columns: its place, how many seconds it took, and the share that passed of the last `span` jobs.
 * A job that was cancelled says nothing of the project's health.
 * @param {import('../types').TrendJob[]} jobs
 * @param {number} [span]
 */
export function columns(jobs, span = 10) {
  const ended = jobs.filter((job) => FINAL.has(job.state));
  /** @type {(number | null)[]} */
  const counted = ended.map((job) => (job.state === 'cancelled' ? null : Number(job.state === 'passed')));
  const share = ended.map((_, i) => {
    const last = counted.slice(Math.max(0, i - span + 1), i + 1).filter((one) => one !== null);
    return last.length ? (100 * last.filter((one) => one === 1).length) / last.length : null;
  });
  return {
    jobs: ended,
    number: ended.map((_, i) => i),
    seconds: ended.map((job) => (job.duration == null ? null : job.duration / 1000)),
    share,
  };
}

/**
 * The hour before `now`, minute by minute, whatever of it is known: what was told may be some minutes old.
 * @param {[number, number][]} minutes each minute's start in milliseconds, and files that ended in it
 * @param {number} now
 * @returns {[number, number][]}
 */
export function lastHour(minutes, now) {
  const known = new Map(minutes.map(([start, files]) => [Math.floor(start / 60_000), files]));
  const last = Math.floor(now / 60_000);
  return Array.from({ length: 60 }, (_, i) => [(last - 59 + i) * 60_000, known.get(last - 59 + i) ?? 0]);
}

/** How the newest compares with those before: `{ median, newest, share }`, milliseconds and percent; null if unknown. */
export function summary(jobs) {
  const { jobs: ended, share } = columns(jobs);
  const took = ended.map((job) => job.duration).filter((one) => one != null);
  const sorted = took.toSorted((a, b) => a - b);
  return {
    median: sorted.length ? sorted[Math.floor((sorted.length - 1) / 2)] : null,
    newest: took.at(-1) ?? null,
    share: share.at(-1) ?? null,
  };
}
