// The past of one test file: every run, newest first, and how long each took.

import { duration, number, plural } from '../lib/format.js';
import { jobPath } from '../lib/router.js';
import { useLoad, usePage } from './hooks.js';
import { html } from './html.js';
import { Ago, Failed, Skeleton, State } from './parts.js';

/** `known` is the file's row of the project, if there is one. */
export function FileHistory({ ctx, project, path, known, now }) {
  const { data, error, reload } = useLoad(() => ctx.api.history(project, path), [project, path]);
  usePage(path);
  const head = html`<h1 class="mono">${path}</h1>`;
  if (error && !data) return html`${head}<${Failed} error=${error} retry=${reload} />`;
  if (!data) return html`${head}<${Skeleton} rows="8" />`;
  const longest = data.reduce((most, run) => Math.max(most, run.duration), 1);
  return html`${head}
    ${
      known &&
      html`<p class="facts num">
        usually ${duration(known.duration)} · ${plural(known.runs, 'run')} · ${number(known.bad)} failed · ${number(known.flaky)} flaky
      </p>`
    }
    ${
      data.length === 0
        ? html`<p class="faint">No run of it is kept.</p>`
        : html`<table><thead><tr><th>When</th><th>Outcome</th><th class="right">Took</th><th>Compared</th></tr></thead>
          <tbody>${data.map(
            (run) => html`<tr key=${run.job + run.at}>
              <td><a href=${jobPath(run.job)}><${Ago} at=${run.at} now=${now} /></a></td><td><${State} of=${run.outcome} /></td>
              <td class="right num">${duration(run.duration)}</td>
              <td><svg class="length" width="120" height="8" aria-hidden="true">
                <rect class=${`is-${run.outcome}`} width=${Math.max(1, (120 * run.duration) / longest)} height="8" />
              </svg></td>
            </tr>`,
          )}</tbody></table>`
    }`;
}
