import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { above, emptyJobList, inSight, withNewest, withOlder } from '../lib/job-list.js';
import { jobOf } from '../lib/new-job.js';
import { rank } from '../lib/search.js';
import { STATES, wordOf } from '../lib/states.js';
import { columns, lastHour, summary } from '../lib/trend.js';

/** Jobs by their times; the id tells the time. */
const jobs = (...times) => times.map((at) => /** @type {any} */ ({ id: `j${at}`, submitted: at, state: 'passed' }));
const ids = (list) => list.jobs.map((job) => job.submitted);

describe('a list of jobs', () => {
  it('begins with the newest page and goes on with older ones', () => {
    let list = withNewest(emptyJobList(), { jobs: jobs(9, 8, 7), next: 'c7' });
    list = withOlder(list, { jobs: jobs(6, 5), next: 'c5' }, 'c7');
    assert.deepEqual([ids(list), list.next], [[9, 8, 7, 6, 5], 'c5']);
    list = withOlder(list, { jobs: jobs(4) }, 'c5');
    assert.deepEqual([ids(list), list.next], [[9, 8, 7, 6, 5, 4], null]);
  });

  it('takes in what came on top, and keeps what is older than the newest page', () => {
    let list = withNewest(emptyJobList(), { jobs: jobs(9, 8, 7), next: 'c7' });
    list = withOlder(list, { jobs: jobs(6, 5), next: 'c5' }, 'c7');
    list = withNewest(list, { jobs: jobs(11, 10, 9), next: 'c9' });
    assert.deepEqual([ids(list), list.next], [[11, 10, 9, 8, 7, 6, 5], 'c5']);
    assert.equal(above(list, 'j9'), 2);
    assert.equal(above(list, 'gone'), 0);
  });

  it('drops what fits no longer', () => {
    const list = withNewest(emptyJobList(), { jobs: jobs(9, 8, 7, 6), next: 'c6' });
    assert.deepEqual(ids(withNewest(list, { jobs: jobs(9, 7), next: 'c7' })), [9, 7, 6]);
    assert.deepEqual(ids(withNewest(list, { jobs: jobs(9) })), [9], 'there are no older ones');
    assert.deepEqual(ids(withNewest(list, { jobs: [] })), []);
  });

  it('begins anew where more happened than one page tells', () => {
    const list = withNewest(emptyJobList(), { jobs: jobs(3, 2, 1), next: 'c1' });
    const after = withNewest(list, { jobs: jobs(300, 299), next: 'c299' });
    assert.deepEqual([ids(after), after.next], [[300, 299], 'c299'], 'nobody knows what is between');
  });

  it('keeps what was found and searched where the newest page ends early', () => {
    let list = withNewest(emptyJobList(), { jobs: [], next: 'c500' }, true);
    assert.deepEqual([ids(list), list.next, list.known], [[], 'c500', true]);
    list = withOlder(list, { jobs: jobs(4), next: 'c3' }, 'c500');
    list = withNewest(list, { jobs: [], next: 'c501' }, true);
    assert.deepEqual([ids(list), list.next], [[4], 'c3'], 'the search goes on where it was');
    list = withNewest(list, { jobs: jobs(900, 4), next: 'c502' }, true);
    assert.deepEqual([ids(list), list.next], [[900, 4], 'c3']);
    list = withOlder(list, { jobs: jobs(2) }, 'c3');
    list = withNewest(list, { jobs: jobs(900), next: 'c503' }, true);
    assert.deepEqual([ids(list), list.next], [[900, 4, 2], null]);
    assert.deepEqual(ids(withNewest(list, { jobs: [], next: 'c9' })), [], 'after a pause nobody knows what is between');
  });

  it('does not take a page that does not follow its end, nor a job twice', () => {
    const list = withNewest(emptyJobList(), { jobs: jobs(9, 8), next: 'c8' });
    assert.equal(withOlder(list, { jobs: jobs(2) }, 'another'), list);
    assert.deepEqual(ids(withOlder(list, { jobs: jobs(8, 7), next: null }, 'c8')), [9, 8, 7]);
  });

  it('orders jobs of one moment by their ids, as the queen does', () => {
    const at = (id) => /** @type {any} */ ({ id, submitted: 5, state: 'passed' });
    let list = withNewest(emptyJobList(), { jobs: [at('c'), at('b')], next: 'x' });
    list = withOlder(list, { jobs: [at('a')] }, 'x');
    list = withNewest(list, { jobs: [at('d'), at('c')], next: 'y' });
    assert.deepEqual(
      list.jobs.map((job) => job.id),
      ['d', 'c', 'b', 'a'],
    );
  });

  it('draws the rows in sight and some around them, whatever the length', () => {
    assert.deepEqual(inSight({ top: -200, view: 800, height: 32, count: 50_000 }), [0, 27]);
    assert.deepEqual(inSight({ top: 32_000, view: 800, height: 32, count: 50_000 }), [992, 1033]);
    assert.deepEqual(inSight({ top: 1e9, view: 800, height: 32, count: 50_000 }), [49_999, 50_000]);
    assert.deepEqual(inSight({ top: 0, view: 800, height: 32, count: 0 }), [0, 0]);
    assert.deepEqual(inSight({ top: -5000, view: 800, height: 32, count: 10 }), [0, 0]);
  });
});

describe('a trend', () => {
  const job = (state, duration) => ({ id: 'x', submitted: 0, state, duration, files: 1, bad: 0, flaky: 0 });

  it('is of jobs that have ended; a cancelled one counts neither way', () => {
    const list = [job('passed', 1000), job('cancelled', 50), job('failed', 3000), job('running', null), job('passed', 2000)];
    const { seconds, share, number } = columns(list, 3);
    assert.deepEqual(seconds, [1, 0.05, 3, 2]);
    assert.deepEqual(share, [100, 100, 50, 50]);
    assert.deepEqual(number, [0, 1, 2, 3]);
  });

  it('in short', () => {
    assert.deepEqual(summary([job('passed', 3000), job('failed', 1000), job('passed', 2000)]), {
      median: 2000,
      newest: 2000,
      share: 200 / 3,
    });
    assert.deepEqual(summary([]), { median: null, newest: null, share: null });
    assert.deepEqual(summary([job('errored', null)]), { median: null, newest: null, share: 0 });
  });
});

describe('the last hour', () => {
  it('moves on by itself', () => {
    const at = (minute) => minute * 60_000;
    const told = Array.from({ length: 60 }, (_, i) => /** @type {[number, number]} */ ([at(100 + i), i]));
    assert.deepEqual(lastHour(told, at(159) + 59_999), told);
    const later = lastHour(told, at(162));
    assert.deepEqual(
      [later.length, later[0], later[56], later[57], later[59]],
      [60, [at(103), 3], [at(159), 59], [at(160), 0], [at(162), 0]],
    );
  });
});

describe('search', () => {
  it('finds names by any part, the best first', () => {
    const names = ['acme/rocket', 'rockets/launch', 'acme/sprocket', 'else/where'];
    assert.deepEqual(rank(names, 'ROCKET'), ['rockets/launch', 'acme/rocket', 'acme/sprocket']);
    assert.deepEqual(rank(names, 'nothing'), []);
  });
});

describe('states', () => {
  it('have each a shape of its own among those that stand side by side', () => {
    for (const group of [
      ['queued', 'running', 'passed', 'failed', 'errored', 'cancelled'],
      ['pending', 'running', 'passed', 'failed', 'flaky', 'empty', 'timedout', 'crashed', 'notrun', 'lost'],
      ['passed', 'failed', 'errored', 'skipped', 'xfailed', 'xpassed'],
      ['ready', 'draining', 'away'],
    ]) {
      const shapes = new Set(group.map((name) => STATES[name].path + (STATES[name].fill ?? '')));
      assert.equal(shapes.size, group.length, group.join());
    }
  });

  it('that nobody knows keep their word', () => assert.equal(wordOf('sleeping'), 'sleeping'));
});

describe('a job of the form', () => {
  it('has an id, so that it is not taken twice', () => {
    assert.equal(jobOf({ project: 'a/b' }, 1, 'abc').job_id, 'abc');
    assert.equal('job_id' in jobOf({ project: 'a/b' }, 1), false);
  });
});
