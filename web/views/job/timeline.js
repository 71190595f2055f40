// Where a job's time went: the timeline, what was the critical path, how much of each slot was waste.

import { html, useMemo, useState } from '../../components/html.js';
import { Notice, State } from '../../components/parts.js';
import { Timeline } from '../../components/timeline.js';
import { duration, number, plural } from '../../lib/format.js';
import { address, jobPath } from '../../lib/router.js';
import { rangeOf } from '../../lib/rows.js';
import { criticalPath, extent, lanesOf, use, zoom } from '../../lib/timeline.js';

const STEP = 100;

export function TimelineTab({ ctx, id, job, now, place, go }) {
  const whole = extent(job, now);
  const [most, setMost] = useState(STEP);
  const [moving, setMoving] = useState(/** @type {any} */ (null));
  const lanes = useMemo(() => lanesOf(job, ctx.droneName), [job.lanes.size, ctx.lists.version]);
  const path = useMemo(() => criticalPath(job, now), [job.runsVersion]);
  const critical = useMemo(() => new Set(path), [path]);
  if (!whole) return html`<${Notice} title="No file has run yet">Each file is a bar here as soon as it begins.<//>`;
  const origin = whole.from;
  const given = rangeOf(place.query.span);
  // In the address, milliseconds from the first file's beginning, from 1 on.
  const fixed = given && given.from < given.to ? { from: origin + given.from - 1, to: Math.min(whole.to, origin + given.to) } : whole;
  const span = moving ?? (fixed.to - fixed.from >= 2 ? fixed : whole);
  const setSpan = (next, settled) => {
    setMoving(settled ? null : next);
    if (!settled) return;
    const all = next.from <= whole.from && next.to >= whole.to;
    go({ span: all ? '' : `${Math.round(next.from - origin) + 1}-${Math.round(next.to - origin)}` }, true);
  };
  const stateOf = (run) => run.outcome ?? 'running';
  const logOf = (run) => address(jobPath(id), { tab: 'log', cmd: run.num });
  const sums = lanes.map((lane) => use(lane, whole, now));
  const idle = sums.reduce((all, one) => all + one.idle, 0);
  const share = Math.round((100 * idle) / Math.max(1, lanes.length * (whole.to - whole.from)));
  const middle = (span.from + span.to) / 2;
  const runs = path.slice().reverse();
  const long = path.reduce((all, run) => all + (run.to ?? now) - run.from, 0);
  return html`<div class="tools">
      <span class="num">${plural(lanes.length, 'slot')} · ${duration(whole.to - whole.from)} · ${share} % idle</span>
      <span class="faint">the critical path is underlined: ${plural(path.length, 'file')}, ${duration(long)}</span>
      <span class="zoom"><button aria-label="Zoom in" onClick=${() => setSpan(zoom(span, 0.5, middle, whole), true)}>+</button>
        <button aria-label="Zoom out" onClick=${() => setSpan(zoom(span, 2, middle, whole), true)}>−</button>
        <button onClick=${() => setSpan(whole, true)}>All</button></span>
    </div>
    <${Timeline} lanes=${lanes} whole=${whole} span=${span} setSpan=${setSpan} critical=${critical} now=${now} stateOf=${stateOf}
      origin=${origin}
      open=${(run) => ctx.go(logOf(run))} />
    <p class="faint">Drag to look closer, drag the axis to move. With ctrl, or after a click on it, the wheel zooms.</p>
    <h2>Critical path</h2>
    <p class="faint">The file that ended last, before it what it waited for in its slot, and so on, back to the first gap.</p>
    <table class="wide"><thead><tr><th>File</th><th>State</th><th class="right">Began</th><th class="right">Took</th><th>Drone</th><th
      class="right">Slot</th></tr></thead>
      <tbody>${runs.slice(0, most).map(
        (run) => html`<tr key=${run.num}><td class="mono"><a href=${logOf(run)}>${run.path}</a></td><td><${State} of=${stateOf(run)} /></td>
          <td class="right num">${duration(run.from - origin)}</td><td class="right num">${duration((run.to ?? now) - run.from)}</td>
          <td>${run.drone ? ctx.droneName(run.drone) : ''}</td><td class="right num">${run.worker + 1}</td></tr>`,
      )}</tbody></table>
    ${runs.length > most && html`<p><button onClick=${() => setMost(most + STEP)}>more of ${number(runs.length)}</button></p>`}
    <h2>Slots</h2>
    <table class="wide"><thead><tr><th>Drone</th><th class="right">Slot</th><th class="right">Files</th><th class="right">Busy</th><th
      class="right">Idle</th></tr></thead>
      <tbody>${lanes.map(
        (lane, i) => html`<tr key=${`${lane.drone} ${lane.worker}`}><td>${lane.name}</td><td class="right num">${lane.worker + 1}</td><td
          class="right num">${number(lane.runs.length)}</td>
          <td class="right num">${duration(sums[i].busy)}</td><td class="right num">${duration(sums[i].idle)}</td></tr>`,
      )}</tbody></table>`;
}
