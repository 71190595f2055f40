// The page of a job with very many lines and files, measured in a browser. See bench/README.md.

import { parseArgs } from 'node:util';
import { setTimeout as wait } from 'node:timers/promises';
import { until, World } from '../web/tests/e2e/programs.js';
import { ScriptedDrone } from '../web/tests/e2e/scripted-drone.js';

const { values } = parseArgs({
  options: {
    lines: { type: 'string', default: '1000000' },
    files: { type: 'string', default: '5000' },
    rate: { type: 'string', default: '2000' },
    seconds: { type: 'string', default: '60' },
  },
});
const LINES = Number(values.lines);
const FILES = Number(values.files);
const RATE = Number(values.rate);
const SECONDS = Number(values.seconds);

const world = new World();
const number = (n) => Math.round(n).toLocaleString('en');
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? 0;
const part = (list, p) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * p))] ?? 0;
const say = (what, ...values) => console.log(what.padEnd(44), values.join('  '));

/** A page that notes every task over 50 ms and every frame. */
async function watched() {
  const page = await world.page();
  await page.addInitScript(() => {
    window.noted = { tasks: [], frames: [] };
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) window.noted.tasks.push(duration);
    }).observe({ type: 'longtask', buffered: true });
    let last = performance.now();
    const frame = (now) => {
      window.noted.frames.push(now - last);
      last = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  page.devtools = await page.context().newCDPSession(page);
  await page.devtools.send('Performance.enable');
  return page;
}

/** What was noted since the last time. */
const noted = (page) =>
  page.evaluate(() => {
    const { tasks, frames } = window.noted;
    window.noted = { tasks: [], frames: [] };
    return { tasks, frames };
  });
function tell(what, { tasks, frames }) {
  say(what, `longest task ${number(Math.max(0, ...tasks))} ms, ${tasks.length} over 50 ms`, `frames: median ${median(frames).toFixed(1)} ms, 99 % ${part(frames, 0.99).toFixed(1)} ms`);
}

async function memory(page, when) {
  await page.devtools.send('HeapProfiler.collectGarbage');
  const { metrics } = await page.devtools.send('Performance.getMetrics');
  const of = (name) => metrics.find((metric) => metric.name === name).value;
  say(`memory ${when}`, `${(of('JSHeapUsedSize') / 1e6).toFixed(1)} MB of script`, `${number(of('Nodes'))} nodes`);
}

/** A job of so many lines and files, by a drone that says them as fast as it is listened to. */
async function fill(drone) {
  const paths = Array.from({ length: FILES }, (_, i) => `tests/part_${i % 40}/test_${i}.py`);
  const each = Math.round(LINES / FILES);
  const began = Date.now();
  await world.api('/jobs', { project: 'bench/page', trigger: { type: 'manual', timestamp: began } });
  const job = await drone.take(paths);
  let ended = 0;
  while (ended < FILES) {
    for (const file of await drone.given()) {
      const worker = ended % 40;
      drone.begin(job, file, worker);
      for (let i = 0; i < each; i += 250) {
        const count = Math.min(250, each - i);
        const text = Array.from({ length: count }, (_, k) => `\x1b[3${k % 8}m${file.path}\x1b[0m line ${i + k + 1} of some length, as logs have\n`).join('');
        drone.hold('job:cmd:stdout', job, file.num, text);
      }
      const bad = ended % 100 === 50;
      const cases = bad ? [{ name: 'test_it', outcome: 'failed', message: 'E     - 1\nE     + 2' }] : [];
      drone.end(job, file, bad ? 'failed' : 'passed', { cases, duration: 10 + ((ended * 7919) % 400) });
      ended += 1;
    }
    await drone.flush();
  }
  await drone.finish(job);
  await until('the job to end', async () => (await world.api(`/jobs/${job}`)).finished != null, 600_000);
  say('the job is made', `${number(each * FILES)} lines, ${number(FILES)} files, in ${((Date.now() - began) / 1000).toFixed(1)} s`);
  return job;
}

async function still(job) {
  const page = await watched();
  const began = Date.now();
  await page.goto(`${world.url}/jobs/${job}?tab=log`);
  await page.locator('.tools').filter({ hasText: `${number(LINES + 1)} lines` }).waitFor({ timeout: 120_000 });
  say('load, until every line is counted', `${number(Date.now() - began)} ms`);
  tell('while it loads', await noted(page));
  await page.getByRole('button', { name: 'Unfold all' }).click();
  await wait(300);
  await noted(page);

  const box = page.locator('.lines');
  await box.hover();
  for (let i = 0; i < 100; i += 1) await page.mouse.wheel(0, 400);
  tell('scrolling by the wheel', await noted(page));
  for (let i = 0; i < 60; i += 1) {
    await box.evaluate((element, at) => element.scrollTo(0, element.scrollHeight * at), ((i * 37) % 60) / 60);
    await wait(30);
  }
  tell('dragging the bar all over', await noted(page));
  const waits = [];
  for (let i = 0; i < 20; i += 1) {
    await box.evaluate((element, at) => element.scrollTo(0, element.scrollHeight * at), ((i * 17 + 3) % 23) / 23);
    const from = Date.now();
    await page.waitForFunction(() => document.querySelectorAll('.line .text').length > 5 && !document.querySelector('.line.coming'));
    waits.push(Date.now() - from);
  }
  say('from a jump to its text', `median ${median(waits)} ms`, `longest ${Math.max(...waits)} ms`);
  await noted(page);
  await page.getByRole('searchbox', { name: 'Find in the log' }).pressSequentially('line 77 of', { delay: 30 });
  const typed = Date.now();
  await page.locator('.find [role=status]').filter({ hasText: 'match' }).waitFor({ timeout: 60_000 });
  say('search', `${number(Date.now() - typed)} ms`, await page.locator('.find [role=status]').innerText());
  for (let i = 0; i < 30; i += 1) {
    await page.getByRole('button', { name: 'Next match' }).click();
    await page.locator('.line mark').first().waitFor();
  }
  tell('searching, and 30 matches', await noted(page));
  await memory(page, 'after all of this');
  for (const tab of ['Failures', 'Files', 'Timeline']) {
    await page.getByRole('tab', { name: new RegExp(`^${tab}`) }).click();
    await page.locator(tab === 'Timeline' ? '.plot .cell' : '.comb .cell').first().waitFor();
    await wait(200);
    tell(`the tab ${tab}`, await noted(page));
  }
  await page.locator('.plot').focus();
  for (let i = 0; i < 10; i += 1) await page.keyboard.press('+');
  for (let i = 0; i < 40; i += 1) await page.keyboard.press('ArrowLeft');
  tell('zooming and moving the timeline', await noted(page));
  await page.close();
}

async function live(drone) {
  await world.api('/jobs', { project: 'bench/page', trigger: { type: 'manual', timestamp: Date.now() } });
  const job = await drone.take(['tests/live.py']);
  const [file] = await drone.given();
  drone.begin(job, file);
  await drone.flush();
  const page = await watched();
  await page.goto(`${world.url}/jobs/${job}?tab=log`);
  await page.locator('.line.head').first().waitFor();
  // How far the newest line that is drawn is behind the newest that was said, looked at in each frame.
  await page.evaluate(() => {
    window.behind = [];
    const look = () => {
      const text = [...document.querySelectorAll('.line .text')].at(-1)?.textContent ?? '';
      const said = Number(/^at (\d+)/.exec(text)?.[1]);
      if (said) window.behind.push(Date.now() - said);
      requestAnimationFrame(look);
    };
    look();
  });
  await noted(page);
  const began = Date.now();
  for (let sent = 0; sent < RATE * SECONDS; ) {
    const due = Math.min(RATE * SECONDS, Math.floor(((Date.now() - began) / 1000) * RATE));
    let text = '';
    for (; sent < due; sent += 1) text += `at ${Date.now()} line ${sent} \x1b[33mof a job\x1b[0m that talks a lot\n`;
    if (text) await drone.say('job:cmd:stdout', job, file.num, text);
    await wait(20);
  }
  tell(`live, ${number(RATE)} lines a second for ${SECONDS} s`, await noted(page));
  const behind = await page.evaluate(() => window.behind);
  say('the newest line on the page is behind by', `median ${median(behind)} ms`, `99 % ${part(behind, 0.99)} ms`, `longest ${Math.max(...behind)} ms`);
  await page.locator('.tools').filter({ hasText: `${number(RATE * SECONDS + 1)} lines` }).waitFor();
  await memory(page, 'after it');
  drone.end(job, file, 'passed');
  await drone.flush();
  await drone.finish(job);
  await page.close();
}

try {
  await world.queen();
  const drone = await ScriptedDrone.join(world.url, 'bench', 40);
  await still(await fill(drone));
  await live(drone);
  drone.leave();
} catch (error) {
  console.error(error, world.said());
  process.exitCode = 1;
} finally {
  await world.stop();
}
