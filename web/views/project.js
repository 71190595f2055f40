// Projects and one project's past: is it getting better, what is slow, what is flaky.

import { useLoad, useNow, useThrottled } from '../components/hooks.js';
import { html, useEffect } from '../components/html.js';
import { Ago, Failed, JobRow, Skeleton, State } from '../components/parts.js';
import { duration, number, plural } from '../lib/format.js';
import { address, jobPath, projectPath } from '../lib/router.js';
import { NoJob } from './fleet.js';

const FINAL = new Set(['passed', 'failed', 'errored', 'cancelled']);

export function Projects({ ctx }) {
  const now = useNow(10_000);
  const { data, error, reload } = useLoad(() => ctx.api.projects(), []);
  useEffect(() => {
    document.title = 'Projects · Skep';
  }, []);
  if (error) return html`<${Failed} error=${error} retry=${reload} />`;
  if (!data) return html`<${Skeleton} rows="5" />`;
  const projects = Array.isArray(data) ? data : (data.projects ?? []);
  return html`<h1>Projects</h1>${
    projects.length
      ? html`<ul class="rows">${projects.map(
          (
            project,
          ) => html`<li class="row project-row" key=${project.project}>${project.last_state && html`<${State} of=${project.last_state} bare />`}<a href=${projectPath(project.project)}><b>${project.project}</b></a>
      <span class="num">${plural(project.jobs, 'job')}</span><span class="faint">${project.last_submitted && html`<${Ago} at=${project.last_submitted} now=${now} />`}</span></li>`,
        )}</ul>`
      : html`<${NoJob} />`
  }`;
}

export function Project({ ctx, place }) {
  const { name } = place.params;
  const now = useNow(10_000);
  const { data, error, reload } = useLoad(async () => {
    const [project, jobs] = await Promise.all([ctx.api.project(name), ctx.api.jobs({ project: name, limit: 50 })]);
    return { project, jobs: jobs.jobs };
  }, [name]);
  const refresh = useThrottled(reload, 2000);
  useEffect(() => {
    document.title = `${name} · Skep`;
    const changed = (message) => message.type === 'jobs:changed' && message.args[0]?.project === name && refresh();
    ctx.listeners.add(changed);
    return () => ctx.listeners.delete(changed);
  }, [name]);
  if (error) return html`<${Failed} error=${error} retry=${reload} />`;
  if (!data) return html`<${Skeleton} rows="10" />`;
  const files = data.project.files ?? [];
  const shaky = files.filter((file) => file.flaky > 0);
  return html`<p class="crumbs"><a href="/projects">Projects</a> / ${name}</p><h1>${name}</h1>
    <p class="facts num">${plural(data.project.jobs, 'job')} · ${plural(files.length, 'file')} known · ${number(shaky.length)} flaky · <a href=${address('/jobs', { project: name })}>all its jobs</a></p>
    <${Trend} jobs=${data.jobs} />
    <section><h2>Newest jobs</h2><ul class="rows">${data.jobs.slice(0, 15).map((job) => html`<${JobRow} key=${job.id} job=${{ ...job, ...ctx.lists.jobs.get(job.id) }} now=${now} />`)}</ul></section>
    ${
      files.length > 0 &&
      html`<section><h2>Files, slowest first</h2><table><thead><tr><th>File</th><th class="right">Usual time</th><th class="right">Runs</th><th class="right">Failed</th><th class="right">Flaky</th><th>Last</th></tr></thead>
      <tbody>${files.slice(0, 500).map(
        (
          file,
        ) => html`<tr key=${file.path}><td class="mono">${file.path}</td><td class="right num">${duration(file.duration)}</td><td class="right num">${number(file.runs)}</td>
        <td class=${`right num${file.bad ? ' is-failed' : ''}`}>${file.bad || ''}</td><td class=${`right num${file.flaky ? ' is-flaky' : ''}`}>${file.flaky || ''}</td><td>${file.failed ? html`<${State} of="failed" />` : ''} <${Ago} at=${file.last} now=${now} /></td></tr>`,
      )}</tbody></table></section>`
    }`;
}

/** The last jobs as bars, oldest first: height is wall time, colour and a notch are the state. */
function Trend({ jobs }) {
  const done = jobs.filter((job) => FINAL.has(job.state) && job.started != null && job.finished != null).reverse();
  if (done.length < 2) return null;
  const took = (job) => job.finished - job.started;
  const most = Math.max(...done.map(took), 1);
  const width = 12;
  return html`<section><h2>Wall time of the last ${plural(done.length, 'job')}</h2><svg class="trend" role="img" aria-label=${`Longest ${duration(most)}, newest ${duration(took(done[done.length - 1]))}`} width=${done.length * width} height="64">
    ${done.map((job, i) => {
      const height = Math.max(3, (60 * took(job)) / most);
      return html`<a key=${job.id} href=${jobPath(job.id)} aria-label=${`${job.state}, ${duration(took(job))}`}><rect class=${`bar is-${job.state}`} x=${i * width + 1} y=${64 - height} width=${width - 2} height=${height}><title>${job.state} · ${duration(took(job))}</title></rect></a>`;
    })}</svg></section>`;
}
