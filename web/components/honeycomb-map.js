// Thousands of cells of a honeycomb as a few drawings: one shape for all cells of a state and a shade. A cell is found by its
// place, under the pointer or by the arrow keys; what it is stands below, for eyes and for readers of the screen.

import { html, useEffect, useMemo, useRef, useState } from './html.js';

/** Cells get smaller the more there are: `[up to how many, width]`. */
const SIZES = [
  [300, 16],
  [1000, 12],
  [3000, 9],
  [Infinity, 7],
];
/** Shades by weight: the heavier, the more ink. */
const SHADES = 4;

/** `cells`: `[{ key, state, weight, title, href }]`, weight from 0 to 1; the same list as long as `version` is. `open(href)` goes there. */
export function HoneycombMap({ cells, version, label, open }) {
  const box = useRef(/** @type {any} */ (null));
  const [width, setWidth] = useState(640);
  const [at, setAt] = useState(-1);
  useEffect(() => {
    const watcher = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
    watcher.observe(box.current);
    return () => watcher.disconnect();
  }, []);
  const grid = gridOf(cells.length, width);
  const drawing = useMemo(() => draw(cells, grid), [version, cells.length, grid.columns, grid.wide]);
  const chosen = cells[at];

  const find = (event) => {
    const corner = box.current.querySelector('svg').getBoundingClientRect();
    return nearest(event.clientX - corner.left, event.clientY - corner.top, grid, cells.length);
  };
  const press = (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: grid.columns, ArrowUp: -grid.columns, Home: -cells.length, End: cells.length };
    if (event.key === 'Enter' && chosen?.href) open(chosen.href);
    else if (event.key in steps) setAt(Math.max(0, Math.min(cells.length - 1, at < 0 ? 0 : at + steps[event.key])));
    else return;
    event.preventDefault();
  };
  const click = (event) => {
    const cell = cells[find(event)];
    if (cell?.href) open(cell.href);
  };
  const [x, y] = at >= 0 && chosen ? corner(at, grid) : [0, 0];
  // What can be chosen with the keyboard is a list of which one entry is in force.
  return html`<div class="comb" ref=${box}>
    <div class="cells" tabindex="0" role="listbox" aria-label=${`${label}; the arrow keys walk, enter opens`}
      aria-activedescendant=${chosen ? 'cell' : null}
      onKeyDown=${press} onPointerMove=${(event) => setAt(find(event))} onPointerLeave=${() => setAt(-1)} onClick=${click}>
      <svg class="honeycomb" width=${grid.across} height=${grid.down} viewBox=${`0 0 ${grid.across} ${grid.down}`} aria-hidden="true">
        ${drawing}
        ${chosen && html`<path class="cursor" d=${hexagon(x, y, grid.wide)} />`}
      </svg>
      ${chosen && html`<span class="unseen" role="option" id="cell" aria-selected="true">${chosen.title}</span>`}
    </div>
    <p class="reading mono" aria-hidden="true">${chosen?.title ?? ''}</p>
  </div>`;
}

function gridOf(count, width) {
  const wide = SIZES.find(([most]) => count <= most)?.[1] ?? 7;
  const columns = Math.max(1, Math.floor((width - wide / 2) / wide));
  const tall = wide * 1.15;
  const rows = Math.ceil(count / columns);
  return { wide, tall, columns, across: Math.min(count, columns) * wide + wide / 2, down: Math.max(0, rows - 1) * tall * 0.75 + tall };
}

function corner(index, { wide, tall, columns }) {
  const row = Math.floor(index / columns);
  return [(index % columns) * wide + (row % 2 ? wide / 2 : 0), row * tall * 0.75];
}

/** The cell whose middle is nearest to a point, or -1. */
function nearest(x, y, grid, count) {
  const { wide, tall, columns } = grid;
  const guess = Math.floor(y / (tall * 0.75));
  let best = -1;
  let least = (tall / 2) ** 2 * 1.2;
  for (let row = guess - 1; row <= guess + 1; row += 1) {
    const column = Math.floor((x - (row % 2 ? wide / 2 : 0)) / wide);
    for (let i = Math.max(0, column - 1); i <= Math.min(columns - 1, column + 1); i += 1) {
      const index = row * columns + i;
      if (row < 0 || index >= count) continue;
      const [left, top] = corner(index, grid);
      const distance = (left + wide / 2 - x) ** 2 + (top + tall / 2 - y) ** 2;
      if (distance < least) [best, least] = [index, distance];
    }
  }
  return best;
}

function draw(cells, grid) {
  const shapes = new Map();
  const marks = new Map();
  cells.forEach(({ state, weight }, index) => {
    const [x, y] = corner(index, grid);
    const shade = Math.round((weight ?? 1) * (SHADES - 1));
    const key = `${state} ${shade}`;
    shapes.set(key, (shapes.get(key) ?? '') + hexagon(x, y, grid.wide));
    const mark = MARKS[state];
    if (mark) marks.set(state, (marks.get(state) ?? '') + mark(x + grid.wide / 2, y + grid.tall / 2, grid.wide / 5));
  });
  // A sign in a small cell leaves some of its colour.
  const thin = { strokeWidth: Math.max(0.7, grid.wide / 11) };
  const counts = new Map();
  for (const { state } of cells) counts.set(state, (counts.get(state) ?? 0) + 1);
  return html`${[...shapes].map(([key, d]) => {
    const [state, shade] = key.split(' ');
    return html`<path key=${key} class=${`cell is-${state}`} d=${d} fill-opacity=${0.55 + (0.45 * Number(shade)) / (SHADES - 1)} />`;
  })}${[...marks].map(([state, d]) => html`<path key=${state} class="mark" d=${d} style=${thin} />`)}<desc>
    ${[...counts].map(([state, n]) => `${n} ${state}`).join(', ')}</desc>`;
}

const round = (n) => Math.round(n * 10) / 10;

function hexagon(x, y, wide) {
  const w = wide - Math.max(1, wide / 10);
  const h = w * 1.15;
  const [half, quarter, side] = [round(w / 2), round(h / 4), round(h / 2)];
  return `M${round(x + w / 2)} ${round(y)}l${half} ${quarter}v${side}l${-half} ${quarter}l${-half} ${-quarter}v${-side}z`;
}

// What is not well has a shape too, not only a colour.
const cross = (x, y, r) =>
  `M${round(x - r - 0.5)} ${round(y - r - 0.5)}l${round(2 * r)} ${round(2 * r)}m0 ${round(-2 * r)}l${round(-2 * r)} ${round(2 * r)}`;
const bar = (x, y, r) => `M${round(x - r - 0.5)} ${round(y - 0.5)}h${round(2 * r)}`;
const dot = (x, y) => `M${round(x - 1)} ${round(y - 0.5)}h1`;
const MARKS = { failed: cross, crashed: cross, timedout: cross, flaky: bar, running: dot };
