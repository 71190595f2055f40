// Pictures of every view with nothing, a little, and very much of everything: light, dark, and on a phone. A person looks at
// them; `make screenshots` makes them, in target/screenshots/all.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, screenshots, until, World } from './programs.js';

const out = join(screenshots, 'all');
const LOOKS = {
  light: { colorScheme: 'light' },
  dark: { colorScheme: 'dark' },
  phone: { colorScheme: 'light', viewport: { width: 360, height: 740 }, deviceScaleFactor: 2 },
};
const TABS = ['failures', 'files', 'tests', 'timeline', 'log', 'plugins', 'compare'];
/** The first words of arguments choose what is made: `screenshots.js many phone`. */
const wanted = process.argv.slice(2);
const chosen = (...names) => !wanted.length || names.some((name) => wanted.includes(name));

/** Waits until a view shows no place-holders, and its pictures are there. */
async function calm(page) {
  await page.locator('main h1').first().waitFor();
  await until('the view to be whole', async () => (await page.locator('.skeleton, .reconnecting').count()) === 0);
  await page.evaluate(() => document.fonts.ready);
  // Two frames: what was measured is drawn.
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
}

/** Pictures of `views`, `[[name, path, act(page)], …]`, in every look. */
async function take(world, set, views) {
  for (const [look, options] of Object.entries(LOOKS)) {
    if (wanted.some((name) => name in LOOKS) && !wanted.includes(look)) continue;
    const page = await world.page({ reducedMotion: 'reduce', ...options });
    for (const [name, path, act] of views) {
      if (wanted.some((one) => views.some(([other]) => other === one)) && !wanted.includes(name)) continue;
      await page.goto(world.url + path);
      await calm(page);
      if (act) await act(page);
      await page.screenshot({ path: join(out, `${set}-${name}-${look}.png`), fullPage: look !== 'light' ? false : name !== 'jobs' });
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (over > 0) console.log(`${set}-${name}-${look} is ${over} pixels too wide`);
      if (page.problems.length) console.log(`${set}-${name}-${look}:`, page.problems.splice(0));
    }
    await page.context().close();
    console.log(`${set}, ${look}`);
  }
}

const help = async (page) => {
  await page.keyboard.press('?');
  await page.locator('dialog[open]').waitFor();
};
const search = async (page) => {
  await page.getByRole('combobox', { name: 'jobs and projects' }).fill('e');
  await page.locator('#search-offers li').first().waitFor();
};
const chart = (page) => page.locator('.chart canvas').nth(1).waitFor();

async function empty() {
  const world = new World();
  try {
    await world.queen();
    const none = ['fleet', 'jobs', 'projects'].map((name) => /** @type {any} */ ([name, name === 'fleet' ? '/' : `/${name}`]));
    await take(world, 'empty', [
      ...none,
      ['new', '/new'],
      ['help', '/', help],
      ['no-job', '/jobs/no-such-job'],
      ['no-project', '/projects/no/such'],
    ]);
  } finally {
    await world.stop();
  }
}

async function some() {
  const world = new World();
  try {
    await world.queen();
    world.drone('build-a', 4);
    const passed = world.run(join(root, 'examples/shell'));
    await passed.ended;
    const folder = {
      'a.t': `echo 'ok 1 - fine'; echo 'not ok 2 - totals'; echo '# got 503, want 200'; echo 1..2; exit 1`,
      'b.t': `i=0; while [ $i -lt 60 ]; do i=$((i+1)); printf "\\033[32mline\\033[0m %s of \\033[1mmany\\033[0m\\n" $i; done; echo 'ok 1 - b'; echo 1..1`,
    };
    await world.run(world.suite('one', folder)).ended;
    const [bad] = (await world.api('/jobs?limit=1')).jobs;
    await take(world, 'one', [
      ['fleet', '/'],
      ['jobs', '/jobs'],
      ['projects', '/projects'],
      ['project', `/projects/${bad.project}`],
      ['file', `/projects/${bad.project}?file=tests/a.t`],
      ...TABS.map((tab) => /** @type {any} */ ([`job-${tab}`, `/jobs/${bad.id}?tab=${tab}`])),
    ]);
  } finally {
    await world.stop();
  }
}

async function many() {
  const world = new World();
  const gate = world.path('gate');
  try {
    const queen = await world.queen();
    await world.end(queen);
    await world.fill(10_000);
    await world.queen();
    const names = [
      'build-a',
      'build-b',
      'a-machine-with-a-name-that-nobody-can-remember-in-rack-17-of-the-second-room',
      'mac-mini',
      'arm-1',
    ];
    for (const [i, name] of names.entries()) {
      world.drone(name, [4, 16, 64, 2, 12][i], i % 2 ? ['--label', 'linux', '--label', 'a-label-with-a-long-name'] : []);
    }
    await until('the drones', async () => (await world.api('/drones')).length === names.length);
    // Many files, some bad, some that wait for the gate: the middle of a long job.
    const suite = {};
    for (let n = 0; n < 300; n += 1) {
      const slow = n > 220 ? `while [ ! -e '${gate}' ]; do sleep 1; done;` : '';
      const bad = n % 40 === 7;
      const says = bad
        ? `echo 'not ok 1 - case ${n} says a great deal about what it wanted'; echo '# want: ${'x'.repeat(200)}'`
        : `echo 'ok 1 - case ${n}'`;
      suite[`test-${String(n).padStart(4, '0')}-${'of-the-thing-'.repeat(1 + (n % 4))}.t`] =
        `${slow} ${says}; echo 1..1; ${bad ? 'exit 1' : ''}`;
    }
    world.run(world.suite('huge', suite));
    for (let n = 0; n < 45; n += 1) {
      await world.api('/jobs', {
        job_id: `waits-${n}`,
        project: n % 3 ? 'acme/rocket' : 'a-team-with-a-long-name/of-a-project-that-somebody-wanted-to-be-found-by-its-name-alone',
        labels: ['gpu', 'cuda-12', 'a-label-with-a-very-long-name'],
        repo: { url: '/nowhere' },
        ref: { branch: 'feature/a-branch-with-a-name-that-goes-on' },
        trigger: { type: 'webhook', timestamp: 1, message: 'It waits '.repeat(1 + (n % 12)), author: { name: 'Ada Lovelace' } },
      });
    }
    await until(
      'the long job to be in its middle',
      async () => (await world.api('/jobs?state=running')).jobs[0]?.files_done > 200,
      120_000,
    );
    const [running] = (await world.api('/jobs?state=running')).jobs;
    const big = '/projects/acme/rocket';
    await take(world, 'many', [
      ['fleet', '/'],
      ['jobs', '/jobs'],
      ['jobs-filtered', '/jobs?state=failed,errored&project=acme/rocket'],
      ['projects', '/projects'],
      ['project', big, chart],
      ['search', '/', search],
      ...TABS.map((tab) => /** @type {any} */ ([`job-${tab}`, `/jobs/${running.id}?tab=${tab}`])),
      [
        'reconnecting',
        '/',
        (page) =>
          page
            .context()
            .setOffline(true)
            .then(() => page.locator('.reconnecting').waitFor()),
      ],
    ]);
  } finally {
    writeFileSync(gate, '');
    await world.stop();
  }
}

async function guarded() {
  const world = new World();
  try {
    await world.queen({ QUEEN_REQUIRE_TOKEN: 'true' });
    await take(world, 'guarded', [['sign-in', '/']]);
  } finally {
    await world.stop();
  }
}

if (!wanted.length) rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
for (const [name, make] of Object.entries({ empty, some, many, guarded })) {
  const sets = ['empty', 'some', 'many', 'guarded'];
  if (!wanted.some((one) => sets.includes(one)) || chosen(name)) await make();
}
console.log(`the pictures are in ${out}`);
