// Small parts that several views share: states, times, notices, commands to copy, list navigation.

import * as format from '../lib/format.js';
import { jobPath, projectPath } from '../lib/router.js';
import { useKeys } from './hooks.js';
import { html, useEffect, useRef, useState } from './html.js';
import { State } from './state.js';

/** How long ago, with the moment in the title. */
export function Ago({ at, now }) {
  return at == null ? null : html`<time dateTime=${new Date(at).toISOString()} title=${format.moment(at)}>${format.ago(at, now)}</time>`;
}

/** Something that went wrong, or is not there, and what to do. */
export function Notice({ kind = 'plain', title, children }) {
  return html`<div class=${`notice ${kind}`} role=${kind === 'bad' ? 'alert' : null}>
    <strong>${title}</strong>${children && html`<div>${children}</div>`}
  </div>`;
}

/** An error of the API in a place where data was to be. */
export function Failed({ error, retry }) {
  if (error.status === 404) return html`<${Notice} title="Not found">${error.message} <a href="/jobs">All jobs</a><//>`;
  if (error.status === 403) return html`<${Notice} kind="bad" title="Not allowed">${error.message}<//>`;
  if (error.status === 401) return html`<${Notice} title="Signed out">${error.message}<//>`;
  return html`<${Notice} kind="bad" title=${error.status === 0 ? 'The queen cannot be reached' : 'This could not be loaded'}>
    ${error.message} ${retry && html`<button onClick=${retry}>Try again</button>`}
  <//>`;
}

/** A command with a button that copies it. */
export function Command({ children }) {
  const text = [children].flat().join('');
  const [copied, set] = useState(false);
  const copy = () => {
    const done = () => set(true);
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, () => {});
    else {
      // Only secure origins have the clipboard; elsewhere a selection is copied.
      const area = document.createElement('textarea');
      area.value = text;
      document.body.append(area);
      area.select();
      if (document.execCommand('copy')) done();
      area.remove();
    }
  };
  useEffect(() => {
    if (!copied) return undefined;
    const timer = setTimeout(() => set(false), 1500);
    return () => clearTimeout(timer);
  }, [copied]);
  return html`<div class="command"><code tabindex="0">${text}</code><button onClick=${copy}>${copied ? 'Copied' : 'Copy'}</button></div>`;
}

/** Grey bars where rows will be. */
export function Skeleton({ rows = 5 }) {
  const bars = Array.from({ length: Number(rows) }, (_, i) => html`<div key=${i} />`);
  return html`<div class="skeleton" role="status" aria-label="Loading">${bars}</div>`;
}

/** Done out of total, with the bad part marked. */
export function Progress({ done, bad, total }) {
  const percent = (n) => (total ? (100 * n) / total : 0);
  return html`<span class="progress" role="progressbar" aria-label="Files done" aria-valuemin="0" aria-valuemax=${total || 1}
    aria-valuenow=${done}>
    <svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
      <rect class="done" width=${percent(done)} height="8" /><rect class="bad" width=${percent(bad)} height="8" />
    </svg></span>`;
}

/** What a job is about: project, ref and message, linked. */
export function JobName({ job }) {
  const title = format.titleOf(job);
  return html`<a class="job-name" href=${jobPath(job.id)}>
    <b>${job.project}</b> <span class="mono">${format.refOf(job)}</span>${title && html` <span class="faint">${title}</span>`}
  </a>`;
}

/** How many files are done, and how many of them are bad. */
export function Counts({ job }) {
  if (!job.files_total) return null;
  return html`${format.number(job.files_done)}/${format.number(job.files_total)}${
    job.files_bad > 0 && html` <span class="is-failed">${format.number(job.files_bad)} failed</span>`
  }`;
}

/** By whom, and what caused it. */
export const causeOf = (job) => [format.authorOf(job), job.trigger.type].filter(Boolean).join(' · ');

/** The newest state of a job in one row of a list. */
export function JobRow({ job, now, ...more }) {
  const took = job.started == null ? null : (job.finished ?? now) - job.started;
  const cause = causeOf(job);
  return html`<li class="row job-row" data-row=${job.id} ...${more}>
    <${State} of=${job.state} bare />
    <${JobName} job=${job} />
    <span class="counts num"><${Counts} job=${job} /></span>
    <span class="num faint took">${took == null ? '' : format.duration(took)}</span>
    <span class="faint who" title=${cause}>${cause}</span>
    <span class="faint when"><${Ago} at=${job.submitted} now=${now} /></span>
  </li>`;
}

/** `j` and `k` move among the rows of `list`, enter opens the one that is marked. */
export function useRows(list) {
  const step = (by) => {
    const links = [...(list.current?.querySelectorAll('[data-row]') ?? [])].map((row) => row.querySelector('a')).filter(Boolean);
    const at = links.indexOf(document.activeElement);
    links[Math.max(0, Math.min(links.length - 1, at < 0 ? 0 : at + by))]?.focus();
  };
  useKeys({ j: () => step(1), k: () => step(-1) });
}

/** A button that does something slow, once at a time, and says what went wrong. */
export function Action({ run, children, kind = '', title }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const there = useRef(true);
  useEffect(
    () => () => {
      there.current = false;
    },
    [],
  );
  const click = async () => {
    setBusy(true);
    setError(null);
    try {
      await run();
    } catch (problem) {
      if (there.current) setError(problem.message);
    }
    if (there.current) setBusy(false);
  };
  return html`<span class="action"><button class=${kind} disabled=${busy} onClick=${click} title=${title}>${children}</button>${
    error && html`<span class="problem" role="alert">${error}</span>`
  }</span>`;
}

export { jobPath, projectPath, State };
