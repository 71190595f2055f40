// All projects: how each one's newest job stands.

import { useLists, useLoad, useNow, usePage, useThrottled } from '../components/hooks.js';
import { html, useRef, useState } from '../components/html.js';
import { NoJob } from '../components/none.js';
import { Ago, Failed, Notice, Skeleton, State, useRows } from '../components/parts.js';
import { number, plural } from '../lib/format.js';
import { projectPath } from '../lib/router.js';
import { rank } from '../lib/search.js';

/** Rows that are drawn; beyond, one narrows down. */
const MOST = 500;

export function Projects({ ctx }) {
  const now = useNow(10_000);
  const { data, error, reload } = useLoad(() => ctx.api.projects(), []);
  const refresh = useThrottled(reload, 3000);
  const [text, setText] = useState('');
  const rows = useRef(null);
  useRows(rows);
  usePage('Projects');
  useLists(ctx, (message) => message.type === 'jobs:changed' && refresh(), refresh);
  if (error && !data) return html`<h1>Projects</h1><${Failed} error=${error} retry=${reload} />`;
  if (!data) return html`<h1>Projects</h1><${Skeleton} rows="8" />`;
  if (!data.length) return html`<h1>Projects</h1><${NoJob} ctx=${ctx} />`;
  const byName = new Map(data.map((project) => [project.project, project]));
  const names = text ? rank([...byName.keys()], text) : [...byName.keys()];
  const shown = names.slice(0, MOST);
  return html`<h1>Projects</h1>
    ${
      data.length > 10 &&
      html`<form class="filters" onSubmit=${(event) => event.preventDefault()}>
        <label>Name
          <input type="search" value=${text} autocomplete="off" onInput=${(event) => setText(event.target.value.trim())} />
        </label>
      </form>`
    }
    ${
      shown.length
        ? html`<ul class="rows" ref=${rows}>
            ${shown.map((name) => html`<${Row} key=${name} project=${byName.get(name)} now=${now} />`)}
          </ul>`
        : html`<${Notice} title="No project is called so">A name is found by any part of it.<//>`
    }
    ${names.length > shown.length && html`<p class="faint">The first ${number(shown.length)} of ${number(names.length)}.</p>`}`;
}

function Row({ project, now }) {
  const { project: name, jobs, last_state: state, last_submitted: at } = project;
  return html`<li class="row project-row" data-row=${name}>
    ${state ? html`<${State} of=${state} bare />` : html`<span />`}
    <a class="job-name" href=${projectPath(name)}><b>${name}</b></a>
    <span class="num counts">${plural(jobs, 'job')}</span>
    <span class="faint when">${at && html`<${Ago} at=${at} now=${now} />`}</span>
  </li>`;
}
