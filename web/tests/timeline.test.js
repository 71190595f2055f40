import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bound } from '../lib/bound.js';
import { criticalPath, extent, lanesOf, pan, ticks, use, within, zoom } from '../lib/timeline.js';

const lane = (drone, worker, ...runs) => ({
  drone,
  worker,
  runs: runs.map(([path, from, to, attempt = 1]) => ({ path, from, to, attempt })),
});
const state = (...lanes) => ({ lanes: new Map(lanes.map((one) => [`${one.drone} ${one.worker}`, one])) });
const paths = (runs) => runs.map(({ path }) => path);

describe('a timeline', () => {
  it('has its slots by drone and number', () => {
    const names = { d2: 'alpha', d1: 'beta' };
    const shown = lanesOf(state(lane('d1', 1), lane('d2', 3), lane('d1', 0)), (id) => names[id]);
    assert.deepEqual(
      shown.map(({ name, worker }) => `${name} ${worker}`),
      ['alpha 3', 'beta 0', 'beta 1'],
    );
  });

  it('reaches from the first beginning to the last end, or to now', () => {
    assert.equal(extent(state(), 5), null);
    assert.deepEqual(extent(state(lane('d', 0, ['a', 10, 20]), lane('d', 1, ['b', 12, 50])), 99), { from: 10, to: 50 });
    assert.deepEqual(extent(state(lane('d', 0, ['a', 10, null])), 99), { from: 10, to: 99 });
  });

  it('finds what is in sight', () => {
    const { runs } = lane('d', 0, ['a', 0, 10], ['b', 10, 20], ['c', 30, 40], ['e', 40, null]);
    assert.deepEqual(paths(within(runs, 12, 35)), ['b', 'c']);
    assert.deepEqual(paths(within(runs, 21, 29)), []);
    assert.deepEqual(paths(within(runs, 41, 99)), ['e']);
  });

  it('knows the way that ended last, over a try before on another machine', () => {
    const all = state(lane('d1', 0, ['a', 0, 30], ['flaky', 30, 60]), lane('d2', 0, ['b', 0, 20], ['c', 20, 40], ['flaky', 61, 100, 2]));
    assert.deepEqual(paths(criticalPath(all, 100)), ['a', 'flaky', 'flaky']);
    assert.deepEqual(paths(criticalPath(state(lane('d', 0, ['a', 0, 5], ['b', 5, null])), 9)), ['a', 'b']);
    assert.deepEqual(criticalPath(state(), 0), []);
  });

  it('says what no schedule could beat', () => {
    const even = state(lane('d1', 0, ['a', 0, 30]), lane('d2', 0, ['b', 0, 10]));
    assert.equal(
      bound(even, () => 100, 0),
      30,
      'the longest',
    );
    assert.equal(
      bound(state(lane('d1', 0, ['a', 0, 30], ['c', 30, 40]), lane('d2', 0)), () => 100, 0),
      30,
    );
    assert.equal(
      bound(state(lane('d1', 0, ['a', 0, 20], ['c', 20, 40]), lane('d2', 0)), () => 100, 0),
      20,
      'all of it, spread',
    );
    // What took 30 on the slow one would take 15 on the fast one, which alone is not enough for all.
    assert.equal(
      bound(even, (drone) => (drone === 'd1' ? 100 : 200), 0),
      5000 / 300,
    );
    assert.equal(
      bound(state(), () => 100, 0),
      null,
    );
  });

  it('shows waste', () => {
    assert.deepEqual(use(lane('d', 0, ['a', 0, 10], ['b', 20, 30]), { from: 0, to: 40 }, 40), { busy: 20, idle: 20 });
  });

  it('has round times on its axis', () => {
    assert.deepEqual(ticks({ from: 0, to: 100 }, 0, 5), [0, 20, 40, 60, 80, 100]);
    assert.deepEqual(ticks({ from: 1050, to: 1090 }, 1000, 4), [50, 60, 70, 80, 90]);
    assert.deepEqual(ticks({ from: 0, to: 240_000 }, 0, 5), [0, 60_000, 120_000, 180_000, 240_000]);
    for (const length of [3, 900, 40_000, 5e6, 9e7]) {
      const count = ticks({ from: 0, to: length }, 0, 10).length;
      assert.ok(count >= 2 && count <= 40, `${length}: ${count}`);
    }
  });

  it('zooms around a place and stays within the whole', () => {
    const whole = { from: 0, to: 100 };
    assert.deepEqual(zoom(whole, 0.5, 50, whole), { from: 25, to: 75 });
    assert.deepEqual(zoom({ from: 0, to: 50 }, 4, 10, whole), whole);
    assert.deepEqual(pan({ from: 20, to: 40 }, -30, whole), { from: 0, to: 20 });
    assert.equal(zoom({ from: 10, to: 12 }, 0.1, 11, whole).to - zoom({ from: 10, to: 12 }, 0.1, 11, whole).from, 2, 'no closer than this');
  });
});
