// The states of jobs, files and cases: a word and a shape for each, so that none is told by colour alone. Pure.

/**
 * Shapes are drawn by strokes in a square of 16. `fill` is the part of a shape that is filled.
 * @type {Record<string, { word: string, path: string, fill?: string }>}
 */
export const STATES = {
  queued: { word: 'queued', path: 'M8 2a6 6 0 1 0 0 12a6 6 0 1 0 0-12M8 4.8v3.6l2.2 1.3' },
  running: { word: 'running', path: 'M8 1.8l5.4 3.1v6.2L8 14.2l-5.4-3.1V4.9z', fill: 'M8 1.8v12.4l-5.4-3.1V4.9z' },
  passed: { word: 'passed', path: 'M3 8.6l3.4 3.4L13 4.6' },
  failed: { word: 'failed', path: 'M4 4l8 8M12 4l-8 8' },
  errored: { word: 'errored', path: 'M8 2.2l6.2 11.2H1.8zM8 6.4v3.2M8 11.4v.3' },
  cancelled: { word: 'cancelled', path: 'M8 2a6 6 0 1 0 0 12a6 6 0 1 0 0-12M3.8 12.2l8.4-8.4' },
  pending: { word: 'pending', path: 'M7 8h2' },
  flaky: { word: 'flaky', path: 'M2 9.5c1.6-4.6 3.6-4.6 6-1.5s4.4 3.1 6-1.5' },
  empty: { word: 'empty', path: 'M8 3.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9' },
  timedout: { word: 'timed out', path: 'M4.5 2h7M4.5 14h7M5.5 2v2.2L8 8l2.5-3.8V2M5.5 14v-2.2L8 8l2.5 3.8V14' },
  crashed: { word: 'crashed', path: 'M9.5 1.8L4.2 9h3.6l-1.3 5.2L11.8 7H8.2z' },
  lost: { word: 'lost', path: 'M5.3 6.2a2.7 2.7 0 1 1 3.9 2.4c-.8.4-1.2.9-1.2 1.8M8 12.7v.3' },
  notrun: { word: 'not run', path: 'M4 8h8' },
  skipped: { word: 'skipped', path: 'M4 8h8' },
  xfailed: { word: 'failed as expected', path: 'M8 2a6 6 0 1 0 0 12a6 6 0 1 0 0-12M6 6l4 4M10 6l-4 4' },
  xpassed: { word: 'passed unexpectedly', path: 'M8 2a6 6 0 1 0 0 12a6 6 0 1 0 0-12M5.4 8.2l2 2 3.2-3.8' },
  ready: { word: 'ready', path: 'M8 1.8l5.4 3.1v6.2L8 14.2l-5.4-3.1V4.9z' },
  draining: { word: 'draining', path: 'M8 2.5v9M4 8l4 4 4-4M4 14h8' },
  away: { word: 'away', path: 'M3 8h2.5M7 8h2M10.5 8H13' },
};

/** States in which a job stays. */
export const FINAL = new Set(['passed', 'failed', 'errored', 'cancelled']);

/** A state's word; an unknown one is its own word. */
export const wordOf = (state) => STATES[state]?.word ?? state;
