// What is known, as a function of what was heard: `job(state, event)` for one job's recorded events, `lists(state,
// message)` for what the topics say. No IO, no clock, no DOM: the same events give the same state, in any portions.
// States are changed in place and carry a `version`; a job may have hundreds of thousands of events, so that none costs
// more than what it is about: sums are kept up, never made anew. Read next: log.js.

import { Log, Pages } from './log.js';

/** Outcomes of files that count against a job. */
export const BAD = new Set(['failed', 'timedout', 'crashed']);
const BAD_CASES = new Set(['failed', 'errored']);
/** Phases in their order. */
export const PHASES = ['environment', 'prepare', 'test', 'deploy', 'cleanup'];
/** Messages of plugins and of the pool that are kept, the newest. */
export const NOTED = 1000;

/** A job of which nothing was heard. `pages` holds the text of its log. */
export function emptyJob(pages = new Pages()) {
  return {
    version: 0,
    /** Goes up with each event but those of output. */
    told: 0,
    seq: 0,
    live: false,
    started: null,
    ended: null,
    phases: {},
    drones: new Set(),
    warnings: [],
    retries: [],
    tested: null,
    deployed: null,
    error: null,
    cancelled: false,
    /** Commands that run, by number, in the order in which they began. */
    speaking: [],
    /** How many lines all commands have. */
    lines: 0,
    pages,
    commands: new Map(),
    order: [],
    /** Commands that have changed since a view of the log last looked. */
    changed: new Set(),
    /** Messages of plugins, and what happened to workers of the pool: `{ at, … }`. */
    plugins: newest(),
    pool: newest(),
    ...nothingTested(),
    ...noRuns(),
  };
}

const newest = () => ({ count: 0, list: [] });

/** What is known of the files, of none of them. */
const nothingTested = () => ({
  plan: null,
  files: new Map(),
  /** Goes up with each change of a file. */
  filesVersion: 0,
  /** How the files stand. */
  tally: { total: 0, done: 0, running: 0, bad: 0, passed: 0, flaky: 0, empty: 0, notrun: 0 },
  /** Files that count against the job, and those that run, by path. */
  bad: new Map(),
  running: new Map(),
  /** How many cases ended how. */
  cases: {},
});

/** Who ran what and when, nobody anything. */
const noRuns = () => ({
  /** Slots that were used, by drone and worker: `{ drone, worker, runs: [{ num, path, attempt, from, to, outcome }] }`. */
  lanes: new Map(),
  runs: new Map(),
  runsVersion: 0,
  /** Milliseconds of the longest run. */
  longest: 0,
});

/** Takes one recorded event; one that was taken before changes nothing. */
export function job(state, event) {
  if (event.seq <= state.seq) return state;
  state.seq = state.pages.seq = event.seq;
  state.version += 1;
  if (!OUTPUT.has(event.type)) state.told += 1;
  EVENTS[event.type]?.(state, event.args.slice(1), event.at);
  return state;
}

const OUTPUT = new Set(['job:cmd:stdout', 'job:cmd:stderr', 'job:stdout', 'job:stderr', 'job:lines']);

const EVENTS = {
  'job:started': (state, [at, drone], received) => {
    state.started = at ?? received;
    if (drone) state.drones.add(drone);
  },
  'job:phase': (state, [name, edge, code, at, drone], received) => {
    // A helper prepares and cleans up as well; the header shows the home drone's phases, the first to say so.
    state.phases[name] ??= { start: null, done: null, code: null, drone: drone ?? null };
    const phase = state.phases[name];
    if (drone) state.drones.add(drone);
    if (phase.drone && drone && phase.drone !== drone) return;
    if (edge === 'start') Object.assign(phase, { start: at ?? received, done: null, code: null });
    else Object.assign(phase, { done: at ?? received, code });
  },
  'job:files': (state, [paths, , plan]) => {
    for (const path of paths) fileOf(state, path);
    if (plan) state.plan = plan;
  },
  'job:quarantine': (state, [paths]) => {
    for (const path of paths) fileOf(state, path).quarantined = true;
    state.filesVersion += 1;
  },
  // The parts of a file stand in its place.
  'job:split': (state, [path, parts]) => {
    const files = [...state.files.values()];
    const whole = state.files.get(path);
    if (whole) {
      add(state, whole, -1);
      count(state.cases, whole.cases, -1);
      state.tally.total -= 1;
    }
    state.files.clear();
    for (const file of files) {
      if (file !== whole) state.files.set(file.path, file);
      else for (const part of parts) if (!files.some((other) => other.path === part)) fileOf(state, part);
    }
    for (const part of parts) fileOf(state, part).quarantined = whole?.quarantined ?? false;
    state.filesVersion += 1;
  },
  'job:file:start': (state, [num, path, worker, attempt, drone], received) => {
    const file = fileOf(state, path);
    move(state, file, { state: 'running', num, worker, attempt, drone: drone ?? null, since: received });
    if (drone) state.drones.add(drone);
    Object.assign(commandOf(state, num), { path, drone: drone ?? null });
    begin(state, { num, path, worker, attempt, drone: drone ?? null, from: received, to: null, outcome: null });
  },
  'job:file:done': (state, [num, path, attempt, result, drone], received) => {
    end(state, num, result, received);
    const file = fileOf(state, path);
    // An older attempt's end says nothing of a newer one.
    if (attempt < file.attempt) return;
    if (file.result && BAD.has(file.result.outcome)) file.failedOn.add(file.drone);
    const outcome = result.outcome === 'passed' && file.failedBefore ? 'flaky' : result.outcome;
    if (BAD.has(outcome)) file.failedBefore = true;
    move(state, file, { state: 'done', num, attempt, result, outcome, drone: drone ?? file.drone });
    if (drone) state.drones.add(drone);
  },
  'job:cases': (state, [num, attempt, cases, counts]) => {
    const { path } = commandOf(state, num);
    const file = path == null ? null : fileOf(state, path);
    if (file && attempt < file.attempt) return;
    if (file && file.casesOf !== attempt) {
      // What is tried again counts once.
      count(state.cases, file.cases, -1);
      Object.assign(file, { casesOf: attempt, cases: {}, failures: [] });
    }
    for (const all of [state.cases, file?.cases]) if (all) counts ? count(all, counts) : each(all, cases);
    if (!file) return;
    for (const one of cases) if (BAD_CASES.has(one.outcome)) file.failures.push(one);
    state.filesVersion += 1;
  },
  'job:cmd:start': (state, [num, command, screencmd, detail], received) => {
    const known = commandOf(state, num);
    Object.assign(known, { command: screencmd ?? command, since: received, phase: detail?.phase ?? known.phase });
    known.plugin = detail?.plugin ?? known.plugin;
    known.drone = detail?.drone ?? known.drone;
    state.speaking.push(num);
  },
  'job:cmd:done': (state, [num, exit, elapsed], received) => {
    const command = commandOf(state, num);
    state.speaking = state.speaking.filter((other) => other !== num);
    Object.assign(command, { exit, elapsed: elapsed ?? (command.since == null ? null : received - command.since) });
  },
  'job:cmd:stdout': (state, [num, text]) => output(state, num, 'out', text),
  'job:cmd:stderr': (state, [num, text]) => output(state, num, 'err', text),
  // Without a number, of the command that began last of those that run.
  'job:stdout': (state, [text]) => output(state, state.speaking.at(-1) ?? 0, 'out', text),
  'job:stderr': (state, [text]) => output(state, state.speaking.at(-1) ?? 0, 'err', text),
  // Output in outline: how much there is of it, and not what it says.
  'job:lines': (state, [all]) => {
    for (const [num, lines, out, err] of all) {
      const { log } = commandOf(state, num);
      const before = log.length;
      log.outline(lines, out, err);
      state.lines += log.length - before;
    }
  },
  'job:plugin': (state, [plugin, data], received) => note(state.plugins, { at: received, plugin, data }),
  'pool:worker': (state, [worker, event, detail], received) => note(state.pool, { at: received, worker, event, detail }),
  'job:tested': (state, [code]) => {
    state.tested = code;
  },
  'job:deployed': (state, [code]) => {
    state.deployed = code;
  },
  'job:errored': (state, [error]) => {
    state.error = error;
  },
  'job:cancelled': (state) => {
    state.cancelled = true;
  },
  'job:warning': (state, [warning]) => {
    state.warnings.push(warning);
  },
  'job:retry': (state, [retry]) => {
    // Everything is done again; what was said stays readable in the log.
    state.retries.push(retry);
    const { filesVersion } = state;
    Object.assign(state, nothingTested(), { filesVersion: filesVersion + 1 });
    Object.assign(state, { phases: {}, tested: null, deployed: null, error: null, ended: null });
  },
  'job:done': (state, [at], received) => {
    state.ended = at ?? received;
  },
};

/** Takes what the API says of a job's files, for a job whose events are kept no longer. */
export function filesOf(state, files) {
  for (const { path, num, attempt, drone, outcome, ...rest } of files) {
    const file = fileOf(state, path);
    file.quarantined = rest.quarantined ?? false;
    if (rest.state !== 'done') continue;
    const result = { outcome, ...rest };
    move(state, file, { state: 'done', num, attempt, drone, outcome, result, cases: rest.cases ?? {}, failures: rest.failures ?? [] });
    count(state.cases, file.cases);
  }
  state.version += 1;
}

function newFile(path) {
  return {
    path,
    state: 'pending',
    num: null,
    worker: null,
    attempt: 0,
    drone: null,
    since: null,
    outcome: null,
    result: null,
    cases: {},
    casesOf: null,
    failures: [],
    failedBefore: false,
    /** Under the project's quarantine when the job listed it. */
    quarantined: false,
    failedOn: new Set(),
  };
}

function fileOf(state, path) {
  let file = state.files.get(path);
  if (file) return file;
  file = newFile(path);
  state.files.set(path, file);
  state.tally.total += 1;
  state.filesVersion += 1;
  return file;
}

/** Changes a file, and every sum that it is part of. */
function move(state, file, change) {
  add(state, file, -1);
  Object.assign(file, change);
  add(state, file, 1);
  state.filesVersion += 1;
}

function add({ tally, bad, running }, file, by) {
  if (file.state === 'running') {
    tally.running += by;
    if (by > 0) running.set(file.path, file);
    else running.delete(file.path);
  }
  if (file.state !== 'done') return;
  tally.done += by;
  if (BAD.has(file.outcome)) {
    tally.bad += by;
    if (by > 0) bad.set(file.path, file);
    else bad.delete(file.path);
  } else if (file.outcome in tally) tally[file.outcome] += by;
}

function begin(state, run) {
  const key = `${run.drone ?? ''} ${run.worker}`;
  let lane = state.lanes.get(key);
  if (!lane) {
    lane = { drone: run.drone, worker: run.worker, runs: [] };
    state.lanes.set(key, lane);
  }
  run.before = lane.runs.at(-1) ?? null;
  lane.runs.push(run);
  state.runs.set(run.num, run);
  state.runsVersion += 1;
}

function end(state, num, result, received) {
  const run = state.runs.get(num);
  if (!run || run.to != null) return;
  // Events of a drone that was away come all at once; its own measure says how long it took.
  const free = run.before?.to ?? -Infinity;
  run.from = Math.min(run.from, Math.max(free, received - (result.duration ?? 0)));
  run.to = received;
  run.outcome = result.outcome;
  state.longest = Math.max(state.longest, run.to - run.from);
  state.runsVersion += 1;
}

function count(all, counts, sign = 1) {
  for (const [outcome, n] of Object.entries(counts)) if (n) all[outcome] = (all[outcome] ?? 0) + sign * n;
}

function each(all, cases) {
  for (const { outcome } of cases) all[outcome] = (all[outcome] ?? 0) + 1;
}

/** How many cases are in counts by outcome. */
export function sumOf(counts) {
  let sum = 0;
  for (const n of Object.values(counts ?? {})) sum += n;
  return sum;
}

function note(kept, what) {
  kept.count += 1;
  kept.list.push(what);
  if (kept.list.length > 2 * NOTED) kept.list.splice(0, kept.list.length - NOTED);
}

function commandOf(state, num) {
  let command = state.commands.get(num);
  if (!command) {
    command = {
      num,
      /** Its place in `order`. */
      at: state.order.length,
      command: '',
      path: null,
      phase: null,
      plugin: null,
      drone: null,
      since: null,
      exit: null,
      elapsed: null,
      log: new Log(num, state.pages),
    };
    state.commands.set(num, command);
    state.order.push(command);
  }
  state.changed.add(command);
  return command;
}

function output(state, num, stream, text) {
  const { log } = commandOf(state, num);
  const before = log.length;
  log.append(stream, text, state.seq);
  state.lines += log.length - before;
}

/** Files that count against the job, with the cases that say why. */
export function failures(state) {
  return [...state.bad.values()].map((file) => ({
    file,
    cases: file.failures.length ? file.failures : (file.result?.failures ?? []),
    stderr: file.result?.stderr_tail ?? '',
  }));
}

/** Fleet and jobs of which nothing was heard. */
export function emptyLists() {
  return { version: 0, jobs: new Map(), drones: new Map(), queue: [] };
}

/** Jobs of which the newest row is kept. A page that is open for weeks hears of many more. */
const KEPT = 2000;

/** Takes a row in; the one that nothing was heard of for longest goes. */
function keep(rows, row) {
  const known = rows.get(row.id);
  rows.delete(row.id);
  if (rows.size >= KEPT) rows.delete(rows.keys().next().value);
  rows.set(row.id, { ...known, ...row });
}

/** Takes one message of a topic. */
export function lists(state, message) {
  const [value, second] = message.args;
  switch (message.type) {
    case 'jobs:changed':
      if (!value?.id) return state;
      keep(state.jobs, value);
      break;
    case 'drone:joined':
    case 'drone:changed':
      if (!value?.id) return state;
      state.drones.set(value.id, { ...state.drones.get(value.id), ...value });
      break;
    case 'drone:left': {
      const id = value?.id ?? value;
      const drone = state.drones.get(id);
      if (!drone) return state;
      state.drones.set(id, { ...drone, connected: false, active: 0, left: second ?? null });
      break;
    }
    case 'queue:changed':
      state.queue = Array.isArray(value) ? value : (value?.waiting ?? []);
      break;
    default:
      return state;
  }
  state.version += 1;
  return state;
}
