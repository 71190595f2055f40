// One job: did it pass, will it, when; what failed and what does it say; where did the time go; and every line.
// Hears the job's events and keeps its state; each part is a tab with an address and a module of its own. Read next: job/.

import { useKeys, useLoad, useNow, usePage, useRedraw, useThrottled } from '../components/hooks.js';
import { html, useEffect, useMemo, useRef, useState } from '../components/html.js';
import { Failed, Notice, Skeleton } from '../components/parts.js';
import { number } from '../lib/format.js';
import { Pages } from '../lib/log.js';
import { address, jobPath } from '../lib/router.js';
import { FINAL } from '../lib/states.js';
import { emptyJob, filesOf, sumOf, job as take } from '../lib/store.js';
import { Failures } from './job/failures.js';
import { Head } from './job/head.js';

/** Events after which the header's row is asked for again. */
const TELLING = /^job:(queued|started|phase|files|file:done|tested|deployed|errored|cancelled|retry|done)$/;

/**
 * What the tabs are: name, label, count, what loads the component.
 * @type {[string, string, (job: any) => number, (() => Promise<any>) | null][]}
 */
const TABS = [
  ['failures', 'Failures', ({ tally }) => tally.bad, null],
  ['files', 'Files', ({ tally }) => tally.total, () => import('./job/files.js').then((module) => module.Files)],
  ['tests', 'Tests', ({ cases }) => sumOf(cases), () => import('./job/tests.js').then((module) => module.Tests)],
  ['timeline', 'Timeline', () => 0, () => import('./job/timeline.js').then((module) => module.TimelineTab)],
  ['log', 'Log', ({ lines }) => lines, () => import('../components/log.js').then((module) => module.Log)],
  [
    'plugins',
    'Plugins',
    ({ plugins, pool }) => plugins.count + pool.count,
    () => import('./job/plugins.js').then((module) => module.Plugins),
  ],
  ['compare', 'Compare', () => 0, () => import('./job/compare.js').then((module) => module.Compare)],
];

/** Tabs that show nothing but what the job's events say. */
const OF_EVENTS = new Set(['log', 'timeline', 'plugins']);

export function Job({ ctx, place }) {
  const { id } = place.params;
  const redraw = useRedraw();
  const state = useRef(/** @type {any} */ (null));
  state.current ??= emptyJob(
    new Pages({ ask: (num, from, count, signal) => ctx.api.logLines(id, num, from, count, signal), changed: redraw }),
  );
  const job = state.current;
  const now = useNow();
  const { data: row, error, reload } = useLoad(() => ctx.api.job(id), [id]);
  const refresh = useThrottled(reload, 1000);
  const known = row != null;
  const gone = row?.log_removed != null;
  useEffect(() => {
    // There is nothing to hear of a job that is not there, or whose events are kept no longer.
    if (!known) return undefined;
    if (gone) {
      const told = (files) => {
        if (!job.tally.total) filesOf(job, files);
        job.live = true;
        redraw();
      };
      ctx.api.files(id).then(told, redraw);
      return undefined;
    }
    const hear = (events) => {
      for (const event of events) take(job, event);
      if (events.some((event) => TELLING.test(event.type))) refresh();
      redraw();
    };
    return ctx.live.job(id, 1, hear, () => {
      job.live = true;
      redraw();
    });
  }, [id, known, gone]);
  useEffect(() => {
    const changed = (message) => (message.type === 'jobs:changed' ? message.args[0]?.id === id && refresh() : redraw());
    ctx.listeners.add(changed);
    // What could not be loaded while the connection was away can be now.
    const stop = ctx.live.watch((connection) => {
      if (connection !== 'open') return;
      refresh();
      if (job.pages.problem) job.pages.retry();
    });
    return () => {
      ctx.listeners.delete(changed);
      stop();
      job.pages.close();
    };
  }, [id]);
  useEffect(() => {
    // What the bar's search looks through, too.
    ctx.here = { id, files: job.files };
    return () => {
      ctx.here = null;
    };
  }, [id, job.files]);
  usePage(row ? `${row.state} · ${row.project}` : 'Job', row?.state);

  const again = async (what) => {
    const { id: next } = await ctx.api.rerun(id, what);
    ctx.go(jobPath(next));
  };
  const tab = tabOf(place.query);
  useEffect(() => {
    // Its module comes along with the job's row, not after it; what fails is tried again by the panel.
    fetchPart(tab).catch(() => {});
  }, []);
  const to = (change) => address(jobPath(id), { ...place.query, ...change });
  const go = (change, replace = false) => ctx.go(to({ tab, ...change }), replace);
  const [trouble, setTrouble] = useState(/** @type {any} */ (null));
  useKeys({
    r: () => row && ctx.may('rerun') && FINAL.has(row.state) && job.tally.bad > 0 && again({ failed: true }).catch(setTrouble),
    f: () => (tab === 'failures' ? nextFailure() : ctx.go(address(jobPath(id)))),
  });

  const running = !FINAL.has(row?.state);
  // Output, of which there may be much, changes nothing of it.
  const head = useMemo(
    () => row && html`<${Head} ctx=${ctx} row=${row} job=${job} now=${now} running=${running} again=${again} reload=${reload} />`,
    [row, now, job.told, job.live, ctx.lists.version, ctx.session],
  );

  if (error && !row) return html`<h1>Job</h1><${Failed} error=${error} retry=${reload} />`;
  if (!row) return html`<${Skeleton} rows="8" />`;
  const props = { ctx, id, row, job, now, running, place, go, to, again };
  return html`<article>
    ${head}
    ${trouble && html`<${Notice} kind="bad" title="It could not be run again">${trouble.message}<//>`}
    ${row.error && html`<${Notice} kind="bad" title=${`Errored: ${row.error.kind}`}>${row.error.message}<//>`}
    ${row.cancel_reason && html`<${Notice} title="Cancelled">${row.cancel_reason}<//>`}
    ${running && job.tally.running === 0 && row.now?.waits && html`<${Notice} title="It waits">${row.now.waits}<//>`}
    ${job.warnings.map((warning, i) => html`<${Notice} key=${i} title=${`Warning of ${warning.source}`}>${warning.message}<//>`)}
    ${job.retries.map((retry) => html`<${Notice} key=${retry.attempt} title=${`Tried again, try ${retry.attempt}`}>${retry.reason}<//>`)}
    ${
      gone &&
      html`<${Notice}
      title="The log is kept no longer">Its results stay; its output, timeline and messages of plugins are gone.<//>`
    }
    <${Tabs} job=${job} tab=${tab} id=${id} ctx=${ctx} />
    <div role="tabpanel" id="panel" aria-labelledby=${`tab-${tab}`} class=${`panel ${tab}`}>
      ${!(gone && OF_EVENTS.has(tab)) && html`<${Panel} key=${tab} tab=${tab} props=${props} />`}
    </div>
  </article>`;
}

/** Which part an address means; one of a line means the log. */
function tabOf({ tab, cmd }) {
  if (TABS.some(([name]) => name === tab)) return tab;
  return cmd == null ? 'failures' : 'log';
}

function nextFailure() {
  const list = [...document.querySelectorAll('.failure')];
  const at = list.indexOf(/** @type {Element} */ (document.activeElement?.closest('.failure')));
  const next = /** @type {HTMLElement | undefined} */ (list[(at + 1) % list.length]);
  next?.scrollIntoView({ block: 'center' });
  next?.focus({ preventScroll: true });
}

function Tabs({ job, tab, id, ctx }) {
  const list = useRef(/** @type {any} */ (null));
  const press = (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const links = [...list.current.querySelectorAll('a')];
    const next = links[(links.indexOf(document.activeElement) + by + links.length) % links.length];
    next.focus();
    next.click();
  };
  const step = (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    ctx.go(event.currentTarget.getAttribute('href'));
  };
  const before = useRef(tab);
  useEffect(() => {
    // The first is in sight where one begins; to look costs a layout.
    if (before.current === tab && tab === TABS[0][0]) return;
    before.current = tab;
    list.current.querySelector('[aria-selected=true]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }, [tab]);
  return html`<div class="tabs" role="tablist" aria-label="Parts of the job" ref=${list} onKeyDown=${press}>${TABS.map(
    ([name, label, count]) => {
      const n = count(job);
      const on = name === tab;
      return html`<a key=${name} role="tab" id=${`tab-${name}`} aria-selected=${on} aria-controls=${on ? 'panel' : null}
        tabindex=${on ? 0 : -1}
      href=${address(jobPath(id), { tab: name })} onClick=${step}>${label}${
        n > 0 &&
        html` <span
        class=${`num ${name === 'failures' ? 'is-failed' : 'faint'}`}>${number(n)}</span>`
      }</a>`;
    },
  )}</div>`;
}

/** Loads the part of a tab. */
async function fetchPart(tab) {
  const load = TABS.find(([name]) => name === tab)?.[3];
  if (load && !parts.has(tab)) parts.set(tab, await load());
}

const parts = new Map(/** @type {[string, any][]} */ ([['failures', Failures]]));

/** The part of a tab, loaded when one first comes to it. */
function Panel({ tab, props }) {
  const [, redraw] = useState(0);
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const load = () => {
    setProblem(null);
    fetchPart(tab).then(() => redraw((n) => n + 1), setProblem);
  };
  useEffect(() => {
    if (!parts.has(tab)) load();
  }, []);
  const Part = parts.get(tab);
  if (Part) return html`<${Part} ...${props} />`;
  if (problem)
    return html`<${Notice} kind="bad" title="This part of the page could not be loaded">The queen cannot be reached. <button
      onClick=${load}>Try again</button><//>`;
  return html`<${Skeleton} rows="6" />`;
}
