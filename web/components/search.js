// Search over projects and jobs, and on a job's page over its files and tests: what fits is offered while one types, in groups;
// enter shows all jobs that fit.

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
    const { here } = ctx;
    const tests = here ? ctx.api.cases(here.id, { text: wanted, limit: MOST }).catch(() => ({ cases: [] })) : { cases: [] };
    const [names, page, { cases }] = await Promise.all([projects.current, jobs, tests]);
    // An answer to what one typed before is late.
    if (wanted !== latest.current) return undefined;
    const found = rank(
      names.map(({ project }) => project),
      wanted,
    ).slice(0, MOST);
    const part = (query) => address(jobPath(here.id), query);
    return setOffers([
      ...(here ? filesOf(here.files, wanted) : []).map(({ path, num }) => ({
        group: 'Files of this job',
        href: num == null ? part({ tab: 'files', text: path }) : part({ tab: 'log', cmd: num }),
        what: html`<span class="mono">${path}</span>`,
      })),
      ...cases.map((one) => ({
        group: 'Tests of this job',
        href: part({ tab: 'tests', text: one.name, path: one.path }),
        what: html`<${State} of=${one.outcome} bare /> <span class="mono">${one.name}</span> <span class="mono faint">${one.path}</span>`,
      })),
      ...found.map((name) => ({ group: 'Projects', href: projectPath(name), what: html`<b>${name}</b>` })),
      ...page.jobs.map((job) => ({
        group: 'Jobs',
        href: jobPath(job.id),
        what: html`<${State} of=${job.state} bare /> <b>${job.project}</b> <span class="mono">${refOf(job)}</span>${' '}
          <span class="faint">${titleOf(job)}</span>`,
      })),
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
  const label = place.view === 'job' ? 'Search files, tests, jobs and projects' : 'Search jobs and projects';
  const option = (offer, i) => html`<li key=${offer.href} id=${`offer-${i}`} role="option" aria-selected=${i === at ? 'true' : 'false'}
    onMouseDown=${(event) => event.preventDefault()} onClick=${() => go(offer.href)}>${offer.what}</li>`;
  const groups = [...new Set(offers.map(({ group }) => group))];
  return html`<form class="search" role="search" aria-label=${label} onSubmit=${submit}>
    <input ref=${field} type="search" role="combobox" placeholder=${`${label}  /`} aria-label=${label}
      autocomplete="off" spellcheck=${false} aria-autocomplete="list" aria-controls="search-offers"
      aria-expanded=${shown ? 'true' : 'false'}
      aria-activedescendant=${shown && at >= 0 ? `offer-${at}` : null}
      value=${text} onInput=${type} onKeyDown=${press} onBlur=${() => setOpen(false)} onFocus=${() => setOpen(true)} />
    <div id="search-offers" role="listbox" aria-label="What fits" hidden=${!shown}>${groups.map(
      (
        group,
      ) => html`<ul key=${group} role="group" aria-label=${group}>${offers.map((offer, i) => offer.group === group && option(offer, i))}
        </ul>`,
    )}</div>
  </form>`;
}

/** The first files of a job that fit. */
function filesOf(files, wanted) {
  const low = wanted.toLowerCase();
  const found = [];
  for (const file of files.values()) {
    if (found.length === MOST) break;
    if (file.path.toLowerCase().includes(low)) found.push(file);
  }
  return found;
}
