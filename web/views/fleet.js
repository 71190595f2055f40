// The fleet: is all well, what runs, what waits and why, which machine misbehaves.

import { Honeycomb } from '../components/honeycomb.js';
import { useLoad, useNow, useRedraw, useThrottled } from '../components/hooks.js';
import { html, useEffect, useRef } from '../components/html.js';
import { Action, Ago, Command, Failed, JobName, JobRow, Notice, Progress, Skeleton, State, useRows } from '../components/parts.js';
import { clock, number, plural } from '../lib/format.js';
import { jobPath } from '../lib/router.js';

/** Everything that the view shows, in one answer. */
async function load(api) {
  const [drones, queue, running, queued, recent] = await Promise.all([
    api.drones(),
    api.queue(),
    api.jobs({ state: 'running', limit: 50 }),
    api.jobs({ state: 'queued', limit: 50 }),
    api.jobs({ limit: 8 }),
  ]);
  // When a job ends is known of one job at a time.
  const details = await Promise.all(running.jobs.slice(0, 12).map((job) => api.job(job.id).catch(() => job)));
  const ends = new Map(details.map((job) => [job.id, job.now?.expected_end]));
  const list = (value) => (Array.isArray(value) ? value : (value?.drones ?? value?.waiting ?? value?.queue ?? []));
  return { drones: list(drones), queue: list(queue), running: running.jobs, queued: queued.jobs, recent: recent.jobs, ends };
}

export function Fleet({ ctx }) {
  const { data, error, reload } = useLoad(() => load(ctx.api), []);
  const now = useNow();
  const redraw = useRedraw();
  const refresh = useThrottled(reload, 1500);
  const rows = useRef(null);
  useRows(rows);
  useEffect(() => {
    document.title = 'Fleet · Skep';
    const changed = () => {
      refresh();
      redraw();
    };
    ctx.listeners.add(changed);
    // What happened while the connection was away is not told again.
    const stop = ctx.live.watch((state) => state === 'open' && refresh());
    return () => {
      ctx.listeners.delete(changed);
      stop();
    };
  }, []);
  if (error && !data) return html`<${Failed} error=${error} retry=${reload} />`;
  if (!data) return html`<${Skeleton} rows="8" />`;
  const drones = data.drones.filter((drone) => drone.connected);
  const away = data.drones.filter((drone) => !drone.connected);
  const sum = (of) => drones.reduce((all, drone) => all + of(drone), 0);
  const fresh = (job) => ({ ...job, ...ctx.lists.jobs.get(job.id) });
  const reasons = new Map(data.queue.map((entry) => [entry.job?.id ?? entry.job, entry.waits]));
  const running = data.running.map(fresh).filter((job) => job.state === 'running');
  const waiting = data.queued.map(fresh).filter((job) => job.state === 'queued');
  return html`<div ref=${rows}>
    <h1 class="sum num">${number(running.length)} running · ${number(waiting.length)} waiting · ${number(sum((drone) => drone.active))} of ${plural(
      sum((drone) => drone.capacity),
      'slot',
    )} busy</h1>
    ${drones.length === 0 && html`<${NoDrone} away=${away.length} waiting=${waiting.length} />`}
    ${
      running.length > 0 &&
      html`<section><h2>Running</h2><ul class="rows">${running.map(
        (job) => html`<li class="row run-row" key=${job.id} data-row=${job.id}><${State} of="running" bare /><${JobName} job=${job} />
        <${Progress} done=${job.files_done} bad=${job.files_bad} total=${job.files_total} />
        <span class="num">${job.files_total > 0 ? `${job.files_done}/${job.files_total}` : 'preparing'}${job.files_bad > 0 ? html` <span class="is-failed">${job.files_bad} failed</span>` : ''}</span>
        <span class="num faint">${data.ends.get(job.id) ? `ends about ${clock(data.ends.get(job.id))}` : ''}</span></li>`,
      )}</ul></section>`
    }
    ${
      waiting.length > 0 &&
      html`<section><h2>Waiting</h2><ul class="rows">${waiting.map(
        (job) => html`<li class="row wait-row" key=${job.id} data-row=${job.id}><${State} of="queued" bare /><${JobName} job=${job} />
        <span class="reason">${reasons.get(job.id) ? `waits ${reasons.get(job.id)}` : ''}</span><span class="faint"><${Ago} at=${job.submitted} now=${now} /></span></li>`,
      )}</ul></section>`
    }
    ${data.drones.length > 0 && html`<section><h2>Drones</h2><ul class="drones">${[...drones, ...away].map((drone) => html`<${Drone} key=${drone.id} ctx=${ctx} drone=${drone} reload=${reload} />`)}</ul></section>`}
    <section><h2>Newest jobs</h2>${data.recent.length ? html`<ul class="rows">${data.recent.map((job) => html`<${JobRow} key=${job.id} job=${fresh(job)} now=${now} />`)}</ul>` : html`<${NoJob} />`}</section>
  </div>`;
}

function Drone({ ctx, drone, reload }) {
  const slots = Array.from({ length: drone.capacity }, (_, i) => ({
    key: i,
    state: i < drone.active ? 'running' : 'pending',
    title: i < drone.active ? 'busy' : 'free',
  }));
  const real = Math.round(drone.effective_speed ?? drone.speed);
  const drain = async () => {
    await ctx.api.drain(drone.id, !drone.draining);
    reload();
  };
  const state = !drone.connected ? 'away' : drone.draining ? 'draining' : 'ready';
  return html`<li class=${`drone ${state}`}>
    <div class="drone-head"><b>${drone.name}</b><span class=${`badge ${state}`}>${state}</span></div>
    <${Honeycomb} cells=${slots} width=${196} label=${`${drone.active} of ${plural(drone.capacity, 'slot')} busy`} />
    <p class="faint num">${drone.active}/${drone.capacity} · speed ${drone.speed}${Math.abs(real - drone.speed) > 2 ? ` (≈${real})` : ''}${drone.queued > 0 ? ` · ${plural(drone.queued, 'job')} queued` : ''}</p>
    <p class="faint">${[drone.platform, drone.version && `v${drone.version}`, ...drone.labels].filter(Boolean).join(' · ')}</p>
    <p>${drone.jobs.map((id) => html`<a class="mono" key=${id} href=${jobPath(id)}>${id.slice(-8)}</a> `)}</p>
    ${drone.connected && html`<${Action} kind="quiet" run=${drain}>${drone.draining ? 'Take work again' : 'Drain'}<//>`}
  </li>`;
}

/** What to do when there is nobody to work. */
export function NoDrone({ away = 0, waiting = 0 }) {
  const { origin, hostname } = location;
  const local = /^(localhost|127\.|\[::1\])/.test(hostname);
  return html`<${Notice} title=${away ? 'No drone is connected' : 'No drone yet'}>
    <p>${waiting > 0 ? `${plural(waiting, 'job')} ${waiting === 1 ? 'waits' : 'wait'} for one. ` : ''}Start one on ${local ? 'this machine' : 'a build machine'}:</p>
    ${!local && html`<p>First, on the queen's machine, make a token for it:</p><${Command}>queen token add --role drone ${'build-1'}<//>`}
    <${Command}>${local ? `drone start --queen ${origin}` : `DRONE_TOKEN=… drone start --queen ${origin}`}<//>
  <//>`;
}

/** What to do when there was never a job. */
export function NoJob() {
  return html`<${Notice} title="No job yet"><p>In the folder of a repository:</p><${Command}>QUEEN_URL=${location.origin} queen run .<//><p>Or <a href="/new">describe one here</a>.</p><//>`;
}
