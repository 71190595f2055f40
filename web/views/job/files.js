// All files of a job: the honeycomb, and a table that can be searched and ordered.

import { html, useMemo, useState } from '../../components/html.js';
import { Notice, State } from '../../components/parts.js';
import { duration, number, plural } from '../../lib/format.js';
import { sumOf } from '../../lib/store.js';
import { Cells, logOf, stateOf } from './cells.js';

const STEP = 200;
/** Worse first. */
const RANK = ['crashed', 'timedout', 'failed', 'flaky', 'running', 'notrun', 'pending', 'empty', 'passed'];
const ORDERS = {
  state: ['State', (a, b) => RANK.indexOf(stateOf(a)) - RANK.indexOf(stateOf(b))],
  path: ['File', (a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0)],
  tests: ['Tests', (a, b) => casesOf(b) - casesOf(a)],
  took: ['Took', (a, b) => (b.result?.duration ?? -1) - (a.result?.duration ?? -1)],
};

/** What it comes to that a file is under quarantine. */
const QUARANTINED = 'A failure of it is tried again in this job; one in each try counts as any other';
const casesOf = (file) => sumOf(file.result?.cases) || sumOf(file.cases);

export function Files({ ctx, id, job, now, place, go }) {
  const { order = '', text = '', outcome = '' } = place.query;
  const [most, setMost] = useState(STEP);
  const states = useMemo(() => {
    const counts = new Map();
    for (const file of job.files.values()) counts.set(stateOf(file), (counts.get(stateOf(file)) ?? 0) + 1);
    return [...counts].sort(([a], [b]) => RANK.indexOf(a) - RANK.indexOf(b));
  }, [job.filesVersion]);
  const files = useMemo(() => {
    const low = text.toLowerCase();
    const found = [...job.files.values()].filter(
      (file) => (!outcome || stateOf(file) === outcome) && (!low || file.path.toLowerCase().includes(low)),
    );
    return ORDERS[order] ? found.sort(ORDERS[order][1]) : found;
  }, [job.filesVersion, order, text, outcome]);
  if (!job.files.size) return html`<${Notice} title="No test file is known">The home drone lists them when it has prepared the source.<//>`;
  const head = (
    name,
    kind = '',
  ) => html`<th class=${kind} aria-sort=${order === name ? (name === 'path' || name === 'state' ? 'ascending' : 'descending') : 'none'}>
    <button class="quiet" onClick=${() => go({ order: order === name ? '' : name }, true)}>${ORDERS[name][0]}${order === name ? ' ▾' : ''}
      </button></th>`;
  return html`<${Cells} ctx=${ctx} id=${id} job=${job} />
    <div class="tools">
      <input type="search" placeholder="Find a file" aria-label="Find a file" data-search value=${text}
        onInput=${(event) => go({ text: event.target.value }, true)} />
      ${states.map(
        ([state, count]) => html`<button key=${state} class="chip" aria-pressed=${outcome === state}
          onClick=${() => go({ outcome: outcome === state ? '' : state }, true)}>
          <${State} of=${state} /> <span class="num">${number(count)}</span></button>`,
      )}
      <span class="faint num" role="status">${plural(files.length, 'file')}</span>
    </div>
    <table class="wide"><thead><tr>${head('path')}${head('state')}${head('tests', 'right')}${head('took', 'right')}<th>Drone</th></tr>
      </thead>
      <tbody>${files.slice(0, most).map(
        (file) => html`<tr key=${file.path}><td class="mono">${
          file.num == null
            ? file.path
            : html`<a href=${logOf(id, file)}>${file.path}
          </a>`
        }${file.quarantined && html` <span class="faint" title=${QUARANTINED}>under quarantine</span>`}</td><td><${State} of=${stateOf(file)} /></td>
          <td class="right num">${casesOf(file) || ''}</td><td class="right num">${
            file.result ? duration(file.result.duration) : file.state === 'running' ? duration(Math.max(0, now - file.since)) : ''
          }</td><td>${file.drone ? ctx.droneName(file.drone) : ''}</td></tr>`,
      )}</tbody></table>
    ${
      files.length > most &&
      html`<p><button onClick=${() => setMost(most + STEP)}>
      ${plural(Math.min(STEP, files.length - most), 'more file')} of ${number(files.length)}</button></p>`
    }`;
}
