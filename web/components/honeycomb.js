// Cells of a honeycomb as one drawing: a file or a slot each. Colour and sign by state, shade by weight.

import { html } from './html.js';

const WIDTH = 14;
const HEIGHT = 16;

/** `cells`: `[{ key, state, weight, title, href }]`, weight from 0 to 1. `width` in pixels; rows wrap. */
export function Honeycomb({ cells, width, label }) {
  const columns = Math.max(1, Math.floor((width - WIDTH / 2) / WIDTH));
  const rows = Math.ceil(cells.length / columns);
  const across = Math.min(cells.length, columns) * WIDTH + WIDTH / 2;
  const down = Math.max(0, rows - 1) * HEIGHT * 0.75 + HEIGHT;
  // A picture has no links in it.
  const role = cells.some(({ href }) => href) ? 'group' : 'img';
  return html`<svg class="honeycomb" role=${role} aria-label=${label} width=${across} height=${down} viewBox=${`0 0 ${across} ${down}`}>
    ${cells.map((cell, i) => {
      const row = Math.floor(i / columns);
      const x = (i % columns) * WIDTH + (row % 2 ? WIDTH / 2 : 0);
      const y = row * HEIGHT * 0.75;
      const shape = html`<path class=${`cell is-${cell.state}`} d=${hexagon(x, y)} fill-opacity=${0.55 + 0.45 * (cell.weight ?? 1)}>
        <title>${cell.title}</title></path>
        ${MARKS[cell.state] && html`<path class="mark" d=${MARKS[cell.state](x + WIDTH / 2, y + HEIGHT / 2)} />`}`;
      return cell.href
        ? html`<a key=${cell.key} href=${cell.href} aria-label=${cell.title} tabindex=${cell.state === 'failed' ? 0 : -1}>${shape}</a>`
        : html`<g key=${cell.key}>${shape}</g>`;
    })}
  </svg>`;
}

function hexagon(x, y) {
  const w = WIDTH - 1.5;
  const h = HEIGHT - 1.5;
  return `M${x + w / 2} ${y}l${w / 2} ${h / 4}v${h / 2}l${-w / 2} ${h / 4}l${-w / 2} ${-h / 4}v${-h / 2}z`;
}

// What is not well has a shape too, not only a colour.
const cross = (x, y) => `M${x - 3.5} ${y - 3.5}l5.5 5.5m0 -5.5l-5.5 5.5`;
const bar = (x, y) => `M${x - 3.5} ${y - 0.75}h5.5`;
const MARKS = { failed: cross, crashed: cross, timedout: cross, flaky: bar };
