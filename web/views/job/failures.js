// What failed and what it says, each with its difference and the lines of its log. While nothing has, what runs.

import { Message } from '../../components/diff.js';
import { useThrottled } from '../../components/hooks.js';
import { html, useEffect, useMemo, useState } from '../../components/html.js';
import { Action, Notice, State } from '../../components/parts.js';
import { strip } from '../../lib/ansi.js';
import { duration, number, plural } from '../../lib/format.js';
import { isNew, lastOf, newOnes } from '../../lib/past.js';
import { address, jobPath, projectPath } from '../../lib/router.js';
import { failures } from '../../lib/store.js';
import { Cells, logOf } from './cells.js';

/** Files and cases that are shown at first, and with each step more. */
const STEP = 50;
const CASES = 20;
/** Lines of the log that are shown beside a failure. */
const EXCERPT = 24;

const WHY = {
  timedout: 'It was stopped at its time limit.',
  crashed: 'Its process died, or its drone was lost, too often.',
};

/** Jobs that are looked through for the one before. */
const LOOK = 50;

/** What the job before this one says of the failures: `{ last, fresh }`, or null as long as nothing is known. */
function usePast(ctx, id, row, count) {
  const [past, set] = useState(/** @type {any} */ (null));
  const ask = useThrottled(async () => {
    try {
      const { jobs } = await ctx.api.jobs({ project: row.project, branch: row.branch, state: 'passed,failed', limit: LOOK });
      const last = lastOf(jobs, row);
      if (last) set({ last, fresh: newOnes(await ctx.api.compare(id, last)) });
    } catch {
      // The failures themselves say more; the comparison has a tab of its own, which says what is wrong.
    }
  }, 3000);
  useEffect(() => {
    if (count) ask();
  }, [count]);
  return past;
}

export function Failures({ ctx, id, row, job, now, running, again }) {
  const bad = useMemo(() => failures(job), [job.filesVersion]);
  const past = usePast(ctx, id, row, bad.length);
  // Files can be chosen once the job has its end.
  const rerun = !running && ctx.may('rerun') ? again : null;
  const [most, setMost] = useState(STEP);
  const list = useMemo(
    () =>
      bad.slice(0, most).map((failure) => {
        const { path } = failure.file;
        return html`<${File} key=${path} ctx=${ctx} id=${id} project=${row.project} past=${past} rerun=${rerun} ...${failure} />`;
      }),
    [bad, most, ctx.lists.version, past, rerun != null],
  );
  return html`<${Cells} ctx=${ctx} id=${id} job=${job} />
    ${
      bad.length > 0
        ? html`<section class="failures" aria-label="Failures">${list}</section>`
        : html`<${None} id=${id} row=${row}
      job=${job} now=${now} running=${running} ctx=${ctx} />`
    }
    ${
      bad.length > most &&
      html`<p><button onClick=${() => setMost(most + STEP)}>
      ${plural(Math.min(STEP, bad.length - most), 'more file')} of ${number(bad.length)}</button></p>`
    }`;
}

function None({ ctx, id, row, job, now, running }) {
  const log = html`<a href=${address(jobPath(id), { tab: 'log' })}>log</a>`;
  if (!running) {
    if (row.state === 'passed') return html`<${Notice} title="Nothing failed">Every line is in the ${log}.<//>`;
    return html`<${Notice} title="No test file failed">What happened is in the ${log}.<//>`;
  }
  const files = [...job.running.values()].slice(0, 20);
  return html`<section aria-label="What runs"><p class="faint">
    ${job.tally.total ? 'Nothing has failed so far.' : 'No test file is known yet.'} Every line is in the ${log}.</p>
    ${
      files.length > 0 &&
      html`<ul class="rows">${files.map(
        (file) => html`<li class="row file-row" key=${file.path}><${State} of="running" bare /><a class="mono" href=${logOf(id, file)}>
          ${file.path}</a>
          <span class="faint">${file.drone ? ctx.droneName(file.drone) : ''}</span><span class="num">
            ${duration(Math.max(0, now - file.since))}</span></li>`,
      )}</ul>`
    }</section>`;
}

/** How it was in the job before. */
function Before({ past, path, name }) {
  const known = isNew(past, path, name);
  if (known == null) return null;
  const words = { passed: 'passed last time', absent: 'new failure', bad: 'failed last time too' }[known];
  return html` · <a class=${known === 'bad' ? '' : 'fresh'} href=${jobPath(past.last)} title="The job before this one">${words}</a>`;
}

function File({ ctx, id, project, file, cases, stderr, past, rerun }) {
  const [most, setMost] = useState(CASES);
  const name = ctx.droneName;
  const on = [...file.failedOn].filter((drone) => drone !== file.drone).map(name);
  const where = (
    one,
  ) => html`<span class="faint num">the file took ${duration(file.result.duration)}${file.drone && ` on ${name(file.drone)}`}${
    on.length > 0 && `, failed also on ${on.join(', ')}`
  }${file.attempt > 1 && `, try ${file.attempt}`}${file.quarantined && ', under quarantine'} · <a href=${logOf(id, file)}>log</a> · <a
    href=${address(projectPath(project), { file: file.path })}>history</a><${Before} past=${past} path=${file.path} name=${one?.name} />${
      rerun &&
      html` <${Action} kind="quiet" title=${`Run ${file.path} again`} run=${() => rerun({ only: [file.path] })}>Rerun this file<//>`
    }</span>`;
  if (!cases.length) {
    const code = file.result.exit;
    return html`<div class="failure" tabindex="-1"><div class="what"><${State} of=${file.outcome} bare /> <b class="mono">${file.path}
      </b> ${where(null)}</div>
      <p>${WHY[file.outcome] ?? (code == null ? 'It failed.' : `Ended with exit code ${code}.`)}</p>
      ${stderr && html`<${Message} text=${stderr} />`}<${Excerpt} ctx=${ctx} id=${id} file=${file} /></div>`;
  }
  return html`${cases.slice(0, most).map(
    (one, i) => html`<div class="failure" key=${i} tabindex="-1"><div class="what"><${State} of=${one.outcome} bare /> <b class="mono">
      ${file.path}</b> <span class="mono">${one.name}</span> ${
        one.duration != null && html`<span class="num">${duration(one.duration)}</span> `
      }${one.file && html`<span class="mono faint">${one.file}${one.line ? `:${one.line}` : ''}</span> `}${where(one)}</div>
      ${one.message && html`<${Message} text=${one.message} />`}<${Excerpt} ctx=${ctx} id=${id} file=${file} one=${one} /></div>`,
  )}${
    cases.length > most &&
    html`<p><button onClick=${() => setMost(most + CASES)}>
    ${plural(Math.min(CASES, cases.length - most), 'more failure')} of ${number(cases.length)} in <span class="mono">${file.path}</span>
    </button></p>`
  }`;
}

/** The lines of the log that speak of a failure: around its message, else its name, else the last ones. */
function Excerpt({ ctx, id, file, one }) {
  const [state, set] = useState(/** @type {any} */ (null));
  const load = async () => {
    set({ busy: true });
    try {
      set(await excerpt(ctx.api, id, file.num, one));
    } catch (/** @type {any} */ problem) {
      set({ problem });
    }
  };
  if (!state) return html`<p><button class="quiet" onClick=${load} aria-expanded="false">Lines of the log</button></p>`;
  if (state.busy) return html`<p class="faint" aria-busy="true">Lines of the log …</p>`;
  if (state.problem)
    return html`<p class="is-failed" role="alert">${state.problem.message} <button class="quiet" onClick=${load}>Try again</button></p>`;
  if (!state.lines.length) return html`<p class="faint">It wrote nothing.</p>`;
  const to = state.from + state.lines.length - 1;
  return html`<pre class="message log-part" tabindex="0">${state.lines.map(
    (line, i) =>
      html`<span key=${i} class=${state.from + i === state.hit ? 'diff-hunk' : ''}><span class="no num" aria-hidden="true">
        ${state.from + i}</span>${strip(line.text)}${'\n'}</span>`,
  )}</pre><p><a href=${logOf(id, file, { line: `${state.from}-${to}` })}>log ${number(state.from)}–${number(to)}</a></p>`;
}

async function excerpt(api, id, num, one) {
  const words = one
    ? [
        one.message
          ?.split('\n')
          .map((line) => strip(line).trim())
          .find((line) => line.length > 3),
        one.name.split('::').at(-1),
      ]
    : [];
  for (const text of words) {
    if (!text) continue;
    const { matches } = await api.logSearch(id, text.slice(0, 200), undefined, num);
    if (!matches.length) continue;
    // The last time it is said is where it is told in full.
    const hit = matches.at(-1)[1];
    const from = Math.max(1, hit - Math.floor(EXCERPT / 3));
    const { lines } = await api.logLines(id, num, from, EXCERPT);
    return { from, hit, lines };
  }
  const { total } = await api.logLines(id, num, 1, 1);
  const from = Math.max(1, total - EXCERPT + 1);
  const { lines } = await api.logLines(id, num, from, EXCERPT);
  return { from, hit: -1, lines };
}
