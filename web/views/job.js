// One job: did it pass, will it, when; what failed and what does it say; and every line.

import { Honeycomb } from '../components/honeycomb.js';
import { useKeys, useLoad, useNow, useRedraw, useThrottled } from '../components/hooks.js';
import { html, useEffect, useRef, useState } from '../components/html.js';
import { Log } from '../components/log.js';
import { Action, Ago, Failed, Notice, Skeleton, State } from '../components/parts.js';
import { authorOf, clock, duration, number, plural, refOf, shortId, titleOf } from '../lib/format.js';
import { address, jobPath, projectPath } from '../lib/router.js';
import { emptyJob, failures, PHASES, job as take, tally } from '../lib/store.js';

const FINAL = new Set(['passed', 'failed', 'errored', 'cancelled']);
/** Events after which the header's row is asked for again. */
const TELLING = /^job:(queued|started|phase|files|file:done|tested|deployed|errored|cancelled|retry|done)$/;

export function Job({ ctx, place }) {
  const { id } = place.params;
  const state = useRef(emptyJob()).current;
  const redraw = useRedraw();
  const now = useNow();
  const { data: row, error, reload } = useLoad(() => ctx.api.job(id), [id]);
  const refresh = useThrottled(reload, 1000);
  const known = row != null;
  useEffect(() => {
    // There is nothing to hear of a job that is not there.
    if (!known) return undefined;
    const hear = (events) => {
      for (const event of events) take(state, event);
      if (events.some((event) => TELLING.test(event.type))) refresh();
      redraw();
    };
    return ctx.live.job(id, 1, hear, () => {
      state.live = true;
      redraw();
    });
  }, [id, known]);
  useEffect(() => {
    const changed = (message) => (message.type === 'jobs:changed' ? message.args[0]?.id === id && refresh() : redraw());
    ctx.listeners.add(changed);
    return () => ctx.listeners.delete(changed);
  }, [id]);
  useEffect(() => {
    document.title = row ? `${row.state} · ${row.project} · Skep` : 'Skep';
  }, [row?.state]);

  const again = async (failed) => {
    const { id: next } = await ctx.api.rerun(id, failed);
    ctx.go(jobPath(next));
  };
  const bad = failures(state);
  const jump = useRef(-1);
  useKeys({
    r: () => row && FINAL.has(row.state) && bad.length > 0 && again(true),
    f: () => {
      const list = document.querySelectorAll('.failure');
      if (!list.length) return;
      jump.current = (jump.current + 1) % list.length;
      list[jump.current].scrollIntoView({ block: 'center' });
      list[jump.current].focus();
    },
  });

  if (error && !row) return html`<${Failed} error=${error} retry=${reload} />`;
  if (!row) return html`<${Skeleton} rows="8" />`;
  const running = !FINAL.has(row.state);
  return html`<article>
    <${Head} ctx=${ctx} job=${row} state=${state} now=${now} running=${running} again=${again} reload=${reload} />
    ${row.error && html`<${Notice} kind="bad" title=${`Errored: ${row.error.kind}`}>${row.error.message}<//>`}
    ${row.cancel_reason && html`<${Notice} title="Cancelled">${row.cancel_reason}<//>`}
    ${running && row.now?.waits && html`<${Notice} title="It waits">${row.now.waits}<//>`}
    ${state.warnings.map((warning, i) => html`<${Notice} key=${i} title=${`Warning of ${warning.source}`}>${warning.message}<//>`)}
    ${state.retries.map((retry) => html`<${Notice} key=${retry.attempt} title=${`Tried again, try ${retry.attempt}`}>${retry.reason}<//>`)}
    <${Files} id=${id} state=${state} now=${now} nameOf=${ctx.droneName} />
    <${Failures} id=${id} bad=${bad} nameOf=${ctx.droneName} />
    <${Log} id=${id} job=${state} version=${state.version} now=${now} running=${running} place=${place} nameOf=${ctx.droneName} />
  </article>`;
}

function Head({ ctx, job, state, now, running, again, reload }) {
  const sum = tally(state);
  const total = Math.max(sum.total, job.files_total);
  const done = Math.max(sum.done, job.files_done);
  const bad = Math.max(sum.bad, job.files_bad);
  const wall = job.started == null ? null : (job.finished ?? now) - job.started;
  const end = job.now?.expected_end;
  const facts = [
    total > 0 &&
      (bad > 0
        ? html`<b class="is-failed">${number(bad)} of ${plural(total, 'file')} failed</b>`
        : html`<b>${number(done)} of ${plural(total, 'file')}</b>`),
    bad > 0 && done < total && `${number(done)} done`,
    sum.running > 0 && `${number(sum.running)} running`,
    sum.flaky > 0 && html`<span class="is-flaky">${number(sum.flaky)} flaky</span>`,
    sum.empty > 0 && `${number(sum.empty)} empty`,
    state.cases > 0 && plural(state.cases, 'test'),
    wall != null && `wall ${duration(wall)}`,
    running && end && `ends about ${clock(end)}`,
    state.drones.size > 0 && plural(state.drones.size, 'drone'),
  ].filter(Boolean);
  const [asked, setAsked] = useState(false);
  const cancel = async () => {
    await ctx.api.cancel(job.id, 'cancelled in the dashboard');
    setAsked(true);
    reload();
  };
  return html`<header class="job-head">
    <p class="crumbs"><a href="/jobs">Jobs</a> / <a href=${projectPath(job.project)}>${job.project}</a> / <span class="mono" title=${job.id}>${shortId(job.id)}</span></p>
    <div class="title"><h1><${State} of=${job.state} /> ${titleOf(job) || job.project}</h1>
      <div class="actions">
        ${
          running
            ? html`<${Action} kind="danger" run=${cancel}>${asked ? 'Cancelling' : 'Cancel'}<//>`
            : html`${bad > 0 && html`<${Action} kind="main" run=${() => again(true)} title="Only the files that failed (r)">Rerun failed<//>`}<${Action} run=${() => again(false)}>Rerun<//>`
        }
      </div></div>
    <p class="facts"><a href=${projectPath(job.project)}>${job.project}</a>${refOf(job) && html` · <span class="mono">${refOf(job)}</span>`}
      ${authorOf(job) && html` · ${authorOf(job)}`} · ${job.trigger.type} · <${Ago} at=${job.submitted} now=${now} />
      ${job.rerun_of && html` · again of <a class="mono" href=${jobPath(job.rerun_of)}>${shortId(job.rerun_of)}</a>`}
      ${job.attempt > 1 && html` · try ${job.attempt}`}${job.runner && html` · ${job.runner}`}</p>
    <p class="facts num" role="status">${facts.map((fact, i) => html`<span key=${i}>${i > 0 && ' · '}${fact}</span>`)}</p>
    <${Phases} state=${state} now=${now} running=${running} />
  </header>`;
}

function Phases({ state, now, running }) {
  const known = PHASES.filter((name) => state.phases[name]);
  if (!known.length) return null;
  return html`<ol class="phases" aria-label="Phases">${known.map((name) => {
    const phase = state.phases[name];
    // Tests can fail while the phase itself ends well.
    const code = name === 'test' && state.tested != null ? state.tested : phase.code;
    // A phase that ends without a code was broken off: the system, not the repository, could not go on.
    const ended = code ? 'failed' : code == null && (state.error || state.cancelled) ? (state.error ? 'errored' : 'cancelled') : 'passed';
    const word = phase.done != null ? ended : running ? 'running' : 'cancelled';
    const took = phase.start == null ? null : (phase.done ?? (running ? now : null)) - phase.start;
    return html`<li key=${name}><${State} of=${word} bare /> ${name} <span class="faint num">${took == null || took < 0 ? '' : duration(took)}</span></li>`;
  })}</ol>`;
}

function Files({ id, state, now, nameOf }) {
  const box = useRef(null);
  const [width, setWidth] = useState(600);
  useEffect(() => {
    const watcher = new ResizeObserver(([entry]) => setWidth(entry.contentRect.width));
    if (box.current) watcher.observe(box.current);
    return () => watcher.disconnect();
  }, []);
  const files = [...state.files.values()];
  const longest = files.reduce((most, file) => Math.max(most, file.result?.duration ?? 0), 1);
  const cells = files.map((file) => ({
    key: file.path,
    state: stateOf(file),
    weight: file.result ? Math.sqrt(file.result.duration / longest) : 1,
    title: [file.path, stateOf(file), file.result && duration(file.result.duration), file.drone && `on ${nameOf(file.drone)}`]
      .filter(Boolean)
      .join(' · '),
    href: file.num == null ? null : address(jobPath(id), { cmd: file.num }),
  }));
  return html`<section class="files" ref=${box}>${
    files.length > 0 &&
    html`<h2>Files</h2><${Honeycomb} cells=${cells} width=${width} label=${`${plural(files.length, 'test file')}, one cell each`} />
    <details><summary>List</summary><table><thead><tr><th>File</th><th>State</th><th class="right">Tests</th><th class="right">Took</th><th>Drone</th></tr></thead>
      <tbody>${files.slice(0, 2000).map((file) => {
        const counts = file.result?.cases;
        const cases = counts ? Object.values(counts).reduce((a, b) => a + b, 0) : file.cases;
        return html`<tr key=${file.path}><td class="mono">${file.num == null ? file.path : html`<a href=${address(jobPath(id), { cmd: file.num })}>${file.path}</a>`}</td><td><${State} of=${stateOf(file)} /></td>
          <td class="right num">${cases || ''}</td><td class="right num">${file.result ? duration(file.result.duration) : file.state === 'running' ? duration(now - file.since) : ''}</td><td>${file.drone ? nameOf(file.drone) : ''}</td></tr>`;
      })}</tbody></table>${files.length > 2000 && html`<p class="faint">The first 2,000 of ${number(files.length)}.</p>`}</details>`
  }</section>`;
}

const stateOf = (file) => (file.state === 'done' ? file.outcome : file.state);

function Failures({ id, bad, nameOf }) {
  if (!bad.length) return null;
  return html`<section class="failures"><h2>Failures <span class="num faint">${number(bad.length)}</span></h2>
    ${bad.slice(0, 200).map(({ file, cases, stderr }) => {
      const log = html`<a href=${address(jobPath(id), { cmd: file.num })}>log</a>`;
      const where = html`<span class="faint num">the file took ${duration(file.result.duration)}${file.drone && ` on ${nameOf(file.drone)}`}${file.failedOn.size > 0 && `, failed also on ${[...file.failedOn].map(nameOf).join(', ')}`}${file.attempt > 1 && `, try ${file.attempt}`} · ${log}</span>`;
      if (!cases.length) {
        return html`<div class="failure" key=${file.path} tabindex="-1"><div class="what"><${State} of=${file.outcome} bare /> <b class="mono">${file.path}</b> ${where}</div>
          <p>${file.outcome === 'failed' ? `Ended with exit code ${file.result.exit ?? 'unknown'}.` : file.outcome === 'timedout' ? 'It was stopped at its time limit.' : 'Its process died, or its drone was lost, too often.'}</p>
          ${stderr && html`<pre tabindex="0">${stderr}</pre>`}</div>`;
      }
      return cases
        .slice(0, 50)
        .map(
          (one, i) =>
            html`<div class="failure" key=${`${file.path} ${i}`} tabindex="-1"><div class="what"><${State} of=${one.outcome} bare /> <b class="mono">${file.path}</b> <span class="mono">${one.name}</span> ${
              one.duration != null && html`<span class="num">${duration(one.duration)}</span> `
            }${where}</div>${one.message && html`<pre tabindex="0">${one.message}</pre>`}</div>`,
        );
    })}
    ${bad.length > 200 && html`<p class="faint">The first 200 of ${number(bad.length)} files.</p>`}
  </section>`;
}
