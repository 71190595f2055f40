// What plugins passed in, and what happened to the workers of the drones' pools. Data is text here, whatever it holds.

import { html, useState } from '../../components/html.js';
import { Notice } from '../../components/parts.js';
import { clock, moment, number, plural } from '../../lib/format.js';

const STEP = 100;

export function Plugins({ job }) {
  const { plugins, pool } = job;
  if (!plugins.count && !pool.count) {
    return html`<${Notice} title="No plugin has said anything">
      A plugin's command can send data with the job; see the plugins' page of the documentation. Workers of a pool are told of here, too.
    <//>`;
  }
  return html`${
    plugins.count > 0 &&
    html`<h2>Data of plugins <span class="num faint">${number(plugins.count)}</span></h2><${Newest}
    kept=${plugins} row=${Said} />`
  }
    ${
      pool.count > 0 &&
      html`<h2>Workers of the pool <span class="num faint">${number(pool.count)}</span></h2><${Newest} kept=${pool}
      row=${Happened} />`
    }`;
}

/** The newest first. */
function Newest({ kept, row: Row }) {
  const [most, set] = useState(STEP);
  const shown = kept.list.slice(-most).reverse();
  return html`<ul class="rows">${shown.map((one, i) => html`<${Row} key=${kept.count - i} ...${one} />`)}</ul>
    ${
      kept.list.length > most &&
      html`<p><button onClick=${() => set(most + STEP)}>
      ${plural(Math.min(STEP, kept.list.length - most), 'older one', 'older ones')}</button></p>`
    }
    ${
      kept.count > kept.list.length &&
      most >= kept.list.length &&
      html`<p
      class="faint">The first ${number(kept.count - kept.list.length)} are in the job's events: GET /api/v1/jobs/ID/events.</p>`
    }`;
}

const shown = (data) => (typeof data === 'string' ? data : JSON.stringify(data, null, 1).replaceAll(/\n\s*/g, ' '));

function Said({ at, plugin, data }) {
  const text = shown(data);
  const long = text.length > 120;
  return html`<li class="case"><div class="row said-row"><time class="num faint" title=${moment(at)}>${clock(at)}</time><b>${plugin}</b>
      ${
        long
          ? html`<details><summary class="mono">${text.slice(0, 120)}…</summary><pre class="message" tabindex="0">
        ${typeof data === 'string' ? data : JSON.stringify(data, null, 2)}</pre></details>`
          : html`<span class="mono">${text}</span>`
      }
        </div></li>`;
}

function Happened({ at, worker, event, detail }) {
  return html`<li class="row said-row"><time class="num faint" title=${moment(at)}>${clock(at)}</time><span class="num">worker ${worker}
    </span>
    <span><b>${event}</b> <span class="mono faint">${detail == null ? '' : shown(detail)}</span></span></li>`;
}
