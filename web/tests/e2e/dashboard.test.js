// The dashboard in a real browser, against a real queen and real drones. Screenshots are left in target/screenshots.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { root, screenshots, until, World } from './programs.js';

const world = new World();
let page;
let queen;
const shot = (name, of = page) => of.screenshot({ path: join(screenshots, `${name}.png`) });
const text = (selector) => page.locator(selector).first().innerText();
const sees = (selector, pattern) => page.locator(selector).filter({ hasText: pattern }).first().waitFor();
/** Runs a step; if it fails, what the programs said goes along. */
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
const newest = async () => (await world.api('/jobs?limit=1')).jobs[0];

before(async () => {
  mkdirSync(screenshots, { recursive: true });
  queen = await world.queen();
  page = await world.page();
});
after(() => world.stop());

step('an empty fleet says how to start a drone and a job', async () => {
  await page.goto(world.url);
  await sees('.notice', 'No drone yet');
  assert.equal(await page.locator('.command code').first().innerText(), `drone start --queen ${world.url}`);
  await sees('.notice', 'No job yet');
  await shot('fleet-empty');
});

step('a drone that comes is seen without a reload', async () => {
  world.drone('build-a', 2);
  await sees('.drone', 'build-a');
  await until('both slots to be drawn', async () => (await page.locator('.drone .cell').count()) === 2);
  assert.match(await text('h1.sum'), /0 running · 0 waiting · 0 of 2 slots busy/);
  await shot('fleet');
});

step('a run of the example passes and its page tells all', async () => {
  const run = world.run(join(root, 'examples/shell'));
  assert.equal(await run.ended, 0, run.out());
  const job = await newest();
  await page.goto(`${world.url}/jobs`);
  await sees('.job-row', job.project);
  await shot('jobs');
  await page.locator('.job-row a').first().click();
  await sees('h1', 'passed');
  assert.equal(new URL(page.url()).pathname, `/jobs/${job.id}`);
  await page.getByRole('listbox', { name: '6 test files' }).waitFor();
  await page.locator('.comb .cell.is-passed').first().waitFor();
  await sees('.phases li', 'cleanup');
  await sees('.facts', '6 of 6 files');
  await sees('.notice', 'Nothing failed');
  await page.getByRole('tab', { name: /^Log/ }).click();
  await sees('.lines .line', 'ok 1 - ');
  await shot('job-passed');
});

step('a job is seen while it runs, follows, and shows its failure with the message', async () => {
  const gate = world.path('gate');
  const folder = world.suite('live', {
    'a-slow.t': `printf '\\033[32mgreen\\033[0m first line <script>alert(1)</script>\\n'; while [ ! -e '${gate}' ]; do sleep 0.05; done; echo 'after the gate'; echo 'ok 1 - slow'; echo 1..1`,
    'b-bad.t': `echo 'ok 1 - fine'; echo 'not ok 2 - <b>bold</b> claim'; echo '# got 1, want 2'; echo 1..2; exit 1`,
  });
  const run = world.run(folder);
  await page.goto(world.url);
  await page.locator('.run-row a').first().click();
  await sees('h1', 'running');
  const tab = (name) => page.getByRole('tab', { name }).click();
  await tab(/^Log/);
  await sees('.lines .line', 'first line <script>alert(1)</script>');
  assert.equal(await page.locator('.lines .fg-2').first().innerText(), 'green');
  await tab(/^Failures/);
  await sees('.failure', '<b>bold</b> claim');
  await sees('.failure', 'on build-a');
  await shot('job-running');
  await tab(/^Log/);
  writeFileSync(gate, '');
  await sees('.lines .line', 'after the gate');
  await sees('h1', 'failed');
  assert.equal(await run.ended, 1, run.out());
  await sees('.facts', '1 of 2 files failed');
  await shot('job-failed');
});

step('a line of the log has an address', async () => {
  await page.locator('.line .no').first().click();
  await page.locator('.line.marked').waitFor();
  const address = page.url();
  assert.match(address, /cmd=\d+&line=\d+/);
  await page.goto(address);
  await page.locator('.line.marked').waitFor();
  await page.getByRole('searchbox', { name: 'Find in the log' }).fill('after the gate');
  await sees('.find [role=status]', '1 match');
});

step('rerun failed makes a job of that file alone', async () => {
  const before = new URL(page.url()).pathname;
  await page.getByRole('button', { name: 'Rerun failed' }).click();
  await page.waitForURL((url) => url.pathname !== before);
  await sees('h1', 'failed');
  await sees('.facts', '1 of 1 file failed');
  await page.getByRole('tab', { name: /^Failures/ }).click();
  await sees('.failure', 'failed last time too');
});

step('cancel stops a job, and what ran it hears so', async () => {
  const run = world.run(world.suite('endless', { 'a.t': 'echo begun; while :; do sleep 0.1; done' }));
  await until('the job to run', async () => (await newest()).state === 'running');
  await page.goto(`${world.url}/jobs/${(await newest()).id}?tab=log`);
  await sees('.lines .line', 'begun');
  await page.getByRole('button', { name: 'Cancel' }).click();
  await sees('h1', 'cancelled');
  assert.equal(await run.ended, 4, run.out());
  await shot('job-cancelled');
});

step('the page keeps its data while the queen is away and comes back by itself', async () => {
  await page.goto(`${world.url}/jobs`);
  const rows = page.locator('.job-row');
  await rows.first().waitFor();
  const count = await rows.count();
  queen.child.kill('SIGKILL');
  await queen.ended;
  await sees('.reconnecting', 'gone');
  assert.equal(await rows.count(), count);
  await shot('reconnecting');
  queen = await world.queen();
  await page.locator('.reconnecting').waitFor({ state: 'detached' });
  const run = world.run(join(root, 'examples/shell'));
  assert.equal(await run.ended, 0, run.out());
  await until('the new job to be listed', async () => (await rows.count()) === count + 1);
});

step('filters stand in the address', async () => {
  await page.goto(`${world.url}/jobs`);
  await page.locator('.pick').filter({ hasText: 'cancelled' }).click();
  await page.waitForURL(/state=cancelled/);
  await until('one job', async () => (await page.locator('.job-row').count()) === 1);
  await page.goto(`${world.url}/jobs?text=nothing-is-called-so`);
  await sees('.notice', 'No job fits');
});

step('a project shows its files and its past', async () => {
  await page.goto(`${world.url}/projects`);
  await page.locator('.project-row a').filter({ hasText: 'shell' }).click();
  await sees('td', 'tests/stack.t');
  await sees('h2', 'Trend');
  await shot('project');
});

step('a flaky file is put under quarantine with a reason, fails each time all the same, and is lifted', async () => {
  const count = world.path('tries');
  // Fails at every second try, so that what is tried again at once is flaky.
  const test = `echo >> '${count}'; [ $(($(wc -l < '${count}') % 2)) = 0 ] && [ ! -e '${count}-bad' ] && echo 'ok 1 - a' || echo 'not ok 1 - a'; echo 1..1`;
  const flaky = world.suite('chance', { 'a.t': test });
  const settings = join(flaky, 'skep.toml');
  const plain = readFileSync(settings, 'utf8');
  writeFileSync(settings, `${plain}retries = 1\n`);
  assert.equal(await world.run(flaky).ended, 0);
  writeFileSync(settings, plain);
  const { project } = await newest();
  await page.goto(`${world.url}/projects/${project}`);
  await sees('section', 'No file is under quarantine.');
  await page.getByRole('button', { name: 'Put there' }).click();
  await page.getByLabel('Why').fill('it is <b>chance</b>');
  await page.getByRole('button', { name: 'Put under quarantine' }).click();
  await sees('td', 'it is <b>chance</b>');
  await sees('td', 'there');
  await shot('quarantine');
  // Without a retry of its own the job passes, and its row tells the runs as they come.
  assert.equal(await world.run(flaky).ended, 0);
  await until('both of its runs', async () => (await page.locator('td a .state').count()) === 4);
  writeFileSync(`${count}-bad`, '');
  assert.equal(await world.run(flaky).ended, 1, 'what fails each time is never hidden');
  await until('all of its runs', async () => (await page.locator('td a .state').count()) === 7);
  await page.getByRole('button', { name: 'Lift' }).click();
  await sees('section', 'No file is under quarantine.');
  await page.getByRole('button', { name: 'Put there' }).waitFor();
});

step('the form says what is wrong in the queen’s words, and submits', async () => {
  await page.goto(`${world.url}/new`);
  await page.locator('[name=project]').fill('made/by-hand');
  await page.locator('[name=url]').fill('/nowhere/at/all');
  await page.locator('[name=branch]').fill('-x');
  await page.getByRole('button', { name: 'Submit' }).click();
  await sees('.notice', 'no name of a branch');
  await page.locator('[name=branch]').fill('main');
  await page.getByRole('button', { name: 'Submit' }).click();
  await sees('h1', 'errored');
  await sees('.notice', 'source');
  await shot('job-errored');
});

step('what is not there is said so', async () => {
  await page.goto(`${world.url}/jobs/no-such-job`);
  await sees('.notice', 'Not found');
});

step('keys lead through the page', async () => {
  await page.goto(world.url);
  await page.locator('h1').waitFor();
  await page.keyboard.press('g');
  await page.keyboard.press('j');
  await page.waitForURL(/\/jobs$/);
  await page.locator('.job-row').first().waitFor();
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/jobs\/./);
  await page.keyboard.press('/');
  await page.keyboard.type('shell');
  await page.keyboard.press('Enter');
  await page.waitForURL(/text=shell/);
});

step('every view fits a narrow dark screen', async () => {
  const small = await world.page({ viewport: { width: 360, height: 740 }, colorScheme: 'dark' });
  const { jobs } = await world.api('/jobs?state=failed');
  for (const [name, path] of Object.entries({
    fleet: '/',
    jobs: '/jobs',
    job: `/jobs/${jobs[0].id}`,
    project: `/projects/${jobs[0].project}`,
    new: '/new',
  })) {
    await small.goto(world.url + path);
    await small.locator('h1').waitFor();
    const over = await small.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(over <= 0, `${name} is ${over} pixels too wide`);
    await shot(`narrow-${name}`, small);
  }
  assert.deepEqual(small.problems, []);
});

step('with tokens, one signs in', async () => {
  const guarded = new World();
  try {
    const data = guarded.path('queen');
    const made = guarded.program('queen', ['token', 'add', '--role', 'read', '--data', data, '--json', 'browser']);
    assert.equal(await made.ended, 0, made.out());
    const { token } = JSON.parse(made.out());
    const env = { QUEEN_REQUIRE_TOKEN: 'true' };
    const start = guarded.program.bind(guarded);
    guarded.program = (name, args) => start(name, args, { env });
    await guarded.queen();
    const visitor = await guarded.page();
    await visitor.goto(guarded.url);
    await visitor.locator('input[type=password]').fill(token);
    await visitor.getByRole('button', { name: 'Sign in' }).click();
    await visitor.locator('h1.sum').waitFor();
    assert.equal(await visitor.locator('.reconnecting').count(), 0);
    await until('the live connection to be let in', () =>
      visitor.evaluate(() => document.querySelector('main') && !document.querySelector('.reconnecting')),
    );
  } finally {
    await guarded.stop();
  }
});
