// What to do when there is nothing yet: no drone, no job. Each with the command to copy.

import { plural } from '../lib/format.js';
import { html } from './html.js';
import { Command, Notice } from './parts.js';

/** Whether the page and the queen are on one machine; a drone elsewhere needs a token. */
const isLocal = () => /^(localhost|127\.|\[::1\])/.test(location.hostname);

/** What to do when there is nobody to work. */
export function NoDrone({ away = 0, waiting = 0 }) {
  const { origin } = location;
  const local = isLocal();
  return html`<${Notice} title=${away ? 'No drone is connected' : 'No drone yet'}>
    ${waiting > 0 && html`<p>${plural(waiting, 'job')} ${waiting === 1 ? 'waits' : 'wait'} for one.</p>`}
    <p>Start one on ${local ? 'this machine' : 'a build machine'}:</p>
    ${!local && html`<p>First, on the queen's machine, make a token for it:</p><${Command}>queen token add --role drone build-1<//>`}
    <${Command}>${local ? `drone start --queen ${origin}` : `DRONE_TOKEN=… drone start --queen ${origin}`}<//>
  <//>`;
}

/** What to do when there was never a job. */
export function NoJob({ ctx }) {
  return html`<${Notice} title="No job yet">
    <p>In the folder of a repository:</p>
    <${Command}>${isLocal() ? '' : 'QUEEN_TOKEN=… '}QUEEN_URL=${location.origin} queen run .<//>
    ${ctx?.may('submit') && html`<p>Or <a href="/new">describe one here</a>.</p>`}
  <//>`;
}
