// All jobs, newest first, live. The filters stand in the address.

import { useLoad, useNow, useThrottled } from '../components/hooks.js';
import { html, useEffect, useRef, useState } from '../components/html.js';
import { Failed, JobRow, Notice, Skeleton, useRows } from '../components/parts.js';
import { address } from '../lib/router.js';
import { NoJob } from './fleet.js';

const STATES = ['queued', 'running', 'passed', 'failed', 'errored', 'cancelled'];
const TEXTS = [
  ['project', 'Project', 'owner/name'],
  ['branch', 'Branch', 'main'],
  ['author', 'Author', ''],
  ['trigger', 'Trigger', 'manual'],
  ['text', 'Text', ''],
];
const FILTERS = ['state', ...TEXTS.map(([name]) => name)];

export function Jobs({ ctx, place }) {
  const filter = Object.fromEntries(FILTERS.filter((name) => place.query[name]).map((name) => [name, place.query[name]]));
  const key = JSON.stringify(filter);
  const now = useNow();
  const { data, error, loading, reload } = useLoad(() => ctx.api.jobs({ ...filter, limit: 50 }), [key]);
  const [older, setOlder] = useState({ key, jobs: [], next: undefined });
  const [problem, setProblem] = useState(null);
  const refresh = useThrottled(reload, 1500);
  const list = useRef(null);
  useRows(list);
  useEffect(() => {
    document.title = 'Jobs · Skep';
    const changed = (message) => message.type === 'jobs:changed' && refresh();
    ctx.listeners.add(changed);
    const stop = ctx.live.watch((state) => state === 'open' && refresh());
    return () => {
      ctx.listeners.delete(changed);
      stop();
    };
  }, []);
  const set = (name, value) => ctx.go(address('/jobs', { ...filter, [name]: value }), true);
  const pages = older.key === key ? older : { key, jobs: [], next: undefined };
  const first = data?.jobs ?? [];
  const known = new Set(first.map((job) => job.id));
  const jobs = [...first, ...pages.jobs.filter((job) => !known.has(job.id))].map((job) => ({ ...job, ...ctx.lists.jobs.get(job.id) }));
  const next = pages.next === undefined ? data?.next : pages.next;
  const more = async () => {
    setProblem(null);
    try {
      const page = await ctx.api.jobs({ ...filter, limit: 50, before: next });
      setOlder({ key, jobs: [...pages.jobs, ...page.jobs], next: page.next ?? null });
    } catch (trouble) {
      setProblem(trouble);
    }
  };
  return html`<h1>Jobs</h1>
    <form class="filters" onSubmit=${(event) => event.preventDefault()}>
      <label>State <select value=${filter.state ?? ''} onChange=${(event) => set('state', event.target.value)}><option value="">all</option>${STATES.map((state) => html`<option key=${state} value=${state}>${state}</option>`)}</select></label>
      ${TEXTS.map(([name, label, hint]) => html`<label key=${name}>${label} <input key=${`${name} ${filter[name] ?? ''}`} defaultValue=${filter[name] ?? ''} placeholder=${hint} onChange=${(event) => set(name, event.target.value.trim())} /></label>`)}
      ${Object.keys(filter).length > 0 && html`<a class="button quiet" href="/jobs">Clear</a>`}
    </form>
    ${error && html`<${Failed} error=${error} retry=${reload} />`}
    ${!data && loading && html`<${Skeleton} rows="10" />`}
    ${data && (jobs.length ? html`<ul class="rows" ref=${list}>${jobs.map((job) => html`<${JobRow} key=${job.id} job=${job} now=${now} />`)}</ul>` : Object.keys(filter).length ? html`<${Notice} title="No job fits these filters"><a href="/jobs">Show all</a><//>` : html`<${NoJob} />`)}
    ${problem && html`<${Failed} error=${problem} />`}
    ${next && html`<button onClick=${more}>Older</button>`}`;
}
