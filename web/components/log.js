// The log of a job: foldable commands in one window over all lines. Only rows in sight are elements, and only their text is held.
// What is scrolled over is a number of rows, of which a line at the top is the anchor: whatever grows or folds, that line stays.
// Read next: ../lib/rows.js, ../lib/log.js, log-search.js.

import { number, plural } from '../lib/format.js';
import { address, jobPath } from '../lib/router.js';
import { Rows, rangeOf, rangeText } from '../lib/rows.js';
import { useKeys } from './hooks.js';
import { html, useEffect, useLayoutEffect, useRef, useState } from './html.js';
import { Header, holds, Line } from './log-line.js';
import { Search, useSearch } from './log-search.js';
import { Notice } from './parts.js';
import { useWindow } from './scroll.js';

/** Pixels of a unit of rows.js: a line has 18, a header 24. */
const UNIT = 6;
/** Rows beside those in sight whose text is asked for as well. */
const BESIDE = 100;

/** `job`: the state of store.js, changed in place and drawn anew after each change. `place` is the address, `go(query)` changes it. */
export function Log({ ctx, id, job, now, running, place, go }) {
  const { query } = place;
  const api = ctx.api;
  const rows = useRef(/** @type {any} */ (null));
  rows.current ??= fresh(job);
  const [follow, setFollow] = useState(running && !query.cmd && !query.find);
  const [filter, setFilter] = useState({ badOnly: query.bad === '1', text: '' });
  const [, redraw] = useState(0);
  const seen = useRef(job.lines);
  const inSight = useRef(new Set());
  /** The place to go to as soon as it is there. */
  const wanted = useRef(/** @type {any} */ (null));

  const layout = rows.current;
  if (!follow) {
    // What one reads does not fold by itself.
    for (const command of job.changed) {
      if (command.exit === 0 && inSight.current.has(command) && !layout.isOpen(command)) layout.toggle(command, true);
    }
  }
  layout.take(job.order, job.changed);
  job.changed.clear();
  layout.filter(filter);
  const total = layout.total;

  const letGo = () => {
    setFollow(false);
    seen.current = job.lines;
  };
  const view = useWindow({
    total,
    unit: UNIT,
    follow,
    /** What stands at a place, and its place later on. */
    keep: (place) => layout.at(place),
    find: (anchor) => layout.of(anchor.command, anchor.line),
    atEnd: () => running && setFollow(true),
    left: letGo,
  });

  /** @type {{ num: number, range: { from: number, to: number } | null } | null | any} */
  const marked = query.cmd == null ? null : { num: Number(query.cmd), range: rangeOf(query.line) };
  const text = query.find ?? '';
  const search = useSearch((what, signal) => api.logSearch(id, what, signal), text, job.lines);
  const [hit, setHit] = useState(-1);
  useEffect(() => setHit(-1), [text]);

  /** Shows a line, from 1, or a header (0) as soon as it is there; opens what it is folded into. */
  const reveal = (num, line) => {
    letGo();
    wanted.current = { num, line };
    redraw((n) => n + 1);
  };
  useEffect(() => {
    if (marked) reveal(marked.num, marked.range?.from ?? 0);
  }, [query.cmd, query.line]);
  useLayoutEffect(() => {
    const { num, line } = wanted.current ?? {};
    const command = num == null ? null : job.commands.get(num);
    if (!command || (command.log.length < line && !job.live)) return;
    wanted.current = null;
    if (!layout.isShown(command)) setFilter({ badOnly: false, text: '' });
    if (!layout.isOpen(command)) layout.toggle(command, true);
    const at = layout.of(command, Math.min(line, command.log.length) - 1);
    if (at != null) view.show(at, layout.at(at).to, layout.total);
    else wanted.current = { num, line };
    redraw((n) => n + 1);
  });

  const step = (by) => {
    const { matches } = search.answer;
    if (!matches.length) return;
    const order = ([num]) => job.commands.get(num)?.at ?? 0;
    // The queen tells them by number; one reads them in the order of the page.
    search.answer.sorted ??= [...matches].sort((a, b) => order(a) - order(b) || a[1] - b[1]);
    let next = hit + by;
    if (hit < 0 && by > 0) {
      const here = layout.at(view.first)?.command.at ?? 0;
      next = Math.max(
        0,
        search.answer.sorted.findIndex((match) => order(match) >= here),
      );
    }
    next = (next + matches.length) % matches.length;
    setHit(next);
    reveal(...search.answer.sorted[next]);
  };

  const here = (change) => address(jobPath(id), { ...query, tab: 'log', ...change });
  const pick = (num, line) => (event) => {
    if (event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    choose(num, line, event.shiftKey);
  };
  const choose = (num, line, more) => {
    const range =
      more && marked?.num === num && marked.range
        ? { from: Math.min(marked.range.from, line), to: Math.max(marked.range.to, line) }
        : { from: line, to: line };
    letGo();
    go({ cmd: num, line: rangeText(range) }, true);
  };
  /** Moves the mark by a line, or makes it longer. */
  const move = (by, more) => {
    const top = layout.at(view.first);
    const num = marked?.num ?? top?.command.num;
    const length = job.commands.get(num)?.log.length ?? 0;
    if (!length) return;
    const from = marked?.range ? (by > 0 ? marked.range.to : marked.range.from) + by : Math.max(1, (top?.line ?? 0) + 1);
    choose(num, Math.max(1, Math.min(length, from)), more);
  };
  useKeys({
    '.': () => (follow ? letGo() : setFollow(running)),
    j: () => move(1, false),
    k: () => move(-1, false),
    J: () => move(1, true),
    K: () => move(-1, true),
    Escape: () => marked && go({ cmd: null, line: null }, true),
  });

  const shown = [];
  const ranges = [];
  inSight.current = new Set();
  const raw = `/api/v1/jobs/${encodeURIComponent(id)}/log`;
  const toggle = (command) => {
    letGo();
    layout.toggle(command, !layout.isOpen(command));
    redraw((n) => n + 1);
  };
  const header = (command, top, above) =>
    html`<${Header} key=${above ? 'above' : `h${command.num}`} command=${command} open=${layout.isOpen(command)} top=${top} now=${now}
      toggle=${toggle} nameOf=${ctx.droneName} raw=${`${raw}?num=${command.num}`} above=${above} />`;
  for (let item = layout.at(view.first); item && item.from < view.last; item = layout.at(item.to)) {
    const { command, line } = item;
    inSight.current.add(command);
    if (line < 0) {
      shown.push(header(command, view.top(item.from), false));
      continue;
    }
    const last = ranges.at(-1);
    if (last?.log === command.log) last.to = line + 1;
    else ranges.push({ log: command.log, from: line, to: line + 1 });
    const known = command.log.line(line);
    const isMarked = marked?.num === command.num && marked.range && line + 1 >= marked.range.from && line + 1 <= marked.range.to;
    shown.push(
      html`<${Line} key=${`${command.num}.${line}`} line=${known} number=${line + 1} top=${view.top(item.from)} marked=${isMarked}
        found=${holds(known, text) ? text : ''} href=${here({ cmd: command.num, line: line + 1 })} pick=${pick(command.num, line + 1)} />`,
    );
  }
  useEffect(() => {
    const beside = ranges.map(({ log, from, to }) => ({ log, from: from - BESIDE, to: to + BESIDE }));
    job.pages.want([...ranges, ...beside]);
  });
  const above = layout.at(view.first);
  const came = Math.max(0, job.lines - seen.current);
  const all = (open) => () => {
    layout.toggleAll(open);
    redraw((n) => n + 1);
  };

  return html`<section class="log" aria-label="Log">
    <div class="tools">
      <span class="faint num">${plural(job.lines, 'line')} of ${plural(job.order.length, 'command')}</span>
      <label class="check"><input type="checkbox" checked=${filter.badOnly}
        onChange=${(event) => setFilter({ ...filter, badOnly: event.target.checked })} /> Failures only</label>
      <input type="search" class="filter" placeholder="Only commands named …" aria-label="Only commands whose name holds"
        value=${filter.text}
        onInput=${(event) => setFilter({ ...filter, text: event.target.value })} />
      <button class="quiet" onClick=${all(true)}>Unfold all</button>
      <button class="quiet" onClick=${all(false)}>Fold all</button>
      <${Search} text=${text} setText=${(find) => go({ find }, true)} state=${search} at=${hit} step=${step} />
      <a class="quiet button" href=${raw} download>Download</a>
      <a class="quiet button" href=${raw} target="_blank" rel="noopener">Raw</a>
    </div>
    ${
      marked?.range &&
      html`<${Marked} raw=${raw} marked=${marked} command=${job.commands.get(marked.num)} here=${here({})}
      clear=${() => go({ cmd: null, line: null }, true)} />`
    }
    ${
      job.pages.problem &&
      html`<${Notice} kind="bad" title="Part of the log could not be loaded">${job.pages.problem.message} <button
        onClick=${() => job.pages.retry()}>Try again</button><//>`
    }
    <div class="lines" ref=${view.box} onScroll=${view.onScroll} onWheel=${view.onWheel} onKeyDown=${view.onKeyDown} tabindex="0"
      role="region"
      aria-label="Lines of the log; j and k mark one, the arrow keys scroll">
      <div class="spacer" style=${{ height: `${view.height}px` }}>
        ${above && above.line >= 0 && header(above.command, view.edge, true)}
        ${shown}
        ${total === 0 && html`<p class="faint nothing">${nothing(job, running, filter)}</p>`}
      </div>
    </div>
    ${
      running &&
      !follow &&
      html`<button class="follow main" onClick=${() => setFollow(true)}>Jump to now${came > 0 && html` · ${plural(came, 'new line')}`}
        </button>`
    }
  </section>`;
}

/** Rows that know nothing yet, to be told of everything. */
function fresh(job) {
  job.changed.clear();
  return new Rows();
}

function nothing(job, running, { badOnly, text }) {
  if (job.order.length && (badOnly || text)) return badOnly ? 'No command has failed.' : 'No command has a name that holds this.';
  return running ? 'Nothing was written yet.' : 'This job wrote nothing.';
}

/** What is marked: its address to copy, and its text alone. */
function Marked({ raw, marked, command, here, clear }) {
  const [copied, setCopied] = useState('');
  const { from, to } = marked.range;
  useEffect(() => setCopied(''), [here]);
  const copy = () =>
    navigator.clipboard?.writeText(new URL(here, location.href).href).then(
      () => setCopied('copied'),
      () => setCopied('could not be copied'),
    );
  return html`<p class="chosen" role="status">
    <span>${from === to ? `Line ${number(from)}` : `Lines ${number(from)}–${number(to)}`} of <span class="mono">
      ${command?.path ?? command?.command ?? `command ${marked.num}`}</span></span>
    ${navigator.clipboard ? html`<button class="quiet" onClick=${copy}>Copy link</button>` : html`<a href=${here}>Link</a>`}
    <a class="quiet button" href=${`${raw}?num=${marked.num}&from=${from}&to=${to}`} target="_blank" rel="noopener">Raw</a>
    <button class="quiet" onClick=${clear} title="Escape">Clear</button> <span class="faint">
      ${copied || 'shift-click another number for a range'}</span>
  </p>`;
}
