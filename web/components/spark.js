// Files a minute over the last hour, as small bars.

import { clock, number, plural } from '../lib/format.js';
import { html } from './html.js';

const HEIGHT = 28;
const STEP = 4;

/** `minutes`: `[[start of the minute, files], …]`, oldest first. */
export function Spark({ minutes }) {
  const all = minutes.reduce((sum, [, files]) => sum + files, 0);
  const [when, most] = minutes.reduce((best, one) => (one[1] > best[1] ? one : best), [0, 0]);
  const some = `${plural(all, 'file')} in the last hour, at most ${number(most)} a minute, at ${clock(when)}`;
  const words = all === 0 ? 'No file ended in the last hour' : some;
  return html`<figure class="spark">
    <svg role="img" aria-label=${words} width=${minutes.length * STEP} height=${HEIGHT} viewBox=${`0 0 ${minutes.length * STEP} ${HEIGHT}`}>
      ${minutes.map(([start, files], i) => {
        const height = files === 0 ? 1 : Math.max(2, (HEIGHT * files) / most);
        const at = { x: i * STEP, y: HEIGHT - height, width: STEP - 1, height };
        return html`<rect key=${start} class=${files ? 'some' : 'none'} ...${at}>
          <title>${clock(start)}: ${plural(files, 'file')}</title>
        </rect>`;
      })}
    </svg>
    <figcaption class="faint num">${all === 0 ? 'no files in the last hour' : `${number(all)} files, last hour`}</figcaption>
  </figure>`;
}
