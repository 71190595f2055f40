// A job's page in a real browser, against a real queen and a drone whose every word the test decides.

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { screenshots, until, World } from './programs.js';
import { ScriptedDrone } from './scripted-drone.js';

const world = new World();
let page;
let drone;
let queen;
/** The job that most steps look at. */
let job;
const files = new Map();
const shot = (name) => page.screenshot({ path: join(screenshots, `${name}.png`) });
const sees = (selector, pattern) => page.locator(selector).filter({ hasText: pattern }).first().waitFor();
const lines = (from, count, text = 'line') => Array.from({ length: count }, (_, i) => `${text} ${from + i}\n`).join('');
const out = (path, text) => drone.say('job:cmd:stdout', job, files.get(path).num, text);
const open = (query = '') => page.goto(`${world.url}/jobs/${job}${query}`);
/** The numbers and texts of the rows in sight. */
const rows = async () => (await page.locator('.lines .line:not(.head)').allInnerTexts()).map((text) => text.replaceAll('\n', ''));
const step = (name, f) =>
  test(name, async () => {
    try {
      await f();
      assert.deepEqual(page.problems.splice(0), [], 'the page has no errors');
    } catch (error) {
      await shot(`failed-${name.replaceAll(/\W+/g, '-')}`).catch(() => {});
      error.message += `\n${world.said()}`;
      throw error;
    }
  });
const submit = (more) => world.api('/jobs', { project: 'acme/rocket', trigger: { type: 'manual', timestamp: Date.now() }, ...more });
/** Begins the files that the queen hands out until all of `paths` have begun. */
async function begin(...paths) {
  while (!paths.every((path) => files.has(path))) {
    for (const file of await drone.given()) {
      files.set(file.path, file);
      drone.begin(job, file, files.size - 1);
    }
    await drone.flush();
  }
}

before(async () => {
  mkdirSync(screenshots, { recursive: true });
  queen = await world.queen();
  drone = await ScriptedDrone.join(world.url, 'build-a', 4);
  page = await world.page();
});
after(async () => {
  drone?.leave();
  await world.stop();
});

step('a line that was half written when the page came is shown whole', async () => {
  await submit({
    trigger: { type: 'manual', timestamp: Date.now(), message: 'Try <b>this</b>', author: { name: 'Ada' }, url: 'javascript:alert(1)' },
  });
  job = await drone.take(['tests/a.t', 'tests/b.t', 'tests/c.t']);
  await begin('tests/a.t', 'tests/b.t', 'tests/c.t');
  await out('tests/a.t', `\x1b[32m${lines(1, 400)}half a li`);
  await open('?tab=log');
  await sees('h1', 'Try <b>this</b>');
  assert.equal(await page.locator('.job-head a[href^=javascript]').count(), 0);
  await sees('.lines .line', 'half a li');
  await out('tests/a.t', 'ne\x1b[0m\nplain\n');
  await sees('.lines .line', /^401half a line$/);
  await sees('.lines .line', /^402plain$/);
  // What colour it has was said before the page came.
  assert.equal(await page.locator('.line .fg-2').last().innerText(), 'half a line');
});

step('a job’s page asks for its own modules and no others, in two files, and breaks no rule of its policy', async () => {
  const fresh = await world.page();
  const broken = [];
  fresh.on('console', (message) => /Content.Security.Policy/i.test(message.text()) && broken.push(message.text()));
  await fresh.goto(`${world.url}/jobs/${job}`);
  await fresh.getByRole('tab', { name: 'Files' }).waitFor();
  const loaded = await fresh.evaluate(() => performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname));
  const code = loaded.filter((path) => /\.(js|mjs|css)$/.test(path));
  assert.deepEqual([...new Set(code)].sort(), ['/app.js', '/views/job.js']);
  // What was asked for early is taken, not asked for again.
  assert.equal(loaded.filter((path) => path === '/api/v1/session').length, 1);
  // A part that is loaded later works with what is there already.
  await fresh.getByRole('tab', { name: 'Plugins' }).click();
  await fresh.getByText('No plugin has said anything').waitFor();
  assert.deepEqual([broken, fresh.problems], [[], []]);
  await fresh.context().close();
});

step('the log follows, lets go when one scrolls up, and says what came since', async () => {
  await out('tests/c.t', lines(1, 300));
  await sees('.lines .line', /^300line 300$/);
  await page.locator('.lines').hover();
  await page.mouse.wheel(0, -2000);
  const jump = page.locator('button.follow');
  await jump.waitFor();
  const before = await rows();
  await out('tests/c.t', lines(301, 50));
  await sees('button.follow', '50 new lines');
  // What one reads stays where it is, though a command above it grows as well.
  await out('tests/a.t', lines(1, 30, 'more'));
  await sees('button.follow', '80 new lines');
  assert.deepEqual(await rows(), before);
  await jump.click();
  await sees('.lines .line', /^350line 350$/);
  assert.equal(await jump.count(), 0);
});

step('a failure is there before the job ends, with its difference and its lines of the log', async () => {
  await open();
  await sees('.panel', 'Nothing has failed so far');
  await out('tests/b.t', `${lines(1, 100)}E   assert 503 == 200\n${lines(102, 5)}`);
  const message = 'E   assert 503 == 200\nE     - 200\nE     + 503';
  const cases = [
    { name: 'test_b', outcome: 'failed', duration: 7, message },
    { name: 'test_fine', outcome: 'passed', duration: 1 },
  ];
  drone.end(job, files.get('tests/b.t'), 'failed', { cases, duration: 1234 });
  await drone.flush();
  await sees('.failure', 'test_b');
  assert.equal(await page.locator('.failure .diff-minus').innerText(), 'E     - 200\n');
  assert.equal(await page.locator('.failure .diff-plus').innerText(), 'E     + 503\n');
  await sees('[role=tab]', 'Failures 1');
  await sees('.facts', '1 of 3 files failed');
  await page.getByRole('button', { name: 'Lines of the log' }).click();
  await sees('.log-part .diff-hunk', /101E {3}assert 503 == 200/);
  await shot('job-failures');
  await page.locator('.log-part + p a').click();
  await page.waitForURL(/tab=log.*line=93-106/);
  await until('the lines to be marked', async () => (await page.locator('.line.marked').count()) === 14);
});

step('a reload in mid-job shows everything so far', async () => {
  await open();
  await sees('.facts', '1 of 3 files failed');
  await sees('.failure', 'test_b');
  await sees('[role=tab]', /^Log 889$/);
});

step('a line and a range have addresses', async () => {
  await open('?tab=log');
  const number = (n) =>
    page
      .locator('.line:not(.head) .no')
      .filter({ hasText: new RegExp(`^${n}$`) })
      .last();
  await number(340).click();
  await page.waitForURL(/line=340$/);
  await number(344).click({ modifiers: ['Shift'] });
  await page.waitForURL(/line=340-344$/);
  await sees('.chosen', 'Lines 340–344 of tests/c.t');
  await page.reload();
  await until('five marked lines', async () => (await page.locator('.line.marked').count()) === 5);
  await page.locator('.lines').focus();
  await page.keyboard.press('Shift+J');
  await page.waitForURL(/line=340-345$/);
  await page.keyboard.press('k');
  await page.waitForURL(/line=339$/);
  await page.keyboard.press('Escape');
  await page.waitForURL((url) => !url.search.includes('line'));
});

step('search sees the whole log and leads from match to match', async () => {
  await open('?tab=log');
  const field = page.getByRole('searchbox', { name: 'Find in the log' });
  await field.fill('LINE 100');
  await sees('.find [role=status]', /^3 matches$/);
  // From where one is: at the end, which is followed.
  await field.press('Enter');
  await sees('.find [role=status]', /^3 of 3$/);
  await sees('.line mark', 'line 100');
  await field.press('Enter');
  await sees('.find [role=status]', /^1 of 3$/);
  await field.press('Shift+Enter');
  await sees('.find [role=status]', /^3 of 3$/);
  assert.match(page.url(), /find=LINE\+100/);
  await field.fill('not said yet');
  await sees('.find [role=status]', 'no match');
  // What comes while one looks is found, too.
  await out('tests/c.t', 'it was not said yet\n');
  await sees('.find [role=status]', /^1 match$/);
});

step('what cannot be loaded says so, and comes with another try', async () => {
  await page.route('**/log/lines?*', (route) => route.abort());
  await open('?tab=log');
  await sees('.notice', 'Part of the log could not be loaded');
  await sees('.lines .line.coming', /./);
  await page.unroute('**/log/lines?*');
  await page.getByRole('button', { name: 'Try again' }).click();
  await sees('.lines .line', /^350line 350$/);
  await page.route('**/views/job/files.js', (route) => route.abort());
  await page.getByRole('tab', { name: /^Files/ }).click();
  await sees('.notice', 'This part of the page could not be loaded');
  await page.unroute('**/views/job/files.js');
  await page.getByRole('button', { name: 'Try again' }).click();
  await sees('.panel tbody tr', 'tests/a.t');
});

step('commands fold, and can be those of failures or of a name alone', async () => {
  await open('?tab=log');
  const heads = page.locator('.line.head:not(.above)');
  await page.getByRole('button', { name: 'Fold all', exact: true }).click();
  await until('all headers to be in sight', async () => (await heads.count()) === 4);
  assert.equal((await rows()).length, 0);
  await heads.filter({ hasText: 'tests/b.t' }).getByRole('button').click();
  await sees('.lines .line', /^1line 1$/);
  await page.getByRole('checkbox', { name: 'Failures only' }).check();
  await until('the one that failed', async () => (await heads.count()) === 1);
  await page.getByRole('checkbox', { name: 'Failures only' }).uncheck();
  await page.getByRole('searchbox', { name: 'Only commands' }).fill('a.t');
  await until('the one of that name', async () => (await heads.count()) === 1);
});

step('what plugins and pools say is text', async () => {
  drone.hold('job:plugin', job, 'coverage', { percent: 81, note: '<img src=x onerror=alert(1)>' });
  drone.hold('pool:worker', job, 2, 'created', { pid: 77 });
  await drone.flush();
  await open('?tab=plugins');
  await sees('.said-row', '<img src=x onerror=alert(1)>');
  await sees('.said-row', 'created');
});

step('the whole job is told when it has ended: files, tests, timeline', async () => {
  for (const path of ['tests/a.t', 'tests/c.t']) {
    drone.end(job, files.get(path), 'passed', { cases: [{ name: `works in ${path}`, outcome: 'passed', duration: 3 }] });
  }
  await drone.flush();
  await drone.finish(job);
  await open();
  await sees('h1', 'failed');
  await page.getByRole('tab', { name: /^Files/ }).click();
  await until('three files', async () => (await page.locator('.panel tbody tr').count()) === 3);
  await page.getByRole('button', { name: /^failed/ }).click();
  await until('the bad one', async () => (await page.locator('.panel tbody tr').count()) === 1);
  await page.getByRole('tab', { name: /^Tests/ }).click();
  await sees('.case-row', 'works in tests/a.t');
  await page.getByRole('searchbox', { name: 'Find a test' }).fill('test_b');
  await until('one test', async () => (await page.locator('.case-row').count()) === 1);
  await page.getByRole('button', { name: 'test_b' }).click();
  await sees('.case .diff-plus', '503');
  await page.getByRole('tab', { name: /^Timeline/ }).click();
  await sees('.tools', '3 slots');
  await page.locator('.plot').focus();
  await page.keyboard.press('+');
  await page.waitForURL(/span=\d+-\d+/);
  await page.keyboard.press('0');
  await page.waitForURL((url) => !url.search.includes('span'));
  assert.ok((await page.locator('.plot .cell').count()) >= 2, 'bars of two outcomes');
  await shot('job-timeline');
});

step('a cell of the honeycomb is reached by keys and leads to the file’s log', async () => {
  await open();
  await page.getByRole('listbox', { name: /3 test files/ }).focus();
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowRight');
  await sees('.reading', /tests\/b\.t · failed · 1\.2 s · on build-a/);
  await page.keyboard.press('Enter');
  await page.waitForURL(/tab=log&cmd=/);
});

step('a job is compared with the last that passed, down to the lines of a file', async () => {
  files.clear();
  await submit();
  const failed = job;
  job = await drone.take(['tests/a.t', 'tests/b.t', 'tests/c.t']);
  await begin('tests/a.t', 'tests/b.t', 'tests/c.t');
  for (const path of files.keys()) {
    await out(path, `${lines(1, 30)}took 12 ms\n`);
    drone.end(job, files.get(path), 'passed');
  }
  await drone.flush();
  await drone.finish(job);
  const passed = job;
  job = failed;
  await open(`?tab=compare&with=${passed}`);
  await sees('h2', 'New failures 1');
  await page.getByRole('link', { name: 'Log difference of tests/b.t' }).first().click();
  await sees('.message .diff-plus', 'E   assert 503 == 200');
  await sees('.message .diff-minus', 'took 12 ms');
  await sees('.message .diff-hunk', 'lines alike');
  await shot('job-compare');
});

step('of a long job only what is in sight is in the page', async () => {
  files.clear();
  await submit();
  const paths = Array.from({ length: 300 }, (_, i) => `tests/many_${i}.t`);
  job = await drone.take(paths);
  for (let ended = 0; ended < paths.length; ) {
    for (const file of await drone.given()) {
      drone.begin(job, file, ended % 4);
      drone.hold('job:cmd:stdout', job, file.num, lines(1, 200, file.path));
      drone.end(job, file, ended % 50 === 7 ? 'failed' : 'passed', { cases: [{ name: `one_${ended}`, outcome: 'passed' }] });
      ended += 1;
    }
    await drone.flush();
  }
  await drone.finish(job);
  await open('?tab=log');
  await sees('.tools', '60,001 lines of 301 commands');
  await page.getByRole('button', { name: 'Unfold all' }).click();
  const box = page.locator('.lines');
  for (const part of [0.5, 0.1, 0.93, 0.3]) {
    await box.evaluate((element, at) => element.scrollTo(0, element.scrollHeight * at), part);
    const told = (row) => /^(\d+)tests\/many_\d+\.t \1$|^1fetched$/.test(row);
    await until('text to come', async () => {
      const all = await rows();
      return all.length > 10 && all.every(told);
    });
  }
  assert.ok((await page.locator('.lines *').count()) < 400, 'elements');
  await page.getByRole('searchbox', { name: 'Find in the log' }).fill('_299.t 150');
  await sees('.find [role=status]', /^1 match$/);
  await page.getByRole('button', { name: 'Next match' }).click();
  await sees('.line mark', '_299.t 150');
  await open();
  await sees('.facts', '6 of 300 files failed');
  assert.ok((await page.locator('.comb *').count()) < 100, 'elements');
  await open('?tab=tests');
  await sees('.tools', '200 tests shown');
  await page.getByRole('button', { name: 'More' }).click();
  await sees('.tools', '300 tests shown');
  await sees('.chip', 'passed 300');
});

step('of a job whose log is kept no longer the results stay', async () => {
  // As the queen tells of it once its events are gone.
  await page.route(`**/api/v1/jobs/${job}`, async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...(await response.json()), log_removed: Date.now() } });
  });
  await open();
  await sees('.notice', 'The log is kept no longer');
  await sees('.facts', '6 of 300 files failed');
  await sees('.failure', 'tests/many_');
  await page.getByRole('tab', { name: /^Log/ }).click();
  await until('nothing to be promised', async () => (await page.locator('.lines, .skeleton').count()) === 0);
  await page.unroute(`**/api/v1/jobs/${job}`);
});

/** A whole job of the project `acme/past`: how each file ends, `{ path: outcome }`. Of a bad one, its case `test_PATH` is told. */
async function whole(ends) {
  await submit({ project: 'acme/past' });
  const id = await drone.take(Object.keys(ends));
  for (let left = Object.keys(ends).length; left > 0; ) {
    for (const file of await drone.given()) {
      drone.begin(id, file);
      const cases = ends[file.path] === 'failed' ? [{ name: `test_${file.path}`, outcome: 'failed', message: 'no' }] : [];
      drone.end(id, file, ends[file.path], { cases });
      left -= 1;
    }
    await drone.flush();
  }
  await drone.finish(id);
  await until('the job to end', async () => (await world.api(`/jobs/${id}`)).finished != null);
  return id;
}

step('a failure says how it was in the job before, and its file can be run again alone', async () => {
  const before = await whole({ 'x/good.t': 'passed', 'x/turns.t': 'passed', 'x/stays.t': 'failed' });
  const id = await whole({ 'x/good.t': 'passed', 'x/turns.t': 'failed', 'x/stays.t': 'failed', 'x/added.t': 'failed' });
  await page.goto(`${world.url}/jobs/${id}`);
  const of = (path) => page.locator('.failure').filter({ hasText: `x/${path}` });
  await of('turns.t').getByRole('link', { name: 'passed last time' }).waitFor();
  await of('stays.t').getByRole('link', { name: 'failed last time too' }).waitFor();
  const link = of('added.t').getByRole('link', { name: 'new failure' });
  assert.equal(await link.getAttribute('href'), `/jobs/${before}`);
  await shot('job-past');
  await of('turns.t').getByRole('button', { name: 'Rerun this file' }).click();
  await page.waitForURL((url) => url.pathname.startsWith('/jobs/') && !url.pathname.endsWith(id));
  const next = new URL(page.url()).pathname.split('/').at(-1);
  assert.equal(await drone.take(['x/turns.t']), next);
  const [file, ...more] = await drone.given();
  assert.deepEqual([file.path, more], ['x/turns.t', []]);
  drone.begin(next, file);
  drone.end(next, file, 'passed');
  await drone.flush();
  await drone.finish(next);
  await sees('h1', 'passed');
  // What the queen refuses, it says where one asked.
  await page.route('**/rerun', (route) =>
    route.fulfill({ status: 422, json: { error: 'the job has no such file', kind: 'unknown-file' } }),
  );
  await page.goto(`${world.url}/jobs/${id}`);
  await of('turns.t').getByRole('button', { name: 'Rerun this file' }).click();
  await of('turns.t').getByRole('alert').filter({ hasText: 'the job has no such file' }).waitFor();
  await page.unroute('**/rerun');
});

step('one field finds files and tests of the job, projects and jobs; / leads to what is in sight', async () => {
  const id = await whole({ 'y/found.t': 'failed', 'y/other.t': 'passed' });
  await page.goto(`${world.url}/jobs/${id}`);
  await sees('.failure', 'y/found.t');
  await page.keyboard.press('/');
  await page.keyboard.type('found');
  const group = (name) => page.getByRole('group', { name }).getByRole('option');
  await group('Tests of this job').filter({ hasText: 'test_y/found.t' }).waitFor();
  await group('Files of this job').filter({ hasText: 'y/found.t' }).waitFor();
  await shot('job-search');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await page.waitForURL(/tab=log&cmd=\d+/);
  await page.getByRole('searchbox', { name: 'Find in the log' }).waitFor();
  await page.keyboard.press('/');
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute('aria-label'));
  assert.equal(await focused(), 'Find in the log');
  const field = page.getByRole('combobox', { name: 'Search files, tests, jobs and projects' });
  await field.fill('acme/past');
  await group('Projects').filter({ hasText: 'acme/past' }).waitFor();
  await field.fill('test_y');
  await group('Tests of this job').first().click();
  await sees('.case', 'test_y/found.t');
  // Elsewhere it knows nothing of that job.
  await page.goto(`${world.url}/jobs`);
  await page.locator('.job-row').first().waitFor();
  await page.keyboard.press('/');
  assert.equal(await focused(), 'Search jobs and projects');
});

step('a queen that is killed in mid-job costs the page no line', async () => {
  drone.leave();
  drone = null;
  world.drone('build-b', 1);
  const gate = world.path('gate');
  const count = (word) => `i=0; while [ $i -lt 300 ]; do i=$((i + 1)); echo "${word} $i"; done`;
  const script = `${count('before')}; while [ ! -e '${gate}' ]; do sleep 0.05; done; ${count('after')}; echo 'ok 1 - told'; echo 1..1`;
  world.run(world.suite('long', { 'a.t': script }));
  const running = async () => (await world.api('/jobs?state=running&limit=1')).jobs[0]?.id;
  job = await until('the job to run', running);
  await open('?tab=log');
  await sees('.lines .line', 'before 300');
  queen.child.kill('SIGKILL');
  await queen.ended;
  // The drone goes on meanwhile, and tells later.
  writeFileSync(gate, '');
  await sees('.reconnecting', 'gone');
  await world.queen();
  await sees('.lines .line', 'after 300');
  await sees('h1', 'passed');
  const whole = (await (await fetch(`${world.url}/api/v1/jobs/${job}/log?num=1`)).text()).match(/^(before|after) \d+$/gm) ?? [];
  assert.equal(whole.length, 600);
  // From the bottom up, without a line missing or twice.
  await page.locator('.lines').focus();
  await page.keyboard.press('End');
  const seen = new Map();
  for (let tries = 0; seen.size < 600 && tries < 60; tries += 1) {
    await until('text to come', async () => (await page.locator('.line.coming').count()) === 0);
    for (const row of await rows()) {
      const [, number, text] = /^(\d+)((?:before|after) \d+)$/.exec(row) ?? [];
      if (number) seen.set(Number(number), text);
    }
    await page.keyboard.press('PageUp');
  }
  const numbers = [...seen.keys()].sort((a, b) => a - b);
  assert.deepEqual(
    numbers.map((number) => seen.get(number)),
    whole,
  );
});
