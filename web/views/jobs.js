// All jobs, newest first, live. The filters stand in the address; only the rows in sight are in the page.

import { useKeys, useLists, useMedia, useNow, usePage, useRedraw, useThrottled } from '../components/hooks.js';
import { html, useEffect, useLayoutEffect, useRef, useState } from '../components/html.js';
import { NoJob } from '../components/none.js';
import { Failed, JobRow, Notice, Skeleton } from '../components/parts.js';
import { Sign } from '../components/state.js';
import { number } from '../lib/format.js';
import { above, emptyJobList, inSight, withNewest, withOlder } from '../lib/job-list.js';
import { address } from '../lib/router.js';
import { wordOf } from '../lib/states.js';

const STATES = ['queued', 'running', 'passed', 'failed', 'errored', 'cancelled'];
const TEXTS = [
  ['project', 'Project', 'owner/name'],
  ['branch', 'Branch', 'main'],
  ['author', 'Author', 'name or mail'],
  ['trigger', 'Trigger', 'webhook'],
  ['text', 'Text', 'id, message'],
];
const FILTERS = ['state', ...TEXTS.map(([name]) => name)];
const PAGE = 200;
/** Rows from the end at which the next page is asked for. */
const AHEAD = 60;

/** Lists that were left, by their filters, so that one comes back to where one was. */
const left = new Map();

export function Jobs({ ctx, place }) {
  const filter = Object.fromEntries(FILTERS.filter((name) => place.query[name]).map((name) => [name, place.query[name]]));
  const key = JSON.stringify(filter);
  usePage('Jobs');
  const set = (name, value) => ctx.go(address('/jobs', { ...filter, [name]: value }), true);
  return html`<h1>Jobs</h1>
    <${Filters} filter=${filter} set=${set} />
    <${List} key=${key} id=${key} ctx=${ctx} filter=${filter} back=${place.back} />`;
}

function Filters({ filter, set }) {
  const chosen = new Set((filter.state ?? '').split(',').filter(Boolean));
  const turn = (state) => {
    if (!chosen.delete(state)) chosen.add(state);
    set('state', STATES.filter((one) => chosen.has(one)).join(','));
  };
  return html`<form class="filters" aria-label="Filters" onSubmit=${(event) => event.preventDefault()}>
    <fieldset><legend>State</legend><div class="picks">${STATES.map(
      (state) => html`<label key=${state} class=${`pick is-${state}`}>
        <input type="checkbox" name="state" value=${state} checked=${chosen.has(state)} onChange=${() => turn(state)} />
        <${Sign} of=${state} /><span>${wordOf(state)}</span>
      </label>`,
    )}</div></fieldset>
    ${TEXTS.map(
      ([name, label, hint]) =>
        html`<${Field} key=${name} name=${name} label=${label} hint=${hint} value=${filter[name] ?? ''} set=${set} />`,
    )}
    ${Object.keys(filter).length > 0 && html`<a class="button quiet" href="/jobs">Clear</a>`}
  </form>`;
}

/** A filter's text: it takes effect shortly after one stops typing. */
function Field({ name, label, hint, value, set }) {
  const [text, setText] = useState(value);
  const timer = useRef(0);
  const own = useRef(value);
  useEffect(() => {
    // The address changed otherwise: by going back, or by clearing.
    if (value !== own.current) setText(value);
    own.current = value;
  }, [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const apply = (typed) => {
    clearTimeout(timer.current);
    if (typed === own.current) return;
    own.current = typed;
    set(name, typed);
  };
  const type = (event) => {
    const typed = event.target.value;
    setText(typed);
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => apply(typed.trim()), 400);
  };
  return html`<label>${label}
    <input name=${name} value=${text} placeholder=${hint} autocomplete="off" spellcheck=${false}
      onInput=${type} onChange=${() => apply(text.trim())} />
  </label>`;
}

function List({ id, ctx, filter, back }) {
  const own = useRef((back && left.get(id)) || { list: emptyJobList(), scroll: 0 }).current;
  const [error, setError] = useState(/** @type {any} */ (null));
  const redraw = useRedraw();
  const asked = useRef({ newest: 0, older: '', gone: false, paused: true }).current;
  /** Pixels that the list grew above what is in sight, to be scrolled at the next drawing. */
  const shift = useRef(0);

  const newest = async () => {
    const mine = ++asked.newest;
    try {
      const page = await ctx.api.jobs({ ...filter, limit: PAGE });
      if (asked.gone || mine !== asked.newest) return;
      const first = own.list.jobs[0]?.id;
      own.list = withNewest(own.list, page, !asked.paused && page.jobs.length < PAGE);
      asked.paused = false;
      if (first) shift.current += above(own.list, first);
      setError(null);
    } catch (problem) {
      if (!asked.gone) setError(problem);
    }
    redraw();
  };
  const older = async () => {
    const before = own.list.next;
    if (!before) return;
    // What was refused meanwhile is no reason to stop.
    setError(null);
    if (asked.older === before) return;
    asked.older = before;
    try {
      const page = await ctx.api.jobs({ ...filter, limit: PAGE, before });
      if (asked.gone) return;
      own.list = withOlder(own.list, page, before);
    } catch (problem) {
      if (!asked.gone) setError(problem);
    } finally {
      // The list may come to this cursor again, when it begins anew.
      if (asked.older === before) asked.older = '';
    }
    redraw();
  };
  const refresh = useThrottled(newest, 1000);
  useLists(
    ctx,
    (message) => {
      if (message.type !== 'jobs:changed') return;
      const row = message.args[0];
      const known = own.list.jobs.find((job) => job.id === row?.id);
      // What is shown changes at once; what comes or goes is the queen's to say.
      if (!known || known.state !== row.state) refresh();
      if (known) redraw();
    },
    () => {
      asked.paused = true;
      refresh();
    },
  );
  useEffect(() => {
    newest();
    left.delete(id);
    left.set(id, own);
    // The oldest that was left goes.
    if (left.size > 4) left.delete(left.keys().next().value);
    return () => {
      asked.gone = true;
    };
  }, []);

  const { jobs, known, next } = own.list;
  const seeking = known && !jobs.length && next !== null;
  // A page that found nothing is gone on from: the queen ends it early where a text is hard to find.
  useEffect(() => {
    if (seeking && !error) older();
  }, [seeking && next, error]);
  if (error && (!known || seeking)) return html`<${Failed} error=${error} retry=${seeking ? older : newest} />`;
  if (!known) return html`<${Skeleton} rows="12" />`;
  if (seeking) return html`<p class="faint" role="status">Looking in older jobs…</p>`;
  if (!jobs.length) {
    return Object.keys(filter).length
      ? html`<${Notice} title="No job fits these filters"><a href="/jobs">Show all</a><//>`
      : html`<${NoJob} ctx=${ctx} />`;
  }
  return html`${error && html`<${Failed} error=${error} retry=${() => (own.list.next ? older() : newest())} />`}
    <${Rows} ctx=${ctx} list=${own.list} older=${older} shift=${shift} own=${own} />`;
}

function Rows({ ctx, list, older, shift, own }) {
  const { jobs, next } = list;
  const now = useNow();
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const height = useMedia('(max-width: 760px)') ? 52 : 32;
  const [[first, end], setSight] = useState(/** @type {number[]} */ ([0, 40]));
  const cursor = useRef(/** @type {string | null} */ (null));
  const focus = useRef(false);

  const look = () => {
    if (!box.current) return;
    own.scroll = scrollY;
    const top = -box.current.getBoundingClientRect().top;
    const sight = inSight({ top, view: innerHeight, height, count: jobs.length });
    setSight((before) => (before[0] === sight[0] && before[1] === sight[1] ? before : sight));
    if (next && sight[1] > jobs.length - AHEAD) older();
  };
  useLayoutEffect(() => {
    if (own.scroll) scrollTo(0, own.scroll);
  }, []);
  useLayoutEffect(() => {
    const moved = shift.current * height;
    shift.current = 0;
    // Rows that came on top do not push away what one reads.
    if (moved && box.current && box.current.getBoundingClientRect().top < 0) scrollBy(0, moved);
    look();
  }, [list, height]);
  useEffect(() => {
    addEventListener('scroll', look, { passive: true });
    addEventListener('resize', look);
    return () => {
      removeEventListener('scroll', look);
      removeEventListener('resize', look);
    };
  });
  /** Gives the focus to the row that it was sent to, as soon as that is drawn. */
  const take = () => {
    if (!focus.current || !cursor.current) return;
    const link = /** @type {HTMLElement | null} */ (box.current?.querySelector(`[data-row="${CSS.escape(cursor.current)}"] a`));
    if (!link) return;
    focus.current = false;
    link.focus({ preventScroll: true });
  };
  useLayoutEffect(take);
  const step = (by) => {
    // One who is quicker than the drawing goes on from where the focus is about to be.
    const active = focus.current ? cursor.current : document.activeElement?.closest?.('[data-row]')?.getAttribute('data-row');
    const at = active == null ? -1 : above(list, active);
    // One begins at the first row that is in sight now, whatever was drawn last.
    const top = -(box.current?.getBoundingClientRect().top ?? 0);
    const begin = inSight({ top, view: innerHeight, height, count: jobs.length, more: 0 })[0];
    const to = Math.max(0, Math.min(jobs.length - 1, at < 0 ? begin : at + by));
    cursor.current = jobs[to].id;
    focus.current = true;
    // The row is brought into sight first; drawn, it takes the focus.
    const y = to * height - top;
    if (y < 80) scrollBy(0, y - 80);
    else if (y + height > innerHeight - 40) scrollBy(0, y + height - innerHeight + 40);
    setSight(([a, b]) => [Math.min(a, to), Math.max(b, to + 1)]);
    take();
  };
  useKeys({ j: () => step(1), k: () => step(-1) });

  const at = (row) => ({ transform: `translateY(${row * height}px)` });
  const drawn = jobs.slice(first, Math.min(end, jobs.length)).map(
    (job, i) => html`<${JobRow} key=${job.id} job=${ctx.fresh(job)} now=${now} style=${at(first + i)}
      aria-posinset=${first + i + 1} aria-setsize=${next ? -1 : jobs.length} />`,
  );
  return html`<p class="faint num list-sum">${number(jobs.length)}${next ? '+' : ''} ${jobs.length === 1 ? 'job' : 'jobs'}</p>
    <ul class="rows windowed" ref=${box} style=${{ height: `${(jobs.length + (next ? 3 : 0)) * height + 2}px` }}>
      ${drawn}
      ${next && html`<li key="more" class="row more faint" style=${at(jobs.length)}>Older jobs come as you scroll</li>`}
    </ul>`;
}
