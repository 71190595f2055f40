// The output of a job's commands: foldable sections in one window over all lines. Only rows in sight are elements.

import { classes, parse, strip } from '../lib/ansi.js';
import { duration, number, plural } from '../lib/format.js';
import { address, jobPath } from '../lib/router.js';
import { rowAt, rowOf, sections } from '../lib/rows.js';
import { useKeys } from './hooks.js';
import { html, useEffect, useMemo, useRef, useState } from './html.js';
import { State } from './parts.js';

const ROW = 20;
/** Browsers stop at some tens of millions of pixels; above this, scrolling is scaled. */
const TALLEST = 8_000_000;
/** Matches of a search that are counted one by one. */
const MOST = 10_000;

/** `job`: the state of store.js, changed in place; `version` says that it changed. */
export function Log({ id, job, version, now, running, place, nameOf }) {
  const box = useRef(null);
  const [scroll, setScroll] = useState({ top: 0, height: 600 });
  const [follow, setFollow] = useState(running && !place.query.cmd);
  const [toggled, setToggled] = useState(() => new Map());
  const [badOnly, setBadOnly] = useState(false);
  const [query, setQuery] = useState('');
  const [hit, setHit] = useState(0);
  const seen = useRef(0);
  const reading = useRef({ top: 0, factor: 1 });
  const wanted = useRef(place.query.cmd ? { num: Number(place.query.cmd), line: Number(place.query.line || 0) } : null);

  const layout = sections(job.order, { toggled, badOnly });
  const total = layout.total;
  const real = total * ROW;
  const tall = Math.min(real, TALLEST);
  const factor = tall > scroll.height && real > tall ? (real - scroll.height) / (tall - scroll.height) : 1;
  const first = Math.max(0, Math.floor((scroll.top * factor) / ROW));
  const shown = Math.min(total - first, Math.ceil(scroll.height / ROW) + 2);

  const hits = useMemo(() => (query ? find(job.order, query) : []), [query, query && version]);
  const goTo = (row) => {
    setFollow(false);
    if (!box.current) return;
    reading.current = { top: Math.max(0, row * ROW - scroll.height / 3), factor };
    box.current.scrollTop = reading.current.top / factor;
    box.current.scrollIntoView({ block: 'nearest' });
  };
  const reveal = (num, line) => {
    setToggled((before) => new Map(before).set(num, true));
    wanted.current = { num, line };
  };
  const step = (by) => {
    if (!hits.length) return;
    const next = (hit + by + hits.length) % hits.length;
    setHit(next);
    reveal(hits[next].num, hits[next].line);
  };

  useEffect(() => {
    const measure = () => box.current && setScroll({ top: box.current.scrollTop, height: box.current.clientHeight });
    measure();
    const watcher = new ResizeObserver(measure);
    watcher.observe(box.current);
    return () => watcher.disconnect();
  }, []);
  useEffect(() => {
    if (follow) {
      box.current.scrollTop = box.current.scrollHeight;
      seen.current = job.lines;
    } else if (factor !== reading.current.factor) {
      // What one reads stays where it is while a scaled log grows.
      box.current.scrollTop = reading.current.top / factor;
    }
    reading.current.factor = factor;
  });
  useEffect(() => {
    // A place in the address, or a match: gone to as soon as its line is there, or the past is told.
    const { num, line } = wanted.current ?? {};
    const section = num == null ? null : layout.sections.find(({ command }) => command.num === num);
    if (!section || (section.command.log.length < line && !job.live)) return;
    if (!section.open && !toggled.has(num)) {
      setToggled((before) => new Map(before).set(num, true));
      return;
    }
    wanted.current = null;
    goTo(rowOf(layout, num, line));
  });
  useEffect(() => {
    if (place.query.cmd) reveal(Number(place.query.cmd), Number(place.query.line || 0));
  }, [place.query.cmd, place.query.line]);
  useKeys({ '.': () => setFollow((on) => !on) });

  const onScroll = () => {
    const { scrollTop: top, clientHeight: height, scrollHeight } = box.current;
    setScroll({ top, height });
    // An echo of a place set above says nothing new, and may be told after the scale has changed.
    if (Math.abs(top - reading.current.top / reading.current.factor) > 2) reading.current = { top: top * factor, factor };
    if (top + height >= scrollHeight - 2) {
      seen.current = job.lines;
      if (running) setFollow(true);
    } else if (follow && top < scroll.top) setFollow(false);
  };
  const toggle = (section) => setToggled((before) => new Map(before).set(section.command.num, !section.open));

  const rows = [];
  for (let row = first; row < first + shown; row += 1) {
    const { section, line } = rowAt(layout, row);
    // Positions are relative to the window, so that scaling does not tear rows apart.
    const top = scroll.top + (row * ROW - scroll.top * factor);
    rows.push(
      line < 0
        ? html`<${Header} key=${`h${section.command.num}`} section=${section} top=${top} now=${now} toggle=${toggle} nameOf=${nameOf} />`
        : html`<${Line} key=${`${section.command.num}.${line}`} id=${id} section=${section} line=${line} top=${top} place=${place} query=${query} />`,
    );
  }
  const above = shown > 0 ? rowAt(layout, first) : null;
  const fresh = Math.max(0, job.lines - seen.current);

  return html`<section class="log" aria-label="Log">
    <div class="tools">
      <h2>Log</h2><span class="faint num">${plural(job.lines, 'line')}</span>
      <label class="check"><input type="checkbox" checked=${badOnly} onChange=${(event) => setBadOnly(event.target.checked)} /> Failures only</label>
      <button class="quiet" onClick=${() => setToggled(new Map(job.order.map((command) => [command.num, true])))}>Unfold all</button>
      <button class="quiet" onClick=${() => setToggled(new Map(job.order.map((command) => [command.num, false])))}>Fold all</button>
      <span class="find"><input type="search" placeholder="Find in the log" aria-label="Find in the log" value=${query}
          onInput=${(event) => {
            setQuery(event.target.value);
            setHit(0);
          }} onKeyDown=${(event) => event.key === 'Enter' && step(event.shiftKey ? -1 : 1)} />
        ${
          query &&
          html`<span class="num faint" role="status">${hits.length ? `${number(hit + 1)} of ${hits.length >= MOST ? `${number(MOST)}+` : number(hits.length)}` : 'none'}</span>
          <button class="quiet" aria-label="Previous match" onClick=${() => step(-1)}>↑</button><button class="quiet" aria-label="Next match" onClick=${() => step(1)}>↓</button>`
        }</span>
      <a class="quiet button" href=${`/api/v1/jobs/${encodeURIComponent(id)}/log`} download>Raw</a>
    </div>
    <div class="lines" ref=${box} onScroll=${onScroll} tabindex="0">
      <div class="spacer" style=${{ height: `${Math.max(tall, 1)}px` }}>
        ${above && above.line >= 0 && html`<${Header} key="above" section=${above.section} top=${scroll.top} now=${now} toggle=${toggle} nameOf=${nameOf} above />`}
        ${rows}
        ${total === 0 && html`<p class="faint nothing">${running ? 'Nothing was written yet.' : 'This job wrote nothing.'}</p>`}
      </div>
    </div>
    ${running && !follow && html`<button class="follow main" onClick=${() => setFollow(true)}>Jump to now${fresh > 0 && html` · ${plural(fresh, 'new line')}`}</button>`}
  </section>`;
}

const at = (top) => ({ transform: `translateY(${Math.round(top)}px)` });

function Header({ section, top, now, toggle, nameOf, above }) {
  const { command, open } = section;
  const state = command.exit == null ? 'running' : command.exit === 0 ? 'passed' : 'failed';
  const took = command.elapsed ?? (command.exit == null && command.since ? now - command.since : null);
  return html`<div class=${`line head${above ? ' above' : ''}`} style=${at(top)}>
    <button aria-expanded=${open} onClick=${() => toggle(section)}><span class="fold" aria-hidden="true">${open ? '▾' : '▸'}</span>
      <${State} of=${state} bare /> <span class="what">${command.path ?? command.command ?? ''}</span>
      ${command.path && command.command && html`<span class="faint what"> ${command.command}</span>`}</button>
    <span class="faint num">${[
      command.plugin ?? command.phase,
      command.drone && nameOf(command.drone),
      command.exit ? `exit ${command.exit}` : null,
      took == null ? null : duration(took),
      plural(command.log.length, 'line'),
    ]
      .filter(Boolean)
      .join(' · ')}</span></div>`;
}

function Line({ id, section, line, top, place, query }) {
  const { num, log } = section.command;
  const { spans } = parse(log.lines[line], log.style(line));
  const marked = Number(place.query.cmd) === num && Number(place.query.line) === line + 1;
  const found = query && strip(log.lines[line]).toLowerCase().includes(query.toLowerCase());
  return html`<div class=${`line${log.isError(line) ? ' err' : ''}${marked ? ' marked' : ''}${found ? ' found' : ''}`} style=${at(top)}>
    <a class="no" href=${address(jobPath(id), { ...place.query, cmd: num, line: line + 1 })} tabindex="-1">${line + 1}</a><span class="text">${spans.map(
      ({ text, style }) => {
        const names = classes(style);
        return names ? html`<span class=${names}>${text}</span>` : text;
      },
    )}</span></div>`;
}

function find(commands, query) {
  const needle = query.toLowerCase();
  const hits = [];
  for (const { num, log } of commands) {
    for (let line = 0; line < log.length; line += 1) {
      if (!strip(log.lines[line]).toLowerCase().includes(needle)) continue;
      hits.push({ num, line: line + 1 });
      if (hits.length >= MOST) return hits;
    }
  }
  return hits;
}
