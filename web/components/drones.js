// The machines: what each slot does, how fast each is, what it has; drain and resume.

import { duration, number, plural } from '../lib/format.js';
import { address, jobPath } from '../lib/router.js';
import { Honeycomb } from './honeycomb.js';
import { html, useState } from './html.js';
import { Action, State } from './parts.js';

/** Drones that are shown before one asks for all. */
const FIRST = 100;

/** Connected ones first, by name; `drones` are rows of the API. */
export function Drones({ ctx, drones, reload, now }) {
  const [all, setAll] = useState(false);
  if (!drones.length) return null;
  const sorted = drones.toSorted((a, b) => Number(b.connected) - Number(a.connected) || (a.name < b.name ? -1 : 1));
  const shown = all ? sorted : sorted.slice(0, FIRST);
  return html`<section>
    <h2>Drones</h2>
    <ul class="rows drones">
      ${shown.map((drone) => html`<${Drone} key=${drone.id} ctx=${ctx} drone=${drone} reload=${reload} now=${now} />`)}
    </ul>
    ${sorted.length > shown.length && html`<button onClick=${() => setAll(true)}>Show all ${number(sorted.length)} drones</button>`}
  </section>`;
}

/** One cell a slot: busy ones first, each with its file. */
function cellsOf(drone, now) {
  const running = drone.running ?? [];
  return Array.from({ length: drone.capacity }, (_, i) => {
    const slot = running[i];
    if (slot) {
      const since = slot.since == null ? '' : `, for ${duration(Math.max(0, now - slot.since))}`;
      const href = address(jobPath(slot.job), { cmd: slot.num });
      return { key: i, state: 'running', title: `${slot.path}${since}`, href };
    }
    return i < drone.active ? { key: i, state: 'running', title: 'busy' } : { key: i, state: 'pending', title: 'free' };
  });
}

function Drone({ ctx, drone, reload, now }) {
  const learned = Math.round(drone.effective_speed ?? drone.speed);
  const state = !drone.connected ? 'away' : drone.draining ? 'draining' : 'ready';
  const drain = async () => {
    await ctx.api.drain(drone.id, !drone.draining);
    reload();
  };
  // A number that was learned is worth a word only where it differs from the one that was given.
  const speed = `speed ${number(drone.speed)}${Math.abs(learned - drone.speed) > 2 ? ` (≈${number(learned)})` : ''}`;
  const busy = `${drone.active} of ${plural(drone.capacity, 'slot')} busy`;
  const what = drone.draining ? 'Let it take new work again' : 'Finish what runs, take nothing new, then end';
  const about = [drone.platform, drone.version && `v${drone.version}`].filter(Boolean).join(' · ');
  return html`<li class=${`row drone ${state}`} data-row=${drone.id}>
    <span class="drone-name">
      <${State} of=${state} bare /> <b title=${drone.name}>${drone.name}</b>
      ${state !== 'ready' && html` <span class="faint">${state}</span>`}
    </span>
    <span class="slots"><${Honeycomb} cells=${cellsOf(drone, now)} width=${236} label=${busy} /></span>
    <span class="num load" title="Slots in use, and jobs that wait for this drone">
      ${number(drone.active)}/${number(drone.capacity)}
      ${drone.queued > 0 && html`<span class="faint"> · ${number(drone.queued)} queued</span>`}
    </span>
    <span class="num speed" title="The speed that it was given, and in brackets the one that its files have shown">${speed}</span>
    <span class="faint about" title=${[about, ...drone.labels].join(' · ')}>
      ${about} ${drone.labels.map((label) => html`<span class="tag" key=${label}>${label}</span> `)}
    </span>
    <span class="doing">${
      drone.connected &&
      ctx.may('drain') &&
      html`<${Action} kind="quiet" run=${drain} title=${what}>${drone.draining ? 'Resume' : 'Drain'}<//>`
    }</span>
  </li>`;
}
