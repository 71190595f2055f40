// A job beside an earlier one: what fails now and did not, what got slower, and how a file's output differs.

import { LogDiff } from '../../components/diff.js';
import { useLoad } from '../../components/hooks.js';
import { html, useMemo, useState } from '../../components/html.js';
import { Ago, Failed, Notice, Skeleton, State } from '../../components/parts.js';
import { strip } from '../../lib/ansi.js';
import { differ, hunks, key } from '../../lib/differ.js';
import { duration, number, plural, refOf, shortId } from '../../lib/format.js';
import { jobPath } from '../../lib/router.js';

const STEP = 50;
/** Lines of each side that are compared, and changes that are looked for. */
const LINES = 10_000;
const CHANGES = 2000;
const PART = 2000;

export function Compare({ ctx, id, job, now, place, go, to, running }) {
  const { with: other = '', file = '' } = place.query;
  const { data, error, reload, loading } = useLoad(() => ctx.api.compare(id, other), [id, other, running]);
  const choose = (event) => {
    event.preventDefault();
    go({ with: new FormData(event.target).get('with')?.toString().trim().split('/').at(-1) ?? '', file: '' });
  };
  const pick = (event) => {
    event.preventDefault();
    go({ file: new FormData(event.target).get('file')?.toString() ?? '' });
  };
  const form = html`<form class="tools" onSubmit=${choose}><label>With job <input name="with" key=${other} defaultValue=${other}
    placeholder="id; empty: the last passed" size="36" /></label><button disabled=${loading}>Compare</button></form>`;
  if (error) return html`${form}<${Failed} error=${error} retry=${reload} />`;
  if (!data) return html`<${Skeleton} rows="6" />`;
  const base = data.with;
  if (!base) return html`${form}<${Notice} title="Nothing to compare with">No job of this project has passed before. Name one above.<//>`;
  const files = (list) => list.map((one) => (typeof one === 'string' ? { path: one } : one));
  const groups = [
    ['New failures', 'failed', files(data.new_failures), (one) => one.name],
    ['Fixed', 'passed', files(data.fixed), (one) => one.name],
    ['Slower', 'running', files(data.slower), took],
    ['Faster', 'running', files(data.faster), took],
    ['New files', 'pending', files(data.added), () => ''],
    ['Files that are gone', 'notrun', files(data.removed), () => ''],
  ];
  const known = groups.flatMap(([, , list]) => list).find((one) => one.path === file);
  const some = groups.some(([, , list]) => list.length);
  return html`${form}
    <p>Beside <${State} of=${base.state} bare /> <a href=${jobPath(base.id)}>${refOf(base) || shortId(base.id)}</a> <span
      class="mono faint">${shortId(base.id)}</span> · <${Ago} at=${base.submitted} now=${now} />
      ${running && html`<span class="faint"> · this job still runs: files without a result are left out</span>`}</p>
    ${
      file &&
      html`<${FileDiff} key=${`${base.id} ${file}`} ctx=${ctx} id=${id} base=${base.id} path=${file} known=${known} job=${job}
      close=${to({ tab: 'compare', file: '' })} />`
    }
    ${!some && html`<${Notice} title="No difference">The same files with the same results, none much slower or faster.<//>`}
    ${groups.map(
      ([title, , list, tell]) =>
        list.length > 0 &&
        html`<${Group} key=${title} title=${title} list=${list} tell=${tell}
      to=${to} both=${title !== 'New files' && title !== 'Files that are gone'} />`,
    )}
    <form class="tools" onSubmit=${pick}>
      <label>Log difference of <input name="file" list="all-files" size="36" placeholder="path of a file" /></label><button>Show</button>
      <datalist id="all-files">${[...job.files.keys()].slice(0, 500).map((path) => html`<option key=${path} value=${path} />`)}</datalist>
        </form>`;
}

/** Before and now; where the drones are not alike, what was to be expected, too. */
const took = ({ before, after, expected }) =>
  html`<span class="num">${duration(before)} → ${duration(after)}${
    duration(expected) !== duration(before) && html` <span class="faint">(${duration(expected)} expected on its drone)</span>`
  }</span>`;

function Group({ title, list, tell, to, both }) {
  const [most, set] = useState(STEP);
  return html`<section><h2>${title} <span class="num faint">${number(list.length)}</span></h2>
    <ul class="rows">${list.slice(0, most).map(
      (one, i) => html`<li class="row compare-row" key=${i}><span class="mono">${one.path}</span><span class="mono">${tell(one)}</span>
        ${
          both
            ? html`<a href=${to({ tab: 'compare', file: one.path })}
          aria-label=${`Log difference of ${one.path}`}>log difference</a>`
            : html`<span />`
        }</li>`,
    )}</ul>
    ${
      list.length > most &&
      html`<p><button onClick=${() => set(most + STEP)}>
      ${plural(Math.min(STEP, list.length - most), 'more', 'more')} of ${number(list.length)}</button></p>`
    }</section>`;
}

/** How a file's output differs from what it was. */
function FileDiff({ ctx, id, base, path, known, job, close }) {
  const { data, error, reload } = useLoad(async () => {
    // Of what differs, the numbers of both commands came along.
    const then = known?.with_num ?? (await ctx.api.files(base)).find((one) => one.path === path)?.num;
    const num = known?.num ?? job.files.get(path)?.num;
    if (then == null || num == null) return { missing: then == null ? 'the earlier job' : 'this job', sides: [] };
    return { missing: '', sides: await Promise.all([lines(ctx.api, base, then), lines(ctx.api, id, num)]) };
  }, [base, path]);
  const title = html`<h2>Log of <span class="mono">${path}</span> <a class="quiet button" href=${close}>Close</a></h2>`;
  if (error) return html`${title}<${Failed} error=${error} retry=${reload} />`;
  if (!data) return html`${title}<${Skeleton} rows="4" />`;
  if (data.missing) return html`${title}<${Notice} title="Nothing to compare">The file did not run in ${data.missing}.<//>`;
  return html`${title}<${Difference} before=${data.sides[0]} now=${data.sides[1]} />`;
}

function Difference({ before, now }) {
  const [numbers, setNumbers] = useState(false);
  const changes = useMemo(() => {
    const of = ({ texts }) => texts.map((text) => key(text, { numbers }));
    return differ(of(before), of(now), CHANGES);
  }, [before, now, numbers]);
  const box = html`<label class="check">
    <input type="checkbox" checked=${numbers} onChange=${(event) => setNumbers(event.target.checked)} /> Other numbers are a difference too
  </label>`;
  return html`<div class="tools">${box}
      ${(before.cut || now.cut) && html`<span class="faint">only the last ${number(LINES)} lines are compared</span>`}</div>
    ${
      !changes
        ? html`<${Notice} title="They have too little in common">More than ${number(CHANGES)} lines differ.<//>`
        : changes.every(({ sign }) => sign === ' ')
          ? html`<${Notice} title="No difference">Every line is the same${numbers ? '' : ', but for numbers'}.<//>`
          : html`<${LogDiff} hunks=${hunks(changes)} before=${before.texts} now=${now.texts} names=${['the earlier job', 'this job']} />`
    }`;
}

/** The last lines of a command, without escapes. */
async function lines(api, id, num) {
  const { total } = await api.logLines(id, num, 1, 1);
  const texts = [];
  let from = Math.max(1, total - LINES + 1);
  const cut = from > 1;
  while (from <= total) {
    const page = await api.logLines(id, num, from, PART);
    if (!page.lines.length) break;
    for (const { text } of page.lines) texts.push(strip(text));
    from += page.lines.length;
  }
  return { texts, cut };
}
