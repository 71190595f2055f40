// The fleet: is all well, what runs, what waits and why, which machine misbehaves.

import { Drones } from '../components/drones.js';
import { useLists, useLoad, useNow, usePage, useRedraw, useThrottled } from '../components/hooks.js';
import { html, useRef } from '../components/html.js';
import { NoDrone, NoJob } from '../components/none.js';
import { Ago, Counts, causeOf, Failed, JobName, JobRow, Progress, Skeleton, State, useRows } from '../components/parts.js';
import { Spark } from '../components/spark.js';
import { clock, duration, moment, number, plural } from '../lib/format.js';
import { address } from '../lib/router.js';
import { lastHour } from '../lib/trend.js';

/** Rows of each kind that are shown; the rest is a link away. */
const RUNNING = 20;
const WAITING = 10;
const RECENT = 10;
/** Jobs whose expected end is asked for: it is known of one job at a time. */
const ENDS = 12;

/** Everything that the view shows, in one answer. */
async function load(api) {
  const [fleet, drones, queue, running, queued, recent] = await Promise.all([
    // What happened in the last hour is an extra: the view is whole without it.
    api.fleet().catch(() => null),
    api.drones(),
    api.queue(),
    api.jobs({ state: 'running', limit: RUNNING }),
    api.jobs({ state: 'queued', limit: WAITING }),
    api.jobs({ limit: RECENT }),
  ]);
  const details = await Promise.all(running.jobs.slice(0, ENDS).map((job) => api.job(job.id).catch(() => job)));
  const ends = new Map(details.map((job) => [job.id, job.now?.expected_end]));
  const reasons = new Map(queue.map((entry) => [entry.job, entry.waits]));
  return { fleet, drones, reasons, running: running.jobs, queued: queued.jobs, recent: recent.jobs, ends };
}

export function Fleet({ ctx }) {
  const { data, error, reload } = useLoad(() => load(ctx.api), []);
  const now = useNow();
  const redraw = useRedraw();
  const refresh = useThrottled(reload, 1500);
  const rows = useRef(null);
  useRows(rows);
  useLists(
    ctx,
    () => {
      refresh();
      redraw();
    },
    refresh,
  );
  const { fresh } = ctx;
  const running = data?.running.map(fresh).filter((job) => job.state === 'running') ?? [];
  const waiting = data?.queued.map(fresh).filter((job) => job.state === 'queued') ?? [];
  // Up to what is listed, the rows say it, and at once; beyond, the queen's count does.
  const of = (what) => data?.fleet?.[what] ?? 0;
  const sums = {
    running: Math.max(running.length, of('running') > RUNNING ? of('running') : 0),
    waiting: Math.max(waiting.length, of('waiting') > WAITING ? of('waiting') : 0),
  };
  usePage(sums.running ? `${sums.running} running` : 'Fleet', sums.running ? 'running' : sums.waiting ? 'queued' : undefined);
  if (error && !data) return html`<h1>Fleet</h1><${Failed} error=${error} retry=${reload} />`;
  if (!data) return html`<h1 class="sum">Fleet</h1><${Skeleton} rows="12" />`;
  const { drones } = data;
  const here = drones.filter((drone) => drone.connected);
  const sum = (of) => here.reduce((all, drone) => all + of(drone), 0);
  const slots = sum((drone) => drone.capacity);
  const busy = sum((drone) => drone.active);
  return html`<div ref=${rows}>
    <div class="sum-line">
      <h1 class="sum num">
        ${number(sums.running)} running · ${number(sums.waiting)} waiting · ${number(busy)} of ${plural(slots, 'slot')} busy
      </h1>
      ${data.fleet && html`<${Spark} minutes=${lastHour(data.fleet.throughput, now)} />`}
    </div>
    ${here.length === 0 && html`<${NoDrone} away=${drones.length} waiting=${sums.waiting} />`}
    <${Running} jobs=${running} all=${sums.running} ends=${data.ends} now=${now} />
    <${Waiting} jobs=${waiting} all=${sums.waiting} reasons=${data.reasons} now=${now} />
    <${Drones} ctx=${ctx} drones=${drones} reload=${reload} now=${now} />
    <section>
      <h2>Newest jobs</h2>
      ${
        data.recent.length
          ? html`<ul class="rows">${data.recent.map((job) => html`<${JobRow} key=${job.id} job=${fresh(job)} now=${now} />`)}</ul>
            <p class="more"><a href="/jobs">All jobs</a></p>`
          : html`<${NoJob} ctx=${ctx} />`
      }
    </section>
  </div>`;
}

/** When a job ends, as well as one can say. */
function End({ at, now, started }) {
  if (!at) return started == null ? '' : `for ${duration(now - started)}`;
  const left = at - now;
  const late = left > -30_000 ? 'ends any moment' : `should have ended at ${clock(at)}`;
  const words = left > 1000 ? `ends about ${clock(at)}, in ${duration(left)}` : late;
  return html`<time dateTime=${new Date(at).toISOString()} title=${moment(at)}>${words}</time>`;
}

function Running({ jobs, all, ends, now }) {
  if (!jobs.length) return null;
  return html`<section>
    <h2>Running</h2>
    <ul class="rows">${jobs.map((job) => {
      const cause = causeOf(job);
      return html`<li class="row run-row" key=${job.id} data-row=${job.id}>
        <${State} of="running" bare /><${JobName} job=${job} />
        <${Progress} done=${job.files_done} bad=${job.files_bad} total=${job.files_total} />
        <span class="num counts">${job.files_total > 0 ? html`<${Counts} job=${job} />` : 'preparing'}</span>
        <span class="num faint end"><${End} at=${ends.get(job.id)} now=${now} started=${job.started} /></span>
        <span class="faint who" title=${cause}>${cause}</span>
      </li>`;
    })}</ul>
    ${all > jobs.length && html`<p class="more"><a href=${address('/jobs', { state: 'running' })}>All ${number(all)} that run</a></p>`}
  </section>`;
}

function Waiting({ jobs, all, reasons, now }) {
  if (!jobs.length) return null;
  return html`<section>
    <h2>Waiting</h2>
    <ul class="rows">${jobs.map(
      (job) => html`<li class="row wait-row" key=${job.id} data-row=${job.id}>
        <${State} of="queued" bare /><${JobName} job=${job} />
        <span class="reason" title=${reasons.get(job.id)}>${reasons.get(job.id) ? `waits ${reasons.get(job.id)}` : ''}</span>
        <span class="faint when"><${Ago} at=${job.submitted} now=${now} /></span>
      </li>`,
    )}</ul>
    ${all > jobs.length && html`<p class="more"><a href=${address('/jobs', { state: 'queued' })}>All ${number(all)} that wait</a></p>`}
  </section>`;
}
