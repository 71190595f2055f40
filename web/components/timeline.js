// Slots as rows, files as bars, over time: where it went, and where it was wasted. Drawn from what is in sight; zoomed by wheel,
// brush and keys. The same is below as a table, for those who cannot see a drawing. Read next: ../lib/timeline.js.

import { duration } from '../lib/format.js';
import { clamp, pan, ticks, within, zoom } from '../lib/timeline.js';
import { html, useEffect, useRef, useState } from './html.js';

const LANE = 20;
const BAR = 14;
const AXIS = 24;
/** Bars narrower than this are drawn together. */
const THIN = 2;
/** A bar this wide has its name in it. */
const NAMED = 48;
/** A pixel of a name, about. */
const LETTER = 7;

/**
 * `lanes` of lib/timeline.js; `whole` and `span` are `{ from, to }`, `setSpan(span, settled)` changes what is seen; `critical` is a set
 * of runs; `stateOf(run)`; `open(run)`.
 */
export function Timeline({ lanes, whole, span, setSpan, critical, now, stateOf, open, origin }) {
  const box = useRef(/** @type {any} */ (null));
  const [width, setWidth] = useState(800);
  const [over, setOver] = useState(/** @type {any} */ (null));
  const [brush, setBrush] = useState(/** @type {any} */ (null));
  useEffect(() => {
    const watcher = new ResizeObserver(([entry]) => setWidth(Math.max(100, Math.floor(entry.contentRect.width))));
    watcher.observe(box.current);
    return () => watcher.disconnect();
  }, []);
  const scale = width / (span.to - span.from);
  const x = (time) => Math.round((time - span.from) * scale * 10) / 10;
  const time = (event) => span.from + (event.clientX - box.current.getBoundingClientRect().left) / scale;
  const height = AXIS + lanes.length * LANE;

  const find = (event) => {
    const { top } = box.current.getBoundingClientRect();
    const lane = lanes[Math.floor((event.clientY - top - AXIS) / LANE)];
    if (!lane) return null;
    const at = time(event);
    const slack = 3 / scale;
    const near = within(lane.runs, at - slack, at + slack);
    const run = near.find((one) => one.from <= at && (one.to ?? now) >= at) ?? near[0];
    return run && run.from <= at + slack ? { run, lane } : null;
  };
  const wheel = useRef((_event) => {});
  wheel.current = (event) => {
    const sideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    const focused = document.activeElement === box.current;
    // The page is scrolled by the wheel unless one has said that the timeline is meant.
    if (!sideways && !event.ctrlKey && !event.metaKey && !focused) return;
    event.preventDefault();
    if (sideways) setSpan(pan(span, (event.deltaX || event.deltaY) / scale, whole), true);
    else setSpan(zoom(span, 1.0015 ** event.deltaY, time(event), whole), true);
  };
  useEffect(() => {
    const listen = (event) => wheel.current(event);
    box.current.addEventListener('wheel', listen, { passive: false });
    return () => box.current?.removeEventListener('wheel', listen);
  }, []);
  const down = (event) => {
    if (event.button !== 0) return;
    box.current.setPointerCapture(event.pointerId);
    setBrush({
      from: time(event),
      to: time(event),
      x: event.clientX,
      drag: event.shiftKey || event.clientY - box.current.getBoundingClientRect().top < AXIS,
      span,
    });
  };
  const moved = (event) => {
    if (!brush) {
      setOver(find(event));
      return;
    }
    if (brush.drag) setSpan(pan(brush.span, (brush.x - event.clientX) / scale, whole), false);
    else setBrush({ ...brush, to: time(event) });
  };
  const up = (event) => {
    if (!brush) return;
    setBrush(null);
    const far = Math.abs(event.clientX - brush.x) > 4;
    if (!far) {
      const found = find(event);
      if (found) open(found.run);
    } else if (brush.drag) setSpan(span, true);
    else setSpan(clamp({ from: Math.min(brush.from, brush.to), to: Math.max(brush.from, brush.to) }, whole), true);
  };
  const middle = (span.from + span.to) / 2;
  const part = (span.to - span.from) / 5;
  const keys = {
    '+': () => zoom(span, 0.5, middle, whole),
    '=': () => zoom(span, 0.5, middle, whole),
    '-': () => zoom(span, 2, middle, whole),
    0: () => whole,
    ArrowLeft: () => pan(span, -part, whole),
    ArrowRight: () => pan(span, part, whole),
    Home: () => pan(span, whole.from - span.from, whole),
    End: () => pan(span, whole.to - span.to, whole),
  };
  const press = (event) => {
    const f = keys[event.key];
    if (!f || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    setSpan(f(), true);
  };

  const { bars, names } = draw(lanes, span, { x, now, stateOf, critical, scale });
  const marks = ticks(span, origin, width / 90);
  let drone = null;
  return html`<div class="timeline">
    <ol class="slots" aria-hidden="true">${lanes.map((lane) => {
      const first = lane.name !== drone;
      drone = lane.name;
      return html`<li key=${`${lane.drone} ${lane.worker}`} class=${first ? 'first' : ''} title=${lane.name}><span>
        ${first ? lane.name : ''}</span> <span class="num faint">${lane.worker + 1}</span></li>`;
    })}</ol>
    <div class="plot" ref=${box} tabindex="0" role="application"
      aria-label="Timeline: plus and minus zoom, the arrow keys move, 0 shows all; the same is in the table below"
      onPointerDown=${down} onPointerMove=${moved} onPointerUp=${up} onPointerLeave=${() => setOver(null)}
        onDblClick=${() => setSpan(whole, true)} onKeyDown=${press}>
      <svg width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} aria-hidden="true">
        ${lanes.map(
          (lane, i) => html`<rect key=${i} class=${`lane${i > 0 && lane.name !== lanes[i - 1].name ? ' first' : ''}`} x="0"
          y=${AXIS + i * LANE} width=${width} height=${LANE} />`,
        )}
        ${marks.map(
          (at) => html`<g key=${at}><path class="tick" d=${`M${x(origin + at)} ${AXIS - 4}V${height}`} /><text class="when"
          x=${x(origin + at) + 3} y="12">${at ? duration(at) : '0'}</text></g>`,
        )}
        ${bars}${names}
        ${
          over &&
          html`<rect class="cursor" x=${x(over.run.from)} y=${AXIS + lanes.indexOf(over.lane) * LANE + 2}
          width=${Math.max(2, x(over.run.to ?? now) - x(over.run.from))} height=${BAR + 2} />`
        }
        ${
          brush &&
          !brush.drag &&
          html`<rect class="brush" x=${Math.min(x(brush.from), x(brush.to))} y="0"
          width=${Math.abs(x(brush.to) - x(brush.from))} height=${height} />`
        }
      </svg>
    </div>
    <p class="reading mono" aria-hidden="true">${over ? tell(over, now, origin, stateOf) : ''}</p>
  </div>`;
}

function tell({ run, lane }, now, origin, stateOf) {
  const took = `${duration((run.to ?? now) - run.from)}, from ${duration(run.from - origin)} on`;
  const words = [run.path, stateOf(run), took, `${lane.name} slot ${lane.worker + 1}`, run.attempt > 1 && `try ${run.attempt}`];
  return words.filter(Boolean).join(' · ');
}

/** One path for all bars of a state; those too thin to be seen alone run together. */
function draw(lanes, span, { x, now, stateOf, critical, scale }) {
  const shapes = new Map();
  const names = [];
  let path = '';
  lanes.forEach((lane, i) => {
    const y = AXIS + i * LANE + 3;
    let from = 0;
    let to = -1;
    let state = '';
    const flush = () => {
      if (to >= from && state)
        shapes.set(state, `${shapes.get(state) ?? ''}M${from} ${y}h${Math.round((to - from) * 10) / 10}v${BAR}H${from}z`);
    };
    for (const run of within(lane.runs, span.from, span.to)) {
      const own = stateOf(run);
      const left = Math.max(-2, x(run.from));
      const right = Math.min((span.to - span.from) * scale + 2, Math.max(left + 0.8, x(run.to ?? now)));
      // A hair of ground between neighbours shows that they are two.
      const end = right - left > THIN * 2 ? right - 0.8 : right;
      if (own === state && left - to < 0.5 && right - from < THIN) to = end;
      else {
        flush();
        [from, to, state] = [left, end, own];
      }
      if (right - left > NAMED) names.push(nameOf(run, left, right, y));
      if (critical.has(run)) path += `M${left} ${y + BAR + 1.5}H${end}`;
    }
    flush();
  });
  return {
    bars: html`${[...shapes].map(([state, d]) => html`<path key=${state} class=${`cell is-${state}`} d=${d} />`)}<path class="critical"
      d=${path} />`,
    names,
  };
}

function nameOf(run, left, right, y) {
  const room = Math.floor((right - left - 8) / LETTER);
  const name = run.path.length <= room ? run.path : run.path.split('/').at(-1);
  const text = name.length <= room ? name : `${name.slice(0, Math.max(1, room - 1))}…`;
  return html`<text key=${`${run.num}`} class="name" x=${left + 4} y=${y + BAR - 3}>${text}</text>`;
}
