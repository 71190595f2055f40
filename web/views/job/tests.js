// The cases of a job, found by name, file and outcome; the queen looks, the page shows some of them at a time.

import { Message } from '../../components/diff.js';
import { useThrottled } from '../../components/hooks.js';
import { html, useEffect, useRef, useState } from '../../components/html.js';
import { Failed, Notice, Skeleton, State } from '../../components/parts.js';
import { duration, number, plural } from '../../lib/format.js';
import { sumOf } from '../../lib/store.js';
import { logOf } from './cells.js';

const LIMIT = 200;
const OUTCOMES = ['failed', 'errored', 'xpassed', 'skipped', 'xfailed', 'passed'];

export function Tests({ ctx, id, job, place, go }) {
  const { text = '', outcome = '', path = '' } = place.query;
  const [state, set] = useState(/** @type {any} */ ({ cases: [], next: null, counts: null, error: null, busy: true }));
  const asked = useRef(0);
  const ask = (after) => {
    asked.current += 1;
    const mine = asked.current;
    set((before) => ({ ...before, busy: true }));
    ctx.api.cases(id, { text, outcome, path, limit: LIMIT, after }).then(
      (page) => {
        if (mine !== asked.current) return;
        const { cases, next, counts } = page;
        // How many there are is said with the first page.
        set((before) => ({
          cases: after ? [...before.cases, ...cases] : cases,
          next,
          counts: counts ?? before.counts,
          error: null,
          busy: false,
        }));
      },
      (error) => mine === asked.current && set((before) => ({ ...before, error, busy: false })),
    );
  };
  useEffect(() => {
    const timer = setTimeout(() => ask(), state.counts ? 200 : 0);
    return () => clearTimeout(timer);
  }, [text, outcome, path]);
  // While it runs, what is shown is asked for again, as long as one has not gone further.
  const again = useThrottled(() => state.cases.length <= LIMIT && ask(), 3000);
  const known = sumOf(job.cases);
  useEffect(() => {
    if (state.counts && known) again();
  }, [known]);
  useEffect(
    () => () => {
      asked.current += 1;
    },
    [],
  );

  if (state.error && !state.cases.length) return html`<${Failed} error=${state.error} retry=${() => ask()} />`;
  if (!state.counts) return html`<${Skeleton} rows="8" />`;
  const filtered = text || outcome || path;
  const chips = OUTCOMES.filter((name) => state.counts[name] > 0 || name === outcome);
  return html`<div class="tools">
      <input type="search" placeholder="Find a test" aria-label="Find a test" data-search value=${text}
        onInput=${(event) => go({ text: event.target.value }, true)} />
      ${chips.map(
        (name) => html`<button key=${name} class="chip" aria-pressed=${outcome === name}
          onClick=${() => go({ outcome: outcome === name ? '' : name }, true)}>
          <${State} of=${name} /> <span class="num">${number(state.counts[name] ?? 0)}</span></button>`,
      )}
      ${
        path &&
        html`<button class="chip" aria-pressed="true" onClick=${() => go({ path: '' }, true)}>in <span class="mono">${path}
        </span> ×</button>`
      }
      <span class="faint num" role="status" aria-busy=${state.busy}>${plural(state.cases.length, 'test')} shown</span>
    </div>
    ${
      state.cases.length === 0 &&
      html`<${Notice} title=${filtered ? 'No test fits' : 'No test is known'}>${
        filtered
          ? html`<button
      onClick=${() => go({ text: '', outcome: '', path: '' }, true)}>Show all</button>`
          : 'Not every framework tells its cases; the files have their results.'
      }<//>`
    }
    ${
      state.cases.length > 0 &&
      html`<ul class="rows">${state.cases.map(
        (one, i) => html`<${Case}
      key=${`${one.path} ${one.num} ${one.name} ${i}`} id=${id} one=${one} />`,
      )}</ul>`
    }
    ${state.error && html`<${Failed} error=${state.error} retry=${() => ask(state.next)} />`}
    ${state.next && html`<p><button disabled=${state.busy} onClick=${() => ask(state.next)}>More</button></p>`}`;
}

function Case({ id, one }) {
  const [open, set] = useState(false);
  return html`<li class="case"><div class="row case-row"><${State} of=${one.outcome} bare />
      ${
        one.message
          ? html`<button class="quiet mono" aria-expanded=${open} onClick=${() => set(!open)}>${one.name}</button>`
          : html`<span
        class="mono">${one.name}</span>`
      }
      <a class="mono faint" href=${logOf(id, one)}>${one.path}</a><span class="num">${one.duration == null ? '' : duration(one.duration)}
        </span></div>
    ${open && html`<${Message} text=${one.message} />`}</li>`;
}
