// What is known, as a function of what was heard: `job(state, event)` for one job's recorded events, `lists(state,
// message)` for what the topics say. No IO, no clock, no DOM: the same events give the same state, in any portions.
// States are changed in place and carry a `version`; a job may have hundreds of thousands of events.

import { Log } from './log.js';

/** Outcomes of files that count against a job. */
export const BAD = new Set(['failed', 'timedout', 'crashed']);
const BAD_CASES = new Set(['failed', 'errored']);
/** Phases in their order. */
export const PHASES = ['environment', 'prepare', 'test', 'deploy', 'cleanup'];

/** A job of which nothing was heard. */
export function emptyJob() {
  return {
    version: 0,
    seq: 0,
    live: false,
    started: null,
    ended: null,
    phases: {},
    plan: null,
    files: new Map(),
    commands: new Map(),
    order: [],
    cases: 0,
    drones: new Set(),
    warnings: [],
    plugins: [],
    retries: [],
    tested: null,
    deployed: null,
    error: null,
    cancelled: false,
    current: null,
    lines: 0,
  };
}

/** Takes one recorded event; one that was taken before changes nothing. */
export function job(state, event) {
  if (event.seq <= state.seq) return state;
  state.seq = event.seq;
  state.version += 1;
  const take = EVENTS[event.type];
  if (take) take(state, event.args.slice(1), event.at);
  return state;
}

const EVENTS = {
  'job:started': (state, [at, drone], received) => {
    state.started = at ?? received;
    if (drone) state.drones.add(drone);
  },
  'job:phase': (state, [name, edge, code, at, drone], received) => {
    // A helper prepares and cleans up as well; the header shows the home drone's phases, the first to say so.
    const phase = (state.phases[name] ??= { start: null, done: null, code: null, drone: drone ?? null });
    if (drone) state.drones.add(drone);
    if (phase.drone && drone && phase.drone !== drone) return;
    if (edge === 'start') Object.assign(phase, { start: at ?? received, done: null, code: null });
    else Object.assign(phase, { done: at ?? received, code });
  },
  'job:files': (state, [paths, , plan]) => {
    for (const path of paths) if (!state.files.has(path)) state.files.set(path, newFile(path));
    if (plan) state.plan = plan;
  },
  'job:file:start': (state, [num, path, worker, attempt, drone], received) => {
    const file = fileOf(state, path);
    Object.assign(file, { state: 'running', num, worker, attempt, drone: drone ?? null, since: received });
    if (drone) state.drones.add(drone);
    Object.assign(commandOf(state, num), { path, drone: drone ?? null });
  },
  'job:file:done': (state, [num, path, attempt, result, drone]) => {
    const file = fileOf(state, path);
    // An older attempt's end says nothing of a newer one.
    if (attempt < file.attempt) return;
    if (file.result && BAD.has(file.result.outcome)) file.failedOn.add(file.drone);
    const outcome = result.outcome === 'passed' && file.failedBefore ? 'flaky' : result.outcome;
    if (BAD.has(outcome)) file.failedBefore = true;
    Object.assign(file, { state: 'done', num, attempt, result, outcome, drone: drone ?? file.drone });
    if (drone) state.drones.add(drone);
  },
  'job:cases': (state, [num, attempt, cases]) => {
    const command = commandOf(state, num);
    const file = command.path == null ? null : fileOf(state, command.path);
    state.cases += cases.length;
    if (!file || attempt < file.attempt) return;
    if (file.casesOf !== attempt) Object.assign(file, { casesOf: attempt, cases: 0, failures: [] });
    file.cases += cases.length;
    for (const one of cases) if (BAD_CASES.has(one.outcome)) file.failures.push(one);
  },
  'job:cmd:start': (state, [num, command, screencmd, detail], received) => {
    const known = commandOf(state, num);
    Object.assign(known, { command: screencmd ?? command, since: received, phase: detail?.phase ?? known.phase });
    known.plugin = detail?.plugin ?? known.plugin;
    known.drone = detail?.drone ?? known.drone;
    state.current = num;
  },
  'job:cmd:done': (state, [num, exit, elapsed], received) => {
    const command = commandOf(state, num);
    Object.assign(command, { exit, elapsed: elapsed ?? (command.since == null ? null : received - command.since) });
  },
  'job:cmd:stdout': (state, [num, text]) => output(state, num, 'out', text),
  'job:cmd:stderr': (state, [num, text]) => output(state, num, 'err', text),
  'job:stdout': (state, [text]) => output(state, state.current ?? 0, 'out', text),
  'job:stderr': (state, [text]) => output(state, state.current ?? 0, 'err', text),
  'job:plugin': (state, [plugin, data]) => {
    state.plugins.push({ plugin, data });
  },
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
    Object.assign(state, { phases: {}, files: new Map(), plan: null, tested: null, deployed: null, error: null, ended: null });
  },
  'job:done': (state, [at], received) => {
    state.ended = at ?? received;
  },
};

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
    cases: 0,
    casesOf: null,
    failures: [],
    failedBefore: false,
    failedOn: new Set(),
  };
}

function fileOf(state, path) {
  let file = state.files.get(path);
  if (!file) state.files.set(path, (file = newFile(path)));
  return file;
}

function commandOf(state, num) {
  let command = state.commands.get(num);
  if (!command) {
    command = {
      num,
      command: '',
      path: null,
      phase: null,
      plugin: null,
      drone: null,
      since: null,
      exit: null,
      elapsed: null,
      log: new Log(),
    };
    state.commands.set(num, command);
    state.order.push(command);
  }
  return command;
}

function output(state, num, stream, text) {
  const { log } = commandOf(state, num);
  const before = log.length;
  log.append(stream, text);
  state.lines += log.length - before;
}

/** How the files stand: `{ total, done, running, bad, passed, flaky, empty, notrun }`. */
export function tally(state) {
  const sum = { total: state.files.size, done: 0, running: 0, bad: 0, passed: 0, flaky: 0, empty: 0, notrun: 0 };
  for (const file of state.files.values()) {
    if (file.state === 'running') sum.running += 1;
    if (file.state !== 'done') continue;
    sum.done += 1;
    if (BAD.has(file.outcome)) sum.bad += 1;
    else if (file.outcome in sum) sum[file.outcome] += 1;
  }
  return sum;
}

/** Files that count against the job, with the cases that say why. */
export function failures(state) {
  const bad = [];
  for (const file of state.files.values()) {
    if (file.state !== 'done' || !BAD.has(file.outcome)) continue;
    const cases = file.failures.length ? file.failures : (file.result?.failures ?? []);
    bad.push({ file, cases, stderr: file.result?.stderr_tail ?? '' });
  }
  return bad;
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
