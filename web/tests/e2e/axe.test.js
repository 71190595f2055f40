// Every view in both themes and on a narrow screen before axe-core, which knows the rules of WCAG 2.2 AA that a program can check.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { root, until, World } from './programs.js';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

const world = new World();
const views = new Map();
const gate = () => world.path('gate');

before(async () => {
  await world.queen();
  world.drone('build-a', 2, ['--label', 'linux']);
  await until('the drone', async () => (await world.api('/drones')).length === 1);
  const passed = world.run(join(root, 'examples/shell'));
  assert.equal(await passed.ended, 0, passed.out());
  const failed = world.run(
    world.suite('bad', {
      'a.t': `echo 'ok 1 - fine'; echo 'not ok 2 - wrong'; printf '# \\033[31mgot\\033[0m 1, want 2\\n'; echo 1..2; exit 1`,
      'b.t':
        'printf "\\033[32mgreen\\033[33myellow\\033[34mblue\\033[35mmagenta\\033[36mcyan\\033[90mgrey\\033[0m\\n"; echo err >&2; exit 3',
    }),
  );
  await failed.ended;
  const [bad, good] = (await world.api('/jobs?limit=2')).jobs;
  await world.api('/jobs', {
    job_id: 'picky',
    project: 'acme/rocket',
    labels: ['gpu'],
    repo: { url: '/nowhere' },
    trigger: { type: 'manual', timestamp: 1, message: 'waits' },
  });
  world.run(world.suite('slow', { 'a.t': `echo begun; while [ ! -e '${gate()}' ]; do sleep 0.1; done; echo 'ok 1 - a'; echo 1..1` }));
  await until('a job to run', async () => (await world.api('/jobs?state=running')).jobs.length === 1);
  const [running] = (await world.api('/jobs?state=running')).jobs;
  const file = (await world.api(`/projects/${bad.project}`)).files[0].path;
  for (const [name, path, ready] of [
    ['fleet', '/', '.drone'],
    ['jobs', '/jobs', '.job-row'],
    ['jobs, none', '/jobs?project=no/such', '.notice'],
    ['projects', '/projects', '.project-row'],
    ['project', `/projects/${bad.project}`, 'table'],
    ['file', `/projects/${bad.project}?file=${encodeURIComponent(file)}`, 'table'],
    ['new job', '/new', 'form.fields'],
    ['not found', '/jobs/no-such', '.notice'],
    ['job, waiting', '/jobs/picky', 'h1'],
    ['job, running', `/jobs/${running.id}`, '[role=tablist]'],
    ['job, running, its log', `/jobs/${running.id}?tab=log`, '.line'],
    ['job, passed', `/jobs/${good.id}`, 'h1'],
    ['job, failed', `/jobs/${bad.id}`, '.failure'],
    ...['failures', 'files', 'tests', 'timeline', 'log', 'plugins', 'compare'].map((tab) => [
      `job, ${tab}`,
      `/jobs/${bad.id}?tab=${tab}`,
      '[role=tabpanel], h1',
    ]),
  ]) {
    views.set(name, { path, ready });
  }
});
after(async () => {
  writeFileSync(gate(), '');
  await world.stop();
});

/** What axe finds, in short. */
async function check(of) {
  await of.evaluate(axe);
  const found = await of.evaluate(async (tags) => {
    const { axe: checker } = /** @type {any} */ (window);
    const { violations } = await checker.run(document, { runOnly: { type: 'tag', values: tags } });
    return violations.map(({ id, help, nodes }) => ({
      id,
      help,
      nodes: nodes
        .slice(0, 5)
        .map(({ html, failureSummary }) => `${html.slice(0, 200)} ${failureSummary.replaceAll(/\s+/g, ' ').slice(0, 300)}`),
    }));
  }, RULES);
  return found;
}

const LOOKS = {
  light: { colorScheme: 'light', reducedMotion: 'reduce' },
  dark: { colorScheme: 'dark', reducedMotion: 'reduce' },
  narrow: { colorScheme: 'light', reducedMotion: 'reduce', viewport: { width: 360, height: 740 } },
};

for (const [look, options] of Object.entries(LOOKS)) {
  test(`every view is without a violation, ${look}`, async () => {
    const of = await world.page(/** @type {any} */ (options));
    const all = [];
    const note = async (name) => {
      const found = await check(of);
      if (found.length) all.push({ view: name, found });
    };
    for (const [name, { path, ready }] of views) {
      await of.goto(world.url + path);
      await of.locator(ready).first().waitFor();
      await until('the connection', async () => (await of.locator('.connection.live').count()) === 1);
      await note(name);
    }
    await of.goto(`${world.url}/jobs`);
    await of.locator('.job-row').first().waitFor();
    await of.keyboard.press('/');
    await of.keyboard.type('rock');
    await of.locator('#search-offers li').first().waitFor();
    await note('search');
    await of.keyboard.press('Escape');
    await of.keyboard.press('Escape');
    await of.keyboard.press('?');
    await of.locator('dialog[open]').waitFor();
    await note('help');
    assert.deepEqual(of.problems, []);
    await of.context().close();
    assert.equal(all.length, 0, JSON.stringify(all, null, 1));
  });
}

test('sign-in is without a violation', async () => {
  const guarded = new World();
  try {
    await guarded.queen({ QUEEN_REQUIRE_TOKEN: 'true' });
    for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
      const of = await guarded.page({ colorScheme });
      await of.goto(guarded.url);
      await of.getByRole('heading', { name: 'Sign in' }).waitFor();
      assert.deepEqual(await check(of), []);
      await of.context().close();
    }
  } finally {
    await guarded.stop();
  }
});
