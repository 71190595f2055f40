// One row of the log: a command's header, or a line with its number and colours. Text is always text.

import { classes, parse, strip } from '../lib/ansi.js';
import { duration, plural } from '../lib/format.js';
import { isBad } from '../lib/rows.js';
import { html } from './html.js';
import { State } from './parts.js';

const at = (top) => ({ transform: `translateY(${Math.round(top)}px)` });

/** A command: what, where, how long, how it ended; folds and unfolds. `above`: it stands for a header that is out of sight. */
export function Header({ command, open, top, now, toggle, nameOf, raw, above = false }) {
  const state = command.exit == null ? 'running' : isBad(command) ? 'failed' : 'passed';
  const took = command.elapsed ?? (command.exit == null && command.since ? now - command.since : null);
  const facts = [
    command.plugin ?? command.phase,
    command.drone && nameOf(command.drone),
    command.exit ? `exit ${command.exit}` : null,
    took == null ? null : duration(took),
    plural(command.log.length, 'line'),
  ].filter(Boolean);
  const name = command.path ?? command.command;
  return html`<div class=${`line head${above ? ' above' : ''}`} style=${at(top)}>
    <button aria-expanded=${open} onClick=${() => toggle(command)} title=${command.command}>
      <span class="fold" aria-hidden="true">${open ? '▾' : '▸'}</span><${State} of=${state} bare /> <span class="what">
        ${name || 'output of no command'}</span>
      ${command.path && command.command && html`<span class="faint"> ${command.command}</span>`}
    </button>
    <span class="faint num">${facts.join(' · ')}</span>
    <a class="faint" href=${raw} target="_blank" rel="noopener" aria-label=${`Raw output of ${name}`}>raw</a>
  </div>`;
}

/** A line. `line` is undefined while its text is on its way; `href` is its address. */
export function Line({ line, number, top, href, marked, found, pick }) {
  const names = `line${line?.error ? ' err' : ''}${marked ? ' marked' : ''}${line ? '' : ' coming'}`;
  const no = html`<a class="no" href=${href} tabindex="-1" onClick=${pick}>${number}</a>`;
  if (!line) {
    // As quiet as can be, and not all of one length.
    return html`<div class=${names} style=${at(top)}>${no}<span class=${`text bar-${number % 5}`} title="on its way" /></div>`;
  }
  const { spans } = parse(line.text, line.style);
  return html`<div class=${names} style=${at(top)}>${no}<span class="text">${found ? highlit(spans, found) : spans.map(Span)}</span></div>`;
}

function Span({ text, style }) {
  const names = classes(style);
  return names ? html`<span class=${names}>${text}</span>` : text;
}

/** Spans with what was searched for marked, over their borders. */
function highlit(spans, found) {
  const whole = spans.map(({ text }) => text).join('');
  const low = whole.toLowerCase();
  // Where lower case is longer than what it was, places would not fit.
  if (low.length !== whole.length) return spans.map(Span);
  const needle = found.toLowerCase();
  const cuts = [];
  for (let i = low.indexOf(needle); i >= 0; i = low.indexOf(needle, i + needle.length)) cuts.push([i, i + needle.length]);
  const parts = [];
  let offset = 0;
  for (const { text, style } of spans) {
    let from = 0;
    const push = (to, hit) => {
      if (to > from)
        parts.push(hit ? html`<mark>${Span({ text: text.slice(from, to), style })}</mark>` : Span({ text: text.slice(from, to), style }));
      from = Math.max(from, to);
    };
    for (const [a, b] of cuts) {
      if (b <= offset || a >= offset + text.length) continue;
      push(Math.max(0, a - offset), false);
      push(Math.min(text.length, b - offset), true);
    }
    push(text.length, false);
    offset += text.length;
  }
  return parts;
}

/** True if a line holds what is searched for. */
export const holds = (line, text) => Boolean(text && line && strip(line.text).toLowerCase().includes(text.toLowerCase()));
