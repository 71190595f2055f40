// A form for a job, in the contract's own terms. What is wrong with it is said by the queen, in its words.

import { usePage } from '../components/hooks.js';
import { html, useRef, useState } from '../components/html.js';
import { Notice } from '../components/parts.js';
import { jobOf } from '../lib/new-job.js';
import { jobPath } from '../lib/router.js';

const newId = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');

/** `place.query` may have values to begin with, but never a secret: addresses are kept in histories. */
export function NewJob({ ctx, place }) {
  const [error, setError] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const said = useRef(/** @type {{ id: string, now: number } | null} */ (null));
  usePage('New job');
  if (!ctx.may('submit')) {
    return html`<h1>New job</h1><${Notice} title="Not allowed">
      Your token may read but not submit. An admin makes another with <code>queen token add --role trigger NAME</code>.
    <//>`;
  }
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    // An answer that was lost may have been a yes: the same job under the same id is not taken twice.
    said.current ??= { id: newId(), now: Date.now() };
    try {
      const { id } = await ctx.api.submit(jobOf(Object.fromEntries(new FormData(event.target)), said.current.now, said.current.id));
      ctx.go(jobPath(id));
    } catch (problem) {
      if (problem.status !== 0) said.current = null;
      setError(problem);
      setBusy(false);
    }
  };
  const field = (name, label, hint, more = {}) => html`<label>${label}
    <input name=${name} placeholder=${hint} autocomplete="off" spellcheck=${false}
      defaultValue=${more.type === 'password' ? '' : (place.query[name] ?? '')} ...${more} />
  </label>`;
  return html`<section class="narrow">
    <h1>New job</h1>
    <form class="fields" onSubmit=${submit}>
      ${field('project', 'Project', 'owner/name', { required: true, pattern: '\\S+/\\S+', title: 'owner/name', maxlength: 200 })}
      ${field('url', 'Repository', 'https://…, user@host:path or a path on the drone')}
      ${field('branch', 'Branch', 'the default branch')}
      ${field('commit', 'Commit', 'the newest of the branch', { pattern: '[0-9a-fA-F]{40}', title: 'all 40 hexadecimal digits' })}
      <label>What to do
        <select name="job_type">
          <option value="TEST">Test</option><option value="TEST&DEPLOY">Test, then deploy</option><option value="DEPLOY">Deploy</option>
        </select>
      </label>
      ${field('message', 'Message', 'why')}
      <details><summary>More</summary><div class="fields">
        ${field('labels', 'Labels that a drone must have', 'gpu, linux')}
        ${field('spread', 'Drones that may share it', 'as many as help', { type: 'number', min: 1 })}
        ${field('priority', 'Priority', '0', { type: 'number' })}
        ${field('retries', 'Tries more if it fails', '0', { type: 'number', min: 0, max: 100 })}
        ${field('timeout', 'Seconds that it may take', 'no limit', { type: 'number', min: 1 })}
        ${field('username', 'User name for https', '')}
        ${field('password', 'Password or token for https', '', { type: 'password', autocomplete: 'new-password' })}
      </div></details>
      ${
        error &&
        html`<${Notice} kind="bad" title="The job was not taken">
          ${error.message}${error.status === 0 && ' Submit again when it is back: it is not taken twice.'}
        <//>`
      }
      <button class="main" disabled=${busy}>${busy ? 'Submitting' : 'Submit'}</button>
    </form>
  </section>`;
}
