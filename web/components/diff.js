// Differences as lines with a sign each, so that colour is not all that tells them.

import { readable } from '../lib/diff.js';
import { html, useMemo, useState } from './html.js';

/** Lines of a message that are shown at first. */
const MOST = 200;

/** A failure's message: what is expected and what is actual stand out. */
export function Message({ text }) {
  const lines = useMemo(() => readable(text), [text]);
  const [all, showAll] = useState(false);
  const shown = all ? lines : lines.slice(0, MOST);
  return html`<pre class="message" tabindex="0">${shown.map(
    ({ kind, text: line, mark }, i) => html`<span key=${i} class=${`diff-${kind}`}>${mark ? marked(line, mark) : line}${'\n'}</span>`,
  )}</pre>
  ${
    lines.length > shown.length &&
    html`<button class="quiet" onClick=${() => showAll(true)}>
    ${lines.length - shown.length} more lines</button>`
  }`;
}

function marked(text, [from, to]) {
  return html`${text.slice(0, from)}<mark>${text.slice(from, to)}</mark>${text.slice(to)}`;
}

const WORDS = { '-': 'only before: ', '+': 'only now: ' };
const KINDS = { '-': 'minus', '+': 'plus', ' ': 'plain' };

/** How a log differs from an earlier one: `hunks` of lib/differ.js over the texts `before` and `now`. */
export function LogDiff({ hunks, before, now, names }) {
  return html`<pre class="message" tabindex="0" aria-label=${`Lines only in ${names[0]} have a minus, lines only in ${names[1]} a plus`}>
    ${hunks.map(({ sign, a, b, count }, i) =>
      sign === '…'
        ? html`<span key=${i} class="diff-hunk">… ${count} ${count === 1 ? 'line' : 'lines'} alike${'\n'}</span>`
        : html`<span key=${i} class=${`diff-${KINDS[sign]}`}><span class="unseen">${WORDS[sign]}</span><span aria-hidden="true">
          ${sign} </span>${sign === '-' ? before[a] : now[b]}${'\n'}</span>`,
    )}</pre>`;
}
