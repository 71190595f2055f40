// One project's past: is it getting better or worse, what is slow, what is flaky or under quarantine; its badge and how its
// jobs are made.

import { FileHistory } from '../components/file-history.js';
import { useLists, useLoad, useNow, usePage, useThrottled } from '../components/hooks.js';
import { html, useEffect, useState } from '../components/html.js';
import { Ago, Command, Failed, JobRow, Skeleton, State } from '../components/parts.js';
import { badgePath } from '../lib/api.js';
import { duration, moment, number, plural } from '../lib/format.js';
import { address, jobPath, projectPath } from '../lib/router.js';
import { FINAL } from '../lib/states.js';
import { columns, summary } from '../lib/trend.js';
import { PutThere, Quarantine } from './project-quarantine.js';

const TREND = 200;
/** Files of a kind that the queen tells without being asked for all. */
const MOST = 50;
/** Rows of a table of files before one asks for all, and then. */
const FEW = 20;
const MANY = 1000;

export function Project({ ctx, place }) {
  const { name } = place.params;
  const { branch = '', file } = place.query;
  const now = useNow(10_000);
  // All files of a big project are much to load: only who looks for one needs them.
  const [whole, setWhole] = useState(false);
  const { data, error, reload } = useLoad(async () => {
    const wanted = whole || file ? {} : { files: 'false' };
    const [project, jobs] = await Promise.all([ctx.api.project(name, wanted), ctx.api.jobs({ project: name, branch, limit: 15 })]);
    return { project, jobs: jobs.jobs };
  }, [name, branch, whole || Boolean(file)]);
  const quarantine = useLoad(() => ctx.api.quarantined(name), [name]);
  const [suspect, setSuspect] = useState('');
  const refresh = useThrottled(() => Promise.all([reload(), quarantine.reload()]), 2000);
  usePage(name, data?.project.last_state ?? undefined);
  useLists(ctx, (message) => message.type === 'jobs:changed' && message.args[0]?.project === name && refresh(), refresh);
  const here = file ? html`<a href=${projectPath(name)}>${name}</a> / ${file}` : name;
  const crumbs = html`<p class="crumbs"><a href="/projects">Projects</a> / ${here}</p>`;
  if (error && !data) return html`${crumbs}<h1>${name}</h1><${Failed} error=${error} retry=${reload} />`;
  if (!data) return html`${crumbs}<h1>${name}</h1><${Skeleton} rows="10" />`;
  const { files, slowest = [], flaky = [] } = data.project;
  if (file) {
    const known = files?.find((one) => one.path === file);
    return html`${crumbs}<${FileHistory} ctx=${ctx} project=${name} path=${file} known=${known} now=${now} />`;
  }
  const newest = data.jobs[0];
  const inside = new Set(quarantine.data?.map((one) => one.path));
  return html`${crumbs}
    <div class="title">
      <h1>${name}</h1>
      <div class="actions">
        ${ctx.may('submit') && html`<a class="button" href=${address('/new', formOf(name, newest))}>New job</a>`}
        <a class="button" href=${address('/jobs', { project: name })}>All its jobs</a>
      </div>
    </div>
    <p class="facts num">
      ${plural(data.project.jobs, 'job')}${files && ` · ${plural(files.length, 'file')}`}
      ${' '}· ${number(flaky.length)}${flaky.length >= MOST && '+'} flaky
    </p>
    <${Branch} ctx=${ctx} name=${name} branch=${branch} />
    <${Trend} ctx=${ctx} name=${name} branch=${branch} />
    <section>
      <h2>Newest jobs</h2>
      ${
        data.jobs.length
          ? html`<ul class="rows">${data.jobs.map((job) => html`<${JobRow} key=${job.id} job=${ctx.fresh(job)} now=${now} />`)}</ul>`
          : html`<p class="faint">None on this branch.</p>`
      }
    </section>
    <${Files} title="Flaky files" name=${name} files=${flaky} now=${now} none="No file was flaky."
      put=${ctx.may('quarantine') && setSuspect} inside=${inside} />
    <${Quarantine} ctx=${ctx} name=${name} loaded=${quarantine} now=${now} />
    <${Files} title="Slowest files" name=${name} files=${files ?? slowest} now=${now} none="No file has run yet."
      more=${!files && slowest.length >= MOST && (() => setWhole(true))} />
    <${Badge} name=${name} branch=${branch} />
    <${Settings} job=${newest} />
    ${suspect && html`<${PutThere} ctx=${ctx} name=${name} path=${suspect} close=${() => setSuspect('')} reload=${quarantine.reload} />`}`;
}

/** What the form for a new job begins with. */
function formOf(project, job) {
  // What the queen keeps for `queen run` has commits, and no branches.
  const own = job?.repo?.startsWith(`${location.origin}/git/`);
  return { project, url: job?.repo, branch: own ? '' : job?.branch, commit: own ? job.commit : '' };
}

function Branch({ ctx, name, branch }) {
  const [text, setText] = useState(branch);
  useEffect(() => setText(branch), [branch]);
  const show = (event) => {
    event.preventDefault();
    ctx.go(address(projectPath(name), { branch: text.trim() }), true);
  };
  return html`<form class="filters" onSubmit=${show}>
    <label>Branch
      <input name="branch" value=${text} placeholder="all branches" autocomplete="off" spellcheck=${false}
        onInput=${(event) => setText(event.target.value)} />
    </label>
    <button>Show</button>${branch && html`<a class="button quiet" href=${projectPath(name)}>All branches</a>`}
  </form>`;
}

/** The chart comes when it is needed; the numbers are there before it, and instead of it for those who do not see. */
function Trend({ ctx, name, branch }) {
  const { data, error, reload } = useLoad(() => ctx.api.trend(name, { branch, limit: TREND }), [name, branch]);
  const refresh = useThrottled(reload, 5000);
  // Only an end adds to a trend.
  const ends = ({ type, args }) => type === 'jobs:changed' && args[0]?.project === name && FINAL.has(args[0].state);
  useLists(ctx, (message) => ends(message) && refresh(), refresh);
  if (error && !data) return html`<section><h2>Trend</h2><${Failed} error=${error} retry=${reload} /></section>`;
  if (!data) return html`<section><h2>Trend</h2><div class="chart-place" /></section>`;
  return html`<${Past} ctx=${ctx} jobs=${data.jobs} />`;
}

function Past({ ctx, jobs }) {
  const [chart, setChart] = useState(/** @type {any} */ (null));
  const enough = columns(jobs).jobs.length > 1;
  useEffect(() => {
    if (!enough) return;
    // Without the chart the numbers and the table are there all the same.
    import('../components/chart.js').then(
      (module) => setChart(() => module.Chart),
      () => {},
    );
  }, [enough]);
  if (!enough) return html`<section><h2>Trend</h2><p class="faint">A trend needs two jobs that have ended.</p></section>`;
  const { median, newest, share } = summary(jobs);
  const ended = columns(jobs).jobs;
  return html`<section>
    <h2>Trend of the last ${plural(ended.length, 'job')}</h2>
    <p class="facts num">
      median ${duration(median)} · newest ${duration(newest)}${share != null && ` · ${Math.round(share)} % of the last ten passed`}
    </p>
    <div class="chart-place">${chart && html`<${chart} jobs=${jobs} go=${ctx.go} />`}</div>
    <details><summary>As a table</summary>
      <table><thead><tr>
          <th>When</th><th>State</th><th class="right">Took</th>
          <th class="right">Files</th><th class="right">Failed</th><th class="right">Flaky</th>
        </tr></thead>
        <tbody>${ended.toReversed().map(
          (job) => html`<tr key=${job.id}>
            <td><a href=${jobPath(job.id)}>${moment(job.submitted)}</a></td><td><${State} of=${job.state} /></td>
            <td class="right num">${duration(job.duration)}</td><td class="right num">${number(job.files)}</td>
            <td class="right num">${job.bad || ''}</td><td class="right num">${job.flaky || ''}</td>
          </tr>`,
        )}</tbody></table>
    </details>
  </section>`;
}

/** A table of files; `more()` asks for those that are not told yet, `put(path)` to put one with those `inside` the quarantine. */
function Files({ title, name, files, now, none, more, put, inside }) {
  const [text, setText] = useState('');
  const [all, setAll] = useState(false);
  const wanted = text.toLowerCase();
  const found = wanted ? files.filter((file) => file.path.toLowerCase().includes(wanted)) : files;
  const shown = found.slice(0, all || wanted ? MANY : FEW);
  const find = (event) => {
    if (more) more();
    setText(event.target.value.trim());
  };
  const showAll = () => {
    if (more) more();
    setAll(true);
  };
  return html`<section>
    <div class="title"><h2>${title} ${files.length > 0 && html`<span class="faint num">${number(files.length)}${more && '+'}</span>`}</h2>
      ${
        files.length > FEW &&
        html`<input type="search" aria-label=${`Find in ${title.toLowerCase()}`} placeholder="Find a file" value=${text} onInput=${find} />`
      }
    </div>
    ${
      found.length === 0
        ? html`<p class="faint">${wanted ? 'No file is called so.' : none}</p>`
        : html`<table><thead><tr>
            <th>File</th><th class="right">Usual time</th><th class="right">Runs</th>
            <th class="right">Failed</th><th class="right">Flaky</th><th>Last</th>${put && html`<th>Quarantine</th>`}
          </tr></thead>
          <tbody>${shown.map(
            (file) =>
              html`<${FileRow} key=${file.path} name=${name} file=${file} now=${now} put=${put} isInside=${inside?.has(file.path)} />`,
          )}</tbody></table>`
    }
    ${
      found.length > shown.length &&
      (all || wanted
        ? html`<p class="faint">The first ${number(shown.length)} of ${number(found.length)}.</p>`
        : html`<p class="more"><button onClick=${showAll}>${more ? 'Show all' : `Show all ${number(found.length)}`}</button></p>`)
    }
  </section>`;
}

function FileRow({ name, file, now, put, isInside }) {
  return html`<tr>
    <td class="mono"><a href=${address(projectPath(name), { file: file.path })}>${file.path}</a></td>
    <td class="right num">${duration(file.duration)}</td><td class="right num">${number(file.runs)}</td>
    <td class=${`right num${file.bad ? ' is-failed' : ''}`}>${file.bad || ''}</td>
    <td class=${`right num${file.flaky ? ' is-flaky' : ''}`}>${file.flaky || ''}</td>
    <td>${file.failed && html`<${State} of="failed" bare /> `}<${Ago} at=${file.last} now=${now} /></td>
    ${
      put &&
      html`<td>${
        isInside ? html`<span class="faint">there</span>` : html`<button class="quiet" onClick=${() => put(file.path)}>Put there</button>`
      }</td>`
    }
  </tr>`;
}

function Badge({ name, branch }) {
  const path = badgePath(name, branch);
  const page = `${location.origin}${address(projectPath(name), { branch })}`;
  return html`<section>
    <h2>Badge</h2>
    <p><img src=${path} alt=${`The badge of ${name}`} height="20" /></p>
    <p class="faint">Its Markdown, for a README:</p>
    <${Command}>${`[![tests](${location.origin}${path})](${page})`}<//>
  </section>`;
}

/** How its newest job was made. */
function Settings({ job }) {
  if (!job) return null;
  const rows = [
    ['Repository', job.repo],
    ['Branch', job.branch],
    ['Runner', job.runner],
    ['Labels', job.labels.join(', ')],
    ['Priority', job.priority || ''],
    ['Does', job.job_type === 'TEST' ? 'test' : job.job_type === 'DEPLOY' ? 'deploy' : 'test, then deploy'],
  ].filter(([, value]) => value);
  return html`<section>
    <h2>Settings</h2>
    <dl class="pairs">${rows.map(([what, value]) => html`<div key=${what}><dt>${what}</dt><dd class="mono">${value}</dd></div>`)}</dl>
    <p class="faint">
      As its newest job has them. How it is prepared, tested and deployed stands in the repository, in <code>skep.toml</code>.
    </p>
  </section>`;
}
