// A state as a shape and a word.

import { STATES, wordOf } from '../lib/states.js';
import { html } from './html.js';

/** A shape, 16 pixels square. Its colour is that of the text around it. */
export function Shape({ path, fill = '' }) {
  return html`<svg class="sign" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
    ${fill && html`<path class="half" d=${fill} />`}<path d=${path} />
  </svg>`;
}

/** A state's shape alone. */
export function Sign({ of }) {
  const { path, fill } = STATES[of] ?? STATES.lost;
  return html`<${Shape} path=${path} fill=${fill} />`;
}

/** A state as shape and, unless `bare`, word. */
export function State({ of, bare = false }) {
  const word = wordOf(of);
  return html`<span class=${`state is-${of}`} title=${bare ? word : null}><${Sign} of=${of} />${
    bare ? html`<span class="unseen">${word}</span>` : html` ${word}`
  }</span>`;
}
