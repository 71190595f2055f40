// The header of a job: state, what it is about, how far it is, when it ends, what it took beside what it had to take.

import { html, useRef, useState } from '../../components/html.js';
import { Action, Ago, State } from '../../components/parts.js';
import { bound } from '../../lib/bound.js';
import { authorOf, clock, duration, number, plural, refOf, shortId, titleOf } from '../../lib/format.js';
import { jobPath, projectPath } from '../../lib/router.js';
import { emptyJob, PHASES, sumOf } from '../../lib/store.js';

export function Head({ ctx, row, job, now, running, again, reload }) {
  const [asked, setAsked] = useState(false);
  const cancel = async () => {
    await ctx.api.cancel(row.id, 'cancelled in the dashboard');
    setAsked(true);
    reload();
  };
  const bad = Math.max(job.tally.bad, row.files_bad);
  return html`<header class="job-head">
    <nav class="crumbs" aria-label="Where this is"><a href="/jobs">Jobs</a> / <a href=${projectPath(row.project)}>${row.project}
      </a> / <span class="mono" title=${row.id}>${shortId(row.id)}</span></nav>
    <div class="title"><h1 title=${row.trigger.message}><${State} of=${row.state} /> ${titleOf(row) || row.project}</h1>
      <div class="actions">
        ${running && ctx.may('cancel') && html`<${Action} kind="danger" run=${cancel}>${asked ? 'Cancelling' : 'Cancel'}<//>`}
        ${
          !running &&
          bad > 0 &&
          ctx.may('rerun') &&
          html`<${Action} kind="main" run=${() => again({ failed: true })}
          title="Only the files that failed (r)">Rerun failed<//>`
        }
        ${!running && ctx.may('rerun') && html`<${Action} run=${() => again({})}>Rerun<//>`}
      </div></div>
    <p class="facts">${joined([
      html`<a href=${projectPath(row.project)}>${row.project}</a>`,
      refOf(row) && html`<span class="mono">${refOf(row)}</span>`,
      authorOf(row),
      cause(row.trigger),
      html`<${Ago} at=${row.submitted} now=${now} />`,
      row.rerun_of && html`again of <a class="mono" href=${jobPath(row.rerun_of)}>${shortId(row.rerun_of)}</a>`,
      row.attempt > 1 && `try ${row.attempt}`,
      row.runner,
    ])}</p>
    <span class="unseen" role="status">${row.state}${bad > 0 && `, ${plural(bad, 'file')} failed`}</span>
    <${Facts} ctx=${ctx} row=${row} job=${job} now=${now} running=${running} />
    <${Phases} job=${job} now=${now} running=${running} />
  </header>`;
}

/** What caused it, with its address if that is one of the web: others could be scripts. */
function cause({ type, url }) {
  return /^https?:\/\//i.test(url ?? '') ? html`<a href=${url} rel="noopener noreferrer">${type}</a>` : type;
}

function joined(parts) {
  return parts.filter(Boolean).map((part, i) => html`<span key=${i}>${i > 0 && ' · '}${part}</span>`);
}

const NOTHING = emptyJob().tally;

function Facts({ ctx, row, job, now, running }) {
  // Of a job that has ended, sums of a past that is half told would be wrong.
  const tally = running || job.live ? job.tally : NOTHING;
  const total = Math.max(tally.total, row.files_total);
  const done = Math.max(tally.done, row.files_done);
  const bad = Math.max(tally.bad, row.files_bad);
  const wall = row.started == null ? null : (row.finished ?? now) - row.started;
  const cases = tally === job.tally ? sumOf(job.cases) : 0;
  const speedOf = (id) => ctx.lists.drones.get(id)?.effective_speed ?? ctx.lists.drones.get(id)?.speed ?? 100;
  // The last sum stands until something changes: all runs are added up for it.
  const kept = useRef(/** @type {any} */ ({ version: -1, least: null }));
  if (!running && kept.current.version !== job.runsVersion) kept.current = { version: job.runsVersion, least: bound(job, speedOf, now) };
  const before = job.phases.test?.start != null && job.started != null ? Math.max(0, job.phases.test.start - job.started) : 0;
  const least = running ? row.now?.lower_bound : kept.current.least == null ? null : kept.current.least + before;
  const slots = job.lanes.size;
  return html`<p class="facts num">${joined([
    total > 0 &&
      (bad > 0
        ? html`<b class="is-failed">${number(bad)} of ${plural(total, 'file')} failed</b>`
        : html`<b>${number(done)} of ${plural(total, 'file')}</b>`),
    bad > 0 && done < total && `${number(done)} done`,
    tally.running > 0 && `${number(tally.running)} running`,
    tally.flaky > 0 && html`<span class="is-flaky">${number(tally.flaky)} flaky</span>`,
    tally.empty > 0 && `${number(tally.empty)} empty`,
    tally.notrun > 0 && html`<span class="is-notrun">${number(tally.notrun)} not run</span>`,
    cases > 0 && plural(cases, 'test'),
    wall != null && html`<span title="From the first drone's beginning to the end">wall ${duration(wall)}</span>`,
    !running &&
      wall != null &&
      least > 0 &&
      least <= wall &&
      html`<span title="No schedule of these files on these slots takes less">bound ${duration(least)}</span>`,
    running && least > 0 && html`<span title="No schedule can end it sooner">at least ${duration(least)} more</span>`,
    running && html`<${End} at=${row.now?.expected_end} now=${now} />`,
    job.drones.size > 0 && `${plural(job.drones.size, 'drone')}${slots ? `, ${plural(slots, 'slot')}` : ''}`,
  ])}</p>`;
}

/** How long a forecast is looked back at. */
const MEMORY = 60_000;

/** When it is expected to end, give or take what the forecast has moved by lately. */
function End({ at, now }) {
  const told = useRef(/** @type {{ at: number, when: number }[]} */ ([]));
  if (at == null) return null;
  if (told.current.at(-1)?.at !== at) told.current.push({ at, when: now });
  told.current = told.current.filter((one, i, all) => i === all.length - 1 || now - one.when < MEMORY);
  const ends = told.current.map((one) => one.at);
  const give = (Math.max(...ends) - Math.min(...ends)) / 2;
  const left = Math.max(0, at - now);
  return html`<span title=${`In ${duration(left)}. Give or take what the forecast has moved by within a minute.`}>ends about ${clock(at)}${
    give >= 1000 ? ` (±${duration(give)})` : ''
  }</span>`;
}

function Phases({ job, now, running }) {
  const known = PHASES.filter((name) => job.phases[name]);
  if (!known.length) return null;
  return html`<ol class="phases" aria-label="Phases">${known.map((name) => {
    const phase = job.phases[name];
    // Tests can fail while the phase itself ends well.
    const code = name === 'test' && job.tested != null ? job.tested : phase.code;
    // A phase that ends without a code was broken off: the system, not the repository, could not go on.
    const ended = code ? 'failed' : code == null && (job.error || job.cancelled) ? (job.error ? 'errored' : 'cancelled') : 'passed';
    // What is not told yet is not known, though the job has ended.
    const word = phase.done != null ? ended : running ? 'running' : job.live ? 'cancelled' : 'pending';
    const took = phase.start == null ? null : (phase.done ?? (running ? now : null)) - phase.start;
    return html`<li key=${name}><${State} of=${word} bare /> ${name} <span class="faint num">
      ${took == null || took < 0 ? '' : duration(took)}</span></li>`;
  })}</ol>`;
}
