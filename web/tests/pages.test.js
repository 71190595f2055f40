import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runInNewContext } from 'node:vm';
import * as format from '../lib/format.js';
import { jobOf } from '../lib/new-job.js';
import { address, jobPath, match, projectPath } from '../lib/router.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const own = ['.', 'lib', 'views', 'components'].flatMap((folder) =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.js'))
    .map((name) => join(folder, name)),
);

describe('addresses', () => {
  it('mean views', () => {
    assert.equal(match('/').view, 'fleet');
    assert.deepEqual(match('/jobs?state=failed&branch=').query, { state: 'failed' });
    assert.deepEqual(match('/jobs/a%20b#x').params, { id: 'a b' });
    assert.deepEqual(match('/projects/o/n'), { view: 'project', params: { name: 'o/n' }, query: {}, hash: '' });
    assert.equal(match('/what/is/this').view, 'not-found');
    assert.equal(match('/jobs/%E0%A4%A').params.id, '%E0%A4%A');
  });

  it('come back as they were made', () => {
    assert.equal(match(jobPath('a/b?c')).params.id, 'a/b?c');
    assert.equal(match(projectPath('o w/group/n#n')).params.name, 'o w/group/n#n');
    assert.deepEqual(match(address('/jobs', { text: 'a&b=c', state: '' })).query, { text: 'a&b=c' });
  });
});

/** What the page's first script asks for at an address, with a queen that is not there. */
function first(address) {
  const links = [];
  const asked = [];
  const window = {
    document: {
      documentElement: { dataset: {} },
      createElement: () => ({}),
      head: { append: ({ rel, href }) => links.push(`${rel} ${href}`) },
    },
    location: new URL(address, 'http://queen'),
    localStorage: { getItem: () => null },
    fetch: (path) => {
      asked.push(path);
      return Promise.reject(new Error('not there'));
    },
  };
  runInNewContext(readFileSync(join(root, 'first.js'), 'utf8'), window);
  return { links, asked, early: [...window.skepEarly.keys()] };
}

describe('the first script', () => {
  it('asks for the view that the address means', () => {
    const app = readFileSync(join(root, 'app.js'), 'utf8');
    for (const address of ['/', '/jobs', '/jobs?state=failed', '/jobs/a%20b', '/projects', '/projects/o/n', '/new', '/constructor']) {
      const { view } = match(address);
      const module = new RegExp(`'?${view}'?: \\[\\(\\) => import\\('\\.(/[^']+)'`).exec(app)?.[1];
      assert.deepEqual(first(address).links, module ? [`modulepreload ${module}`] : [], address);
    }
  });

  it('asks early for what the view asks for', async () => {
    assert.deepEqual(first('/jobs').asked, ['/api/v1/session']);
    const { asked, early } = first('/jobs/a%20b?tab=log');
    assert.deepEqual(asked, ['/api/v1/session', '/api/v1/jobs/a%20b']);
    // By the same words as the API's own calls.
    assert.deepEqual(early, ['/session', `/jobs/${encodeURIComponent(match('/jobs/a%20b').params.id)}`]);
    // An answer that nobody takes is no error of the page.
    await new Promise(setImmediate);
  });
});

describe('words', () => {
  it('durations', () => {
    const cases = [
      [0, '0 ms'],
      [999.4, '999 ms'],
      [999.6, '1.0 s'],
      [9949, '9.9 s'],
      [9960, '10 s'],
      [59_400, '59 s'],
      [59_600, '1:00 min'],
      [3_599_000, '59:59 min'],
      [3_599_600, '1:00 h'],
      [7_500_000, '2:05 h'],
      [null, '–'],
      [-5, '0 ms'],
    ];
    for (const [ms, text] of cases) assert.equal(format.duration(ms), text, String(ms));
  });

  it('times past', () => {
    const cases = [
      [1000, 'just now'],
      [30_000, '30 s ago'],
      [90_000, '2 min ago'],
      [86_400_000, '1 day ago'],
      [-4000, 'just now'],
    ];
    for (const [ms, text] of cases) assert.equal(format.ago(0, ms), text);
  });

  it('numbers and names', () => {
    assert.equal(format.moment(new Date(2026, 2, 1, 4, 3, 7).getTime()), '2026-03-01 04:03:07');
    assert.equal(format.clock(new Date(2026, 2, 1, 14, 3).getTime()), '14:03');
    assert.equal(format.moment(null), '');
    assert.equal(format.number(1234567), '1,234,567');
    assert.equal(format.plural(1, 'file'), '1 file');
    assert.equal(format.plural(1200, 'file'), '1,200 files');
    assert.equal(format.bytes(1_500_000), '1.5 MB');
    assert.equal(format.refOf({ branch: 'main', commit: '3f2a91c0' }), 'main@3f2a91c');
    assert.equal(format.shortId('018f2f3e-1111-7000-8000-0123456789ab'), '456789ab');
  });
});

describe('the form for a job', () => {
  it('leaves out what was left empty', () => {
    assert.deepEqual(jobOf({ project: ' a/b ', url: '', branch: '', labels: '', priority: '' }, 5), {
      project: 'a/b',
      job_type: 'TEST',
      trigger: { type: 'manual', message: '', timestamp: 5, source: { type: 'UI', page: '/new' } },
    });
  });

  it('says the rest in the words of the contract', () => {
    const job = jobOf(
      {
        project: 'a/b',
        url: 'https://x/y',
        username: 'u',
        password: ' p ',
        branch: 'main',
        commit: 'AB',
        labels: 'gpu, linux',
        spread: '2',
      },
      5,
    );
    assert.deepEqual(job.repo, { url: 'https://x/y', auth: { type: 'https', username: 'u', password: ' p ' } });
    assert.deepEqual(job.ref, { branch: 'main', id: 'ab' });
    assert.deepEqual([job.labels, job.spread], [['gpu', 'linux'], 2]);
  });
});

describe('the house', () => {
  it('every module says what it is for', () => {
    assert.ok(own.length > 15);
    for (const name of own) assert.match(readFileSync(join(root, name), 'utf8'), /^\/\/ \S/, name);
  });

  it('no line is too long to read', () => {
    const sheets = readdirSync(join(root, 'styles')).map((name) => join('styles', name));
    const long = [...own, ...sheets].flatMap((name) => {
      const lines = readFileSync(join(root, name), 'utf8').split('\n');
      return lines.flatMap((line, i) => (line.length > 140 ? [`${name}:${i + 1} has ${line.length} characters`] : []));
    });
    assert.deepEqual(long, []);
  });

  it('data never becomes markup, code or a style', () => {
    for (const name of own) {
      assert.doesNotMatch(
        readFileSync(join(root, name), 'utf8'),
        /innerHTML|outerHTML|insertAdjacentHTML|dangerouslySet|document\.write|\beval\(|new Function/,
        name,
      );
    }
  });

  it('the page needs neither inline code nor another host', () => {
    const page = readFileSync(join(root, 'index.html'), 'utf8');
    assert.doesNotMatch(page, /<style|style=|\son\w+=|<script(?![^>]*\ssrc=)/);
    for (const name of own) assert.doesNotMatch(readFileSync(join(root, name), 'utf8'), /(?:from|import\()\s*['"](?!\.)/, name);
  });

  it('what is pure knows no browser', () => {
    for (const name of ['ansi', 'format', 'job-list', 'log', 'new-job', 'past', 'rows', 'search', 'states', 'store', 'trend']) {
      assert.doesNotMatch(
        readFileSync(join(root, 'lib', `${name}.js`), 'utf8'),
        /\b(document|window|fetch|localStorage|Date\.now|Math\.random)\b/,
        name,
      );
    }
  });
});
