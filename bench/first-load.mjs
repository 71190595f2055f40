// The first load of a job's page, each time in a browser context of its own, with nothing in its cache. See bench/README.md.

import { parseArgs } from 'node:util';
import { until, World } from '../web/tests/e2e/programs.js';
import { ScriptedDrone } from '../web/tests/e2e/scripted-drone.js';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '9' },
    files: { type: 'string', default: '40' },
    waterfall: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const ROUNDS = Number(values.rounds);
const FILES = Number(values.files);
/** A document of a few bytes that the browser draws: a picture of the same queen. */
const EMPTY = '/icons/passed.svg';
/** The tab that is pressed as soon as it is there. */
const PRESSED = 'tab-files';

const world = new World();
const sorted = (list) => [...list].sort((a, b) => a - b);
const median = (list) => sorted(list)[Math.floor(list.length / 2)];

/** A job that has ended: `FILES` files, every tenth of which failed. */
async function job(drone) {
  await world.api('/jobs', { project: 'bench/first', trigger: { type: 'manual', timestamp: Date.now(), message: 'A commit of somebody' } });
  const id = await drone.take(Array.from({ length: FILES }, (_, i) => `tests/part_${i % 4}/test_${i}.py`));
  let ended = 0;
  while (ended < FILES) {
    for (const file of await drone.given()) {
      drone.begin(id, file, ended % 4);
      drone.hold('job:cmd:stdout', id, file.num, `${file.path} says\nthis and that\n`);
      const bad = ended % 10 === 5;
      const cases = bad ? [{ name: 'test_it', outcome: 'failed', message: "E     - 'one'\nE     + 'two'" }] : [];
      drone.end(id, file, bad ? 'failed' : 'passed', { cases, duration: 10 + ((ended * 7919) % 400) });
      ended += 1;
    }
    await drone.flush();
  }
  await drone.finish(id);
  await until('the job to end', async () => (await world.api(`/jobs/${id}`)).finished != null);
  return id;
}

/** Runs in the page before anything else: notes when a tab is there, when pressing it does something, when a failure stands. */
function note(pressed) {
  const noted = (window.noted = {});
  const now = () => performance.now();
  const press = () => {
    if (noted.usable) return;
    const tab = document.getElementById(pressed);
    tab?.click();
    if (document.getElementById(pressed)?.getAttribute('aria-selected') === 'true') noted.usable ??= now();
    else requestAnimationFrame(press);
  };
  const look = () => {
    if (!noted.seen && document.getElementById(pressed)) {
      noted.seen = now();
      // A link does something by itself: it would load the page anew. Only what the page makes of it counts.
      addEventListener('click', (event) => event.defaultPrevented || event.preventDefault(), { once: false });
      press();
    }
    if (!noted.usable && document.getElementById(pressed)?.getAttribute('aria-selected') === 'true') noted.usable = now();
    if (!noted.filled && document.querySelector('.comb .cell')) noted.filled = now();
  };
  new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true });
}

/** One look at `path` by a new browser context. */
async function load(path, page) {
  const tab = await world.page();
  const devtools = await tab.context().newCDPSession(tab);
  await devtools.send('Performance.enable');
  await tab.addInitScript(note, PRESSED);
  await tab.goto(world.url + path);
  if (page) await tab.waitForFunction(() => window.noted.usable && window.noted.filled);
  await tab.waitForFunction(() => performance.getEntriesByName('first-contentful-paint').length > 0);
  const { metrics } = await devtools.send('Performance.getMetrics');
  const seconds = (name) => 1000 * (metrics.find((metric) => metric.name === name)?.value ?? 0);
  const found = await tab.evaluate(() => {
    const [navigation] = performance.getEntriesByType('navigation');
    const all = [navigation, ...performance.getEntriesByType('resource')].map((entry) => ({
      path: new URL(entry.name).pathname,
      began: entry.startTime,
      sent: entry.requestStart,
      ended: entry.responseEnd,
      bytes: entry.encodedBodySize,
    }));
    const [paint] = performance.getEntriesByName('first-contentful-paint');
    return { ...window.noted, paint: paint.startTime, loaded: navigation.loadEventEnd, all };
  });
  if (tab.problems.length) throw new Error(tab.problems.join('\n'));
  await tab.context().close();
  // What is asked for once the tabs do something belongs to what was pressed.
  const before = found.all.filter(({ began }) => !found.usable || began < found.usable);
  const code = before.filter(({ path: name }) => !name.startsWith('/api/'));
  return {
    ...found,
    before,
    requests: before.length,
    bytes: code.reduce((sum, one) => sum + one.bytes, 0),
    data: before.reduce((sum, one) => sum + one.bytes, 0) - code.reduce((sum, one) => sum + one.bytes, 0),
    script: seconds('ScriptDuration'),
    layout: seconds('LayoutDuration') + seconds('RecalcStyleDuration'),
    task: seconds('TaskDuration'),
  };
}

const ms = (list) => {
  const all = sorted(list);
  return `${median(all).toFixed(0).padStart(6)} ms   (${all[0].toFixed(0)} to ${all.at(-1).toFixed(0)})`;
};
const say = (what, text) => console.log(what.padEnd(46), text);

function waterfall({ all, usable, paint }) {
  console.log('\nThe last load, in milliseconds since it began: began, sent, ended, bytes');
  for (const { path, began, sent, ended, bytes } of all)
    console.log(`${[began, sent, ended].map((n) => n.toFixed(0).padStart(6)).join('')} ${String(bytes).padStart(7)}  ${path}`);
  console.log(`first paint ${paint.toFixed(0)}, usable ${usable.toFixed(0)}`);
}

try {
  await world.queen();
  const drone = await ScriptedDrone.join(world.url, 'bench', 4);
  const path = `/jobs/${await job(drone)}`;
  // The queen has packed each file once, and the browser is there.
  await load(path, true);
  const pages = [];
  const empty = [];
  for (let i = 0; i < ROUNDS; i += 1) {
    empty.push(await load(EMPTY, false));
    pages.push(await load(path, true));
  }
  const of = (list, name) => list.map((one) => one[name]);
  if (values.json) console.log(JSON.stringify({ pages, empty }));
  else {
    say(`medians of ${ROUNDS} new contexts`, `a job of ${FILES} files`);
    say('an empty page: drawn', ms(of(empty, 'paint')));
    say('an empty page: script, all tasks', `${ms(of(empty, 'script'))} ${ms(of(empty, 'task'))}`);
    say('the job: first paint', ms(of(pages, 'paint')));
    say('the job: tabs are there', ms(of(pages, 'seen')));
    say('the job: tabs are usable', ms(of(pages, 'usable')));
    say('the job: the honeycomb stands', ms(of(pages, 'filled')));
    say('the job: script', ms(of(pages, 'script')));
    say('the job: style and layout', ms(of(pages, 'layout')));
    say('the job: all tasks', ms(of(pages, 'task')));
    say('requests, bytes of the page, bytes of data', `${median(of(pages, 'requests'))}   ${median(of(pages, 'bytes'))}   ${median(of(pages, 'data'))}`);
  }
  if (values.waterfall) waterfall(pages.at(-1));
  drone.leave();
} catch (error) {
  console.error(error, world.said());
  process.exitCode = 1;
} finally {
  await world.stop();
}
