// Where a job's time went: slots and what they ran, the way that ended last, a span that is looked at. Pure.

/** Slots in the order of a page: by drone's name, then by number. `nameOf(drone)` names one. */
export function lanesOf({ lanes }, nameOf) {
  const named = [...lanes.values()].map((lane) => ({ ...lane, name: lane.drone ? nameOf(lane.drone) : 'a drone' }));
  return named.sort((a, b) => (a.name === b.name ? a.worker - b.worker : a.name < b.name ? -1 : 1));
}

/** From the first file's beginning to the last one's end, or `now`; null if none has begun. */
export function extent({ lanes }, now) {
  let from = Infinity;
  let to = -Infinity;
  for (const { runs } of lanes.values()) {
    if (!runs.length) continue;
    from = Math.min(from, runs[0].from);
    to = Math.max(to, runs.at(-1).to ?? now);
  }
  return from <= to ? { from, to: Math.max(to, from + 1) } : null;
}

/** The runs of a lane that reach into a span, which is found without looking at all of them. */
export function within(runs, from, to) {
  const first = below(runs, from, (run) => run.to ?? Infinity);
  const end = below(runs, to, (run) => run.from);
  return runs.slice(first, end);
}

/** How many at the beginning are below a value. */
function below(runs, value, of) {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (of(runs[middle]) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** What a run waited for may end a little after its beginning, by two machines' clocks and the wire. */
const NEAR = 50;

/** The critical path: the run that ended last, what it waited for, and so on to the first; the first comes first. */
export function criticalPath(state, now) {
  let last = /** @type {any} */ (null);
  let lane = /** @type {any} */ (null);
  for (const one of state.lanes.values()) {
    const run = one.runs.at(-1);
    if (run && (!last || (run.to ?? now) > (last.to ?? now))) [last, lane] = [run, one];
  }
  const path = /** @type {any[]} */ ([]);
  while (last) {
    path.unshift(last);
    const at = lane.runs.indexOf(last);
    const before = at > 0 ? { run: lane.runs[at - 1], lane } : null;
    // A file that is tried again waited for its try before, wherever that was.
    const earlier = last.attempt > 1 ? find(state, last) : null;
    const next = /** @type {any[]} */ ([before, earlier]).filter((one) => one && one.run.to != null && one.run.to <= last.from + NEAR);
    const latest = next.sort((a, b) => b.run.to - a.run.to)[0];
    if (!latest || path.includes(latest.run)) return path;
    ({ run: last, lane } = latest);
  }
  return path;
}

function find({ lanes }, { path, attempt }) {
  for (const lane of lanes.values()) {
    const run = lane.runs.find((one) => one.path === path && one.attempt === attempt - 1);
    if (run) return { run, lane };
  }
  return null;
}

/** How busy each lane was: `{ busy, idle }` in milliseconds of the whole extent. */
export function use({ runs }, { from, to }, now) {
  let busy = 0;
  for (const run of runs) busy += (run.to ?? now) - run.from;
  busy = Math.min(busy, to - from);
  return { busy, idle: to - from - busy };
}

const STEPS = [1, 2, 5];

/** Round times for an axis, at most about `most`: `[ms since from]`. */
export function ticks({ from, to }, origin, most) {
  const least = (to - from) / Math.max(1, most);
  let step = 1;
  for (let i = 0; step < least; i += 1) step = STEPS[i % 3] * 10 ** Math.floor(i / 3);
  // Minutes and hours are not counted in tens.
  for (const round of [15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 900e3, 1800e3, 3600e3]) {
    if (least > 10e3 && round >= least) {
      step = round;
      break;
    }
  }
  const found = [];
  for (let at = Math.ceil((from - origin) / step) * step; at <= to - origin; at += step) found.push(at);
  return found;
}

/** A span made narrower (factor below 1) or wider around a place, kept within the whole. */
export function zoom(span, factor, at, whole) {
  const length = Math.min(whole.to - whole.from, Math.max(2, (span.to - span.from) * factor));
  const part = (at - span.from) / (span.to - span.from || 1);
  return clamp({ from: at - part * length, to: at - part * length + length }, whole);
}

/** A span moved, kept within the whole. */
export const pan = (span, by, whole) => clamp({ from: span.from + by, to: span.to + by }, whole);

export function clamp({ from, to }, whole) {
  const length = Math.min(to - from, whole.to - whole.from);
  const start = Math.max(whole.from, Math.min(from, whole.to - length));
  return { from: start, to: start + length };
}
