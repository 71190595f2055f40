// A project's quarantine: its list, the way in from the flaky files, the way out. What it means for a job: docs/api.md.

import { Dialog } from '../components/dialog.js';
import { html, useState } from '../components/html.js';
import { Action, Ago, Failed, State } from '../components/parts.js';
import { number, plural } from '../lib/format.js';
import { address, jobPath, projectPath } from '../lib/router.js';

/** The list; `loaded` is what `useLoad` answered. */
export function Quarantine({ ctx, name, loaded, now }) {
  const { data: files, error, reload } = loaded;
  if (error && !files) return html`<section><h2>Quarantine</h2><${Failed} error=${error} retry=${reload} /></section>`;
  if (!files) return null;
  const may = ctx.may('quarantine');
  const row = (file) => html`<${Row} key=${file.path} ctx=${ctx} name=${name} file=${file} now=${now} reload=${reload} may=${may} />`;
  return html`<section>
    <h2>Quarantine ${files.length > 0 && html`<span class="faint num">${number(files.length)}</span>`}</h2>
    <p class="faint">
      A failure of one of these is tried again up to twice in the same job. One that fails each time counts as any other.
    </p>
    ${
      files.length === 0
        ? html`<p class="faint">No file is under quarantine.</p>`
        : html`<table><thead><tr>
            <th>File</th><th>Why</th><th>Since</th><th>Newest runs</th><th>Last failure</th>
            ${may && html`<th><span class="unseen">Lift</span></th>`}
          </tr></thead>
          <tbody>${files.map(row)}</tbody></table>`
    }
  </section>`;
}

function Row({ ctx, name, file, now, reload, may }) {
  const { path, reason, by, since, failed_at: failed, runs } = file;
  const lift = async () => {
    await ctx.api.lift(name, path);
    await reload();
  };
  // What has gone well for as long as one can see may be trusted again.
  const well = runs.length > 0 && runs.every((run) => run.outcome === 'passed');
  return html`<tr>
    <td class="mono"><a href=${address(projectPath(name), { file: path })}>${path}</a></td>
    <td class="words">${reason}</td>
    <td><${Ago} at=${since} now=${now} />${by && html`<span class="faint"> by ${by}</span>`}</td>
    <td>${runs.map((run) => html`<a key=${run.job + run.at} href=${jobPath(run.job)}><${State} of=${run.outcome} bare /></a> `)}</td>
    <td>${failed == null ? 'none known' : html`<${Ago} at=${failed} now=${now} />`}${
      well && html`<span class="faint">, none in ${plural(runs.length, 'run')}</span>`
    }</td>
    ${may && html`<td><${Action} kind="quiet" run=${lift}>Lift<//></td>`}
  </tr>`;
}

/** Asks why a file is to be there, and puts it there. */
export function PutThere({ ctx, name, path, close, reload }) {
  const [reason, setReason] = useState('');
  const [error, setError] = useState('');
  const put = async (event) => {
    event.preventDefault();
    try {
      await ctx.api.quarantine(name, path, reason);
      close();
      await reload();
    } catch (problem) {
      setError(problem.message);
    }
  };
  return html`<${Dialog} title="Put under quarantine" close=${close}>
    <form class="filters" onSubmit=${put}>
      <p class="mono">${path}</p>
      <label>Why
        <input name="reason" value=${reason} required maxlength="500" autocomplete="off"
          placeholder="for those who ask whether it can be lifted" onInput=${(event) => setReason(event.target.value)} />
      </label>
      <button>Put under quarantine</button>
      ${error && html`<p class="is-failed" role="alert">${error}</p>`}
    </form>
  <//>`;
}
