// Search over projects and jobs: what fits is offered while one types, enter shows all jobs that fit.

import { refOf, titleOf } from '../lib/format.js';
import { address, jobPath, projectPath } from '../lib/router.js';
import { rank } from '../lib/search.js';
import { useThrottled } from './hooks.js';
import { html, useEffect, useRef, useState } from './html.js';
import { State } from './state.js';

const MOST = 5;

export function Search({ ctx, place, field }) {
  const [text, setText] = useState(place.query.text ?? '');
  const [offers, setOffers] = useState(/** @type {any[]} */ ([]));
  const [at, setAt] = useState(-1);
  const [open, setOpen] = useState(false);
  const projects = useRef(/** @type {Promise<any> | null} */ (null));
  const latest = useRef('');
  useEffect(() => setText(place.query.text ?? ''), [place.query.text]);

  const ask = useThrottled(async () => {
    const wanted = latest.current;
    if (!wanted) return setOffers([]);
    projects.current ??= ctx.api.projects().catch(() => {
      projects.current = null;
      return [];
    });
    const jobs = ctx.api.jobs({ text: wanted, limit: MOST }).catch(() => ({ jobs: [] }));
    const [names, page] = await Promise.all([projects.current, jobs]);
    // An answer to what one typed before is late.
    if (wanted !== latest.current) return undefined;
    const found = rank(
      names.map(({ project }) => project),
      wanted,
    ).slice(0, MOST);
    return setOffers([
      ...found.map((name) => ({ id: `p ${name}`, href: projectPath(name), project: name })),
      ...page.jobs.map((job) => ({ id: `j ${job.id}`, href: jobPath(job.id), job })),
    ]);
  }, 250);

  const type = (event) => {
    setText(event.target.value);
    latest.current = event.target.value.trim();
    setAt(-1);
    setOpen(true);
    ask();
  };
  const go = (href) => {
    setOpen(false);
    setAt(-1);
    field.current?.blur();
    ctx.go(href);
  };
  const submit = (event) => {
    event.preventDefault();
    go(offers[at]?.href ?? address('/jobs', { text: text.trim() }));
  };
  const press = (event) => {
    if (event.key === 'Escape') {
      if (open && offers.length) event.preventDefault();
      setOpen(false);
      setAt(-1);
      if (!open || !offers.length) field.current?.blur();
    }
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
    event.preventDefault();
    setOpen(true);
    const by = event.key === 'ArrowDown' ? 1 : -1;
    setAt((before) => Math.max(-1, Math.min(offers.length - 1, before + by)));
  };
  const shown = open && offers.length > 0 && text.trim() !== '';
  return html`<form class="search" role="search" aria-label="Jobs and projects" onSubmit=${submit}>
    <input ref=${field} type="search" role="combobox" placeholder="Search jobs and projects  /" aria-label="Search jobs and projects"
      autocomplete="off" spellcheck=${false} aria-autocomplete="list" aria-controls="search-offers"
      aria-expanded=${shown ? 'true' : 'false'}
      aria-activedescendant=${shown && at >= 0 ? `offer-${at}` : null}
      value=${text} onInput=${type} onKeyDown=${press} onBlur=${() => setOpen(false)} onFocus=${() => setOpen(true)} />
    <ul id="search-offers" role="listbox" aria-label="What fits" hidden=${!shown}>${offers.map(
      (offer, i) => html`<li key=${offer.id} id=${`offer-${i}`} role="option" aria-selected=${i === at ? 'true' : 'false'}
        onMouseDown=${(event) => event.preventDefault()} onClick=${() => go(offer.href)}>
        ${
          offer.project
            ? html`<span class="faint">project</span> <b>${offer.project}</b>`
            : html`<${State} of=${offer.job.state} bare /> <b>${offer.job.project}</b> <span class="mono">${refOf(offer.job)}</span>${' '}
              <span class="faint">${titleOf(offer.job)}</span>`
        }
      </li>`,
    )}</ul>
  </form>`;
}
