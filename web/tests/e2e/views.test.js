// Every view but a job's, in a real browser: what is offered to whom, what waits and why, drains, long lists, markup in data,
// strangers' pages, a connection that goes and comes.

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { root, screenshots, until, World } from './programs.js';

const world = new World();
let page;
let queen;
const sees = (selector, pattern, of = page) => of.locator(selector).filter({ hasText: pattern }).first().waitFor();
const step = (name, f) =>
  test(name, async () => {
    try {
      await f();
      assert.deepEqual(page.problems.splice(0), [], 'the page has no errors');
    } catch (error) {
      await page.screenshot({ path: join(screenshots, `failed-${name.replaceAll(/\W+/g, '-')}.png`) }).catch(() => {});
      error.message += `\n${world.said()}`;
      throw error;
    }
  });
const job = (more = {}) => ({ project: 'acme/rocket', job_type: 'TEST', trigger: { type: 'manual', timestamp: 1 }, ...more });

before(async () => {
  mkdirSync(screenshots, { recursive: true });
  queen = await world.queen();
  page = await world.page();
});
after(() => world.stop());

step('a job that nobody can take says what it waits for', async () => {
  world.drone('build-a', 2, ['--label', 'linux']);
  await page.goto(world.url);
  await sees('.drone', 'build-a');
  await sees('.drone .tag', 'linux');
  await world.api('/jobs', job({ job_id: 'picky', labels: ['gpu'], repo: { url: '/nowhere' } }));
  await sees('.wait-row', 'acme/rocket');
  await sees('.wait-row .reason', /^waits .*gpu/);
  await sees('h1', '1 waiting');
});

step('a drone is drained, waits with what comes, and goes on', async () => {
  // A drained drone without work ends, so it has some.
  const gate = world.path('drain');
  const busy = world.run(world.suite('busy', { 'a.t': `while [ ! -e '${gate}' ]; do sleep 0.05; done; echo 'ok 1 - a'; echo 1..1` }));
  await sees('.run-row', 'busy');
  await until('a slot at work', async () => (await page.locator('.drone .cell.is-running').count()) === 1);
  await page.getByRole('button', { name: 'Drain' }).click();
  await sees('.drone .drone-name', 'draining');
  await page.getByRole('button', { name: 'Resume' }).waitFor();
  const run = world.run(join(root, 'examples/shell'));
  await sees('.wait-row .reason', /drain/);
  await page.getByRole('button', { name: 'Resume' }).click();
  assert.equal(await run.ended, 0, run.out());
  await sees('.job-row', 'shell');
  writeFileSync(gate, '');
  assert.equal(await busy.ended, 0, busy.out());
  await page.getByRole('button', { name: 'Drain' }).waitFor();
});

step('the form begins with what the address says, and a job of it runs', async () => {
  const { jobs } = await world.api('/jobs?limit=1');
  await page.goto(`${world.url}/projects/${jobs[0].project}`);
  await page.locator('.actions').getByRole('link', { name: 'New job' }).click();
  assert.equal(await page.locator('[name=project]').inputValue(), jobs[0].project);
  assert.equal(await page.locator('[name=url]').inputValue(), jobs[0].repo);
  await page.locator('[name=message]').fill('a rocket by hand');
  await page.getByRole('button', { name: 'Submit' }).click();
  await page.waitForURL(/\/jobs\/./);
  await sees('h1', 'passed');
});

step('a submission whose answer was lost is not taken twice', async () => {
  const way = await world.way();
  await page.goto(`${way.url}/new?project=acme/once&labels=gpu`);
  await page.locator('[name=url]').fill('/nowhere');
  let dropped = 0;
  await page.route('**/api/v1/jobs', async (route) => {
    if (route.request().method() !== 'POST' || dropped > 0) return route.continue();
    dropped += 1;
    await route.fetch();
    return route.abort();
  });
  await page.getByRole('button', { name: 'Submit' }).click();
  await sees('.notice', 'not taken twice');
  await page.getByRole('button', { name: 'Submit' }).click();
  await page.waitForURL(/\/jobs\/./);
  await page.unroute('**/api/v1/jobs');
  assert.equal((await world.api('/jobs?project=acme/once')).jobs.length, 1);
  way.close();
});

step('search offers projects and jobs as one types', async () => {
  await page.goto(world.url);
  await page.locator('h1.sum').waitFor();
  await page.keyboard.press('/');
  await page.keyboard.type('rock');
  await sees('#search-offers li', 'acme/rocket');
  await sees('#search-offers li', 'by hand');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/projects\/acme\/rocket$/);
  await sees('h1', 'acme/rocket');
});

step('the help is a dialog that keeps the focus, and keys can be turned off', async () => {
  await page.goto(`${world.url}/jobs`);
  await page.locator('.job-row').first().waitFor();
  await page.keyboard.press('?');
  await page.locator('dialog[open]').waitFor();
  const inside = () =>
    page.evaluate(() => !document.activeElement || document.activeElement === document.body || !!document.activeElement.closest('dialog'));
  for (let i = 0; i < 6; i += 1) {
    assert.ok(await inside());
    await page.keyboard.press('Tab');
  }
  await page.keyboard.press('g');
  await page.keyboard.press('p');
  assert.match(page.url(), /\/jobs$/, 'no key goes past the dialog');
  await page.getByLabel('Single keys').uncheck();
  await page.keyboard.press('Escape');
  await page.locator('dialog').waitFor({ state: 'detached' });
  await page.keyboard.press('g');
  await page.keyboard.press('p');
  await page.keyboard.press('?');
  assert.equal(await page.locator('dialog').count(), 0);
  assert.match(page.url(), /\/jobs$/);
  await page.getByRole('button', { name: 'Keys and help' }).click();
  await page.getByLabel('Single keys').check();
  await page.keyboard.press('Escape');
  await page.locator('dialog').waitFor({ state: 'detached' });
  await page.keyboard.press('g');
  await page.keyboard.press('p');
  await page.waitForURL(/\/projects$/);
});

step('whatever data holds is shown as text', async () => {
  const evil = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`;
  const folder = world.suite('evil', {
    '<b>bold<.t': `printf '%s\\n' '${evil.replaceAll("'", `'"'"'`)}'; printf '\\033]0;title\\007\\033[31mred\\033[0m\\n'; echo 'not ok 1 - ${evil.replaceAll("'", '')}'; echo 1..1; exit 1`,
  });
  const run = world.run(folder);
  await run.ended;
  const source = (await world.api('/jobs?limit=1')).jobs[0];
  await world.api(
    '/jobs',
    job({
      job_id: 'evil',
      user_id: evil,
      labels: ['<u>gpu</u>'],
      repo: { url: '/nowhere/<s>' },
      ref: { branch: 'fix/<i>tag&amp;' },
      trigger: { type: '<em>hook', timestamp: 1, message: evil, author: { name: evil } },
    }),
  );
  const { jobs } = await world.api('/jobs?limit=1');
  const project = jobs[0].project;
  const path = (name) => `/projects/${name.split('/').map(encodeURIComponent).join('/')}`;
  const addresses = [
    '/',
    '/jobs',
    '/projects',
    path(project),
    path(source.project),
    `${path(source.project)}?file=${encodeURIComponent('tests/<b>bold<.t')}`,
  ];
  const shown = (text) =>
    page.evaluate((wanted) => {
      const values = [...document.querySelectorAll('main input')].map((input) => /** @type {HTMLInputElement} */ (input).value);
      return [document.querySelector('main')?.textContent ?? '', ...values].some((value) => value.includes(wanted));
    }, text);
  for (const address of [...addresses, `/jobs/${jobs[0].id}`, `/jobs/${source.id}`, `/new?project=${encodeURIComponent(evil)}`]) {
    await page.goto(world.url + address);
    await page.locator('main h1').first().waitFor();
    // A project's name is of letters, digits and a few signs: their list has nothing strange in it.
    if (address !== '/projects') await until(`the data of ${address}`, () => shown('<'));
    const strange = await page.locator('main :is(img[src="x"], main script, em, i, u, s)').count();
    assert.equal(strange, 0, address);
    assert.doesNotMatch(await page.title(), /owned/, address);
    assert.deepEqual(page.problems, [], address);
  }
});

step('pages of other origins neither listen nor change anything', async () => {
  const stranger = createServer((_, response) =>
    response.setHeader('content-type', 'text/html').end('<!doctype html><title>stranger</title>'),
  );
  await new Promise((done) => stranger.listen(0, '127.0.0.1', () => done(null)));
  const { port } = /** @type {import('node:net').AddressInfo} */ (stranger.address());
  const visitor = await world.page();
  try {
    await visitor.goto(`http://127.0.0.1:${port}/`);
    const heard = await visitor.evaluate(
      (url) =>
        new Promise((done) => {
          const socket = new WebSocket(`${url.replace('http', 'ws')}/api/v1/live`, ['skep.live.v1']);
          socket.onopen = () => done('open');
          socket.onclose = () => done('refused');
        }),
      world.url,
    );
    assert.equal(heard, 'refused');
    const before = (await world.api('/jobs')).jobs.length;
    const said = await visitor.evaluate(
      async ([url, body]) => {
        const send = (type) =>
          fetch(`${url}/api/v1/jobs`, {
            method: 'POST',
            mode: 'no-cors',
            credentials: 'include',
            headers: { 'content-type': type },
            body,
          }).then(
            (answer) => answer.type,
            () => 'refused',
          );
        const read = await fetch(`${url}/api/v1/jobs`).then(
          () => 'read',
          () => 'refused',
        );
        return [await send('text/plain'), read];
      },
      [world.url, JSON.stringify(job({ job_id: 'strange' }))],
    );
    assert.deepEqual(said, ['refused', 'refused']);
    assert.equal((await world.api('/jobs')).jobs.length, before);
  } finally {
    await visitor.context().close();
    stranger.close();
  }
});

step('a browser that was offline for 20 seconds shows all that happened meanwhile', async () => {
  const way = await world.way();
  await page.goto(`${way.url}/jobs`);
  await page.locator('.job-row').first().waitFor();
  const sum = async () => Number.parseInt(await page.locator('.list-sum').innerText(), 10);
  const before = await sum();
  await page.context().setOffline(true);
  way.cut();
  await sees('.reconnecting', 'offline');
  const began = Date.now();
  for (let n = 0; n < 3; n += 1) await world.api('/jobs', job({ job_id: `meanwhile-${n}`, project: 'acme/meanwhile', labels: ['gpu'] }));
  await world.api('/jobs/picky/cancel', { reason: 'meanwhile' });
  assert.equal(await sum(), before, 'the data stays');
  // The time is what is tried here: by then the page has given up more than one try.
  await wait(20_000 - (Date.now() - began));
  way.mend();
  await page.context().setOffline(false);
  await page.locator('.reconnecting').waitFor({ state: 'detached' });
  await until('the jobs that came meanwhile', async () => (await sum()) === before + 3);
  await sees('.job-row[data-row="picky"]', 'cancelled');
  await world.api('/jobs', job({ job_id: 'after', project: 'acme/meanwhile', labels: ['gpu'] }));
  await until('what happens now', async () => (await sum()) === before + 4);
  await page.goto(world.url);
  way.close();
});

step('a view that was not loaded when the queen went comes when she is back', async () => {
  const fresh = await world.page();
  await fresh.goto(`${world.url}/jobs`);
  await fresh.locator('.job-row').first().waitFor();
  await world.end(queen);
  await sees('.reconnecting', 'gone', fresh);
  await fresh.getByRole('link', { name: 'Projects' }).click();
  await sees('.notice', 'could not be loaded', fresh);
  queen = await world.queen();
  await sees('.project-row', 'acme/rocket', fresh);
  await fresh.context().close();
});

step('a text that is hard to find is looked for in older jobs, and that is said', async () => {
  let mend = () => {};
  const mended = new Promise((done) => {
    mend = () => done(null);
  });
  const asked = [];
  // As a queen with very many jobs does: she ends a page early, with nothing on it and where to go on.
  await page.route(/\/api\/v1\/jobs\?.*text=rocket/, async (route) => {
    const url = new URL(route.request().url());
    const before = url.searchParams.get('before');
    if (before === null) return route.fulfill({ json: { jobs: [], next: 'further' } });
    asked.push(before);
    if (asked.length === 1) return route.fulfill({ status: 503, json: { error: 'the queen is busy', kind: 'busy' } });
    await mended;
    url.searchParams.delete('before');
    return route.fulfill({ response: await route.fetch({ url: url.href }) });
  });
  await page.goto(`${world.url}/jobs?text=rocket`);
  // A refusal meanwhile is no empty list.
  await sees('.notice', 'the queen is busy');
  await page.getByRole('button', { name: 'Try again' }).click();
  await sees('[role=status]', 'Looking in older jobs');
  mend();
  await sees('.job-row', 'acme/rocket');
  assert.equal(await page.locator('.notice').count(), 0, 'what was refused once is said no more');
  assert.deepEqual(asked, ['further', 'further']);
  await page.unroute(/\/api\/v1\/jobs\?.*text=rocket/);
});

step('thousands of jobs are a list of which only some rows are drawn', async () => {
  await world.end(queen);
  await world.fill(1500, { projects: 12, files: 400 });
  queen = await world.queen();
  await page.goto(`${world.url}/jobs`);
  const sum = async () => (await page.locator('.list-sum').innerText()).replace(',', '');
  await page.locator('.job-row').first().waitFor();
  assert.match(await sum(), /^200\+/);
  // The end comes nearer as one goes there.
  await until('the last page', async () => {
    await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
    return /^\d+ jobs/.test(await sum());
  });
  assert.ok(Number.parseInt(await sum(), 10) >= 1500);
  assert.ok((await page.locator('.job-row').count()) < 80, 'few rows are drawn');
  await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
  await until('the last row', () => page.evaluate(() => !!document.querySelector('[aria-posinset="1500"]')));
  // The keys go on where the drawn rows end.
  await page.evaluate(() => scrollTo(0, 0));
  for (let i = 0; i < 60; i += 1) await page.keyboard.press('j');
  await until('row 60', () => page.evaluate(() => document.activeElement?.closest('[data-row]')?.getAttribute('aria-posinset') === '60'));
  const href = await page.evaluate(() => /** @type {HTMLAnchorElement} */ (document.activeElement).href);
  await page.keyboard.press('Enter');
  await page.waitForURL(href);
  const at = await page.evaluate(() => scrollY);
  await page.goBack();
  await page.locator('.job-row').first().waitFor();
  await until('the list where it was left', () => page.evaluate((to) => scrollY > 600 && scrollY !== to, at));
});

step('a big project: its trend, its files, one file’s past, its badge', async () => {
  await page.goto(`${world.url}/projects/acme/rocket`);
  await sees('h2', 'Slowest files');
  await page.locator('.chart canvas').first().waitFor();
  assert.equal(await page.locator('.chart canvas').count(), 2);
  await page.getByRole('button', { name: 'Show all' }).click();
  await until('all rows', async () => (await page.locator('section', { hasText: 'Slowest files' }).locator('tbody tr').count()) === 400);
  await page.getByLabel('Find in slowest files').fill('test_00042');
  await page.locator('td a', { hasText: 'test_00042.py' }).click();
  await sees('h1', 'test_00042.py');
  await sees('tbody td', 'passed');
  await page.goBack();
  await sees('.command code', '[![tests](');
  await until('the badge', () =>
    page.evaluate(() => /** @type {HTMLImageElement} */ (document.querySelector('main img'))?.naturalWidth > 0),
  );
});

step('with tokens: who may what, and nothing of a token in the page', async () => {
  const guarded = new World();
  let visitor;
  try {
    const read = await guarded.token('read', 'a reader');
    const trigger = await guarded.token('trigger');
    const admin = await guarded.token('admin');
    const drone = await guarded.token('drone');
    await guarded.queen({ QUEEN_REQUIRE_TOKEN: 'true' });
    guarded.program('drone', ['start', '--queen', guarded.url, '--name', 'd', '--capacity', '1', '--data', guarded.path('d')], {
      env: { DRONE_TOKEN: drone.token },
    });
    visitor = await guarded.page();
    await visitor.goto(`${guarded.url}/projects`);
    await visitor.getByRole('heading', { name: 'Sign in' }).waitFor();
    assert.equal(await visitor.getByRole('search').count(), 0);
    await visitor.locator('input[type=password]').fill('wrong');
    await visitor.getByRole('button', { name: 'Sign in' }).click();
    await sees('.notice', 'does not know the token', visitor);
    await visitor.locator('input[type=password]').fill(read.token);
    await visitor.getByRole('button', { name: 'Sign in' }).click();
    await sees('h1', 'Projects', visitor);
    assert.match(visitor.url(), /\/projects$/);
    await sees('.person', 'a reader', visitor);
    const kept = await visitor.evaluate(() => JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }, location.href]));
    assert.ok(!kept.includes(read.token) && !kept.includes('skep_session'), kept);
    // A reader is offered nothing that would be refused.
    await visitor.getByRole('link', { name: 'Fleet', exact: true }).click();
    await sees('.drone', 'd', visitor);
    await until('the live connection', async () => (await visitor.locator('.connection.live').count()) === 1);
    assert.equal(await visitor.getByRole('button', { name: 'Drain' }).count(), 0);
    assert.equal(await visitor.getByRole('link', { name: 'New job' }).count(), 0);
    await visitor.goto(`${guarded.url}/new`);
    await sees('.notice', 'may read but not submit', visitor);
    // Signing out is that.
    await visitor.getByRole('button', { name: 'Sign out' }).click();
    await visitor.getByRole('heading', { name: 'Sign in' }).waitFor();
    assert.equal(await visitor.evaluate(() => fetch('/api/v1/jobs').then(({ status }) => status)), 401);
    // One who may trigger submits, but does not drain.
    await visitor.locator('input[type=password]').fill(trigger.token);
    await visitor.getByRole('button', { name: 'Sign in' }).click();
    await sees('.drone', 'd', visitor);
    assert.equal(await visitor.getByRole('button', { name: 'Drain' }).count(), 0);
    await visitor.getByRole('link', { name: 'New job' }).click();
    await visitor.locator('[name=project]').fill('by/token');
    await visitor.locator('[name=url]').fill('/nowhere');
    await visitor.getByRole('button', { name: 'Submit' }).click();
    await sees('h1', 'errored', visitor);
    // A token that is revoked ends the session, also in a page that is open.
    const gone = await fetch(`${guarded.url}/api/v1/tokens/${trigger.id}`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${admin.token}` },
    });
    assert.equal(gone.status, 204);
    await visitor.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Jobs' }).click();
    await visitor.getByRole('heading', { name: 'Sign in' }).waitFor();
    assert.deepEqual(visitor.problems, []);
  } catch (error) {
    await visitor?.screenshot({ path: join(screenshots, 'failed-tokens.png') }).catch(() => {});
    error.message += `\n${guarded.said()}`;
    throw error;
  } finally {
    await guarded.stop();
  }
});
