// A form for a job, in the contract's own terms. What is wrong with it is said by the queen, in its words.

import { html, useEffect, useState } from '../components/html.js';
import { Notice } from '../components/parts.js';
import { jobOf } from '../lib/new-job.js';
import { jobPath } from '../lib/router.js';

export function NewJob({ ctx }) {
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    document.title = 'New job · Skep';
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const { id } = await ctx.api.submit(jobOf(Object.fromEntries(new FormData(event.target)), Date.now()));
      ctx.go(jobPath(id));
    } catch (problem) {
      setError(problem.message);
      setBusy(false);
    }
  };
  const field = (name, label, hint, more = {}) =>
    html`<label>${label}<input name=${name} placeholder=${hint} autocomplete="off" spellcheck=${false} ...${more} /></label>`;
  return html`<section class="narrow"><h1>New job</h1>
    <form class="fields" onSubmit=${submit}>
      ${field('project', 'Project', 'owner/name', { required: true, pattern: '\\S+/\\S+', title: 'owner/name' })}
      ${field('url', 'Repository', 'https://…, user@host:path or a path on the drone')}
      ${field('branch', 'Branch', 'the default branch')}
      ${field('commit', 'Commit', 'the newest of the branch', { pattern: '[0-9a-fA-F]{40}', title: 'all 40 hexadecimal digits' })}
      <label>What to do<select name="job_type"><option value="TEST">Test</option><option value="TEST&DEPLOY">Test, then deploy</option><option value="DEPLOY">Deploy</option></select></label>
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
      ${error && html`<${Notice} kind="bad" title="The job was not taken">${error}<//>`}
      <button class="main" disabled=${busy}>Submit</button>
    </form></section>`;
}
