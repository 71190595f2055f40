import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { emptyJob, emptyLists, failures, job, lists, tally } from '../lib/store.js';

/** Numbers events as the queen does. */
function stream(...events) {
  return events.map(([type, ...args], i) => ({ seq: i + 1, at: 1000 + i, type, args: ['j1', ...args] }));
}
const play = (events, state = emptyJob()) => events.reduce(job, state);
const bad = (name) => ({ name, outcome: 'failed', message: 'assert 1 == 2' });
const done = (outcome, more = {}) => ({ outcome, duration: 12.5, exit: outcome === 'passed' ? 0 : 1, cases: { passed: 1 }, ...more });

const WHOLE = stream(
  ['job:queued', 1],
  ['job:started', 5, 'd1'],
  ['job:phase', 'prepare', 'start', null, 6, 'd1'],
  ['job:cmd:start', 0, 'git fetch https://u:p@host', 'git fetch', { phase: 'prepare', plugin: 'git', drone: 'd1' }],
  ['job:cmd:stdout', 0, 'one\ntw'],
  ['job:cmd:stdout', 0, 'o\n'],
  ['job:cmd:done', 0, 0, 40],
  ['job:phase', 'prepare', 'done', 0, 9, 'd1'],
  ['job:files', ['a', 'b'], true],
  ['job:files', ['c'], null, { runner: 'pytest' }],
  ['job:file:start', 1, 'a', 0, 1, 'd1'],
  ['job:file:start', 2, 'b', 0, 1, 'd2'],
  ['job:cases', 2, 1, [bad('test_x'), { name: 'test_y', outcome: 'passed' }]],
  ['job:file:done', 1, 'a', 1, done('passed'), 'd1'],
  ['job:file:done', 2, 'b', 1, done('failed'), 'd2'],
  ['job:file:done', 3, 'c', 1, done('empty'), 'd1'],
  ['job:tested', 1, 20],
  ['job:done', 22],
);

describe('a job', () => {
  it('is what its events say', () => {
    const state = play(WHOLE);
    assert.deepEqual(tally(state), { total: 3, done: 3, running: 0, bad: 1, passed: 1, flaky: 0, empty: 1, notrun: 0 });
    assert.equal(state.phases.prepare.code, 0);
    assert.equal(state.plan.runner, 'pytest');
    assert.equal(state.tested, 1);
    assert.equal(state.ended, 22);
    assert.deepEqual([...state.drones], ['d1', 'd2']);
    assert.equal(state.cases, 2);
  });

  it('shows the command that may be shown', () => {
    const command = play(WHOLE).commands.get(0);
    assert.equal(command.command, 'git fetch');
    assert.deepEqual(command.log.lines, ['one', 'two']);
    assert.deepEqual([command.exit, command.elapsed, command.plugin], [0, 40, 'git']);
  });

  it('takes an event once, however often it is told', () => {
    const once = play(WHOLE);
    const twice = play([...WHOLE.slice(0, 9), ...WHOLE]);
    assert.equal(twice.seq, once.seq);
    assert.equal(twice.lines, once.lines);
    assert.deepEqual(tally(twice), tally(once));
    assert.equal(twice.version, once.version);
  });

  it('is the same in any portions', () => {
    for (let cut = 0; cut <= WHOLE.length; cut += 1) {
      const state = play(WHOLE.slice(cut), play(WHOLE.slice(0, cut)));
      assert.deepEqual(tally(state), tally(play(WHOLE)), `cut at ${cut}`);
      assert.deepEqual(state.commands.get(0).log.lines, ['one', 'two']);
    }
  });

  it('names the failed cases of the last attempt', () => {
    const [failure] = failures(play(WHOLE));
    assert.equal(failure.file.path, 'b');
    assert.deepEqual(
      failure.cases.map((one) => one.name),
      ['test_x'],
    );
  });

  it('falls back to what the result itself says', () => {
    const state = play(
      stream(
        ['job:file:start', 0, 'a', 0, 1],
        ['job:file:done', 0, 'a', 1, done('crashed', { failures: [bad('t')], stderr_tail: 'Killed' })],
      ),
    );
    assert.deepEqual(
      failures(state).map(({ cases, stderr }) => [cases.length, stderr]),
      [[1, 'Killed']],
    );
  });

  it('calls a file flaky that passes after it failed', () => {
    const state = play(
      stream(
        ['job:file:start', 0, 'a', 0, 1, 'd1'],
        ['job:file:done', 0, 'a', 1, done('failed'), 'd1'],
        ['job:file:start', 1, 'a', 0, 2, 'd2'],
        ['job:file:done', 1, 'a', 2, done('passed'), 'd2'],
      ),
    );
    assert.equal(state.files.get('a').outcome, 'flaky');
    assert.equal(failures(state).length, 0);
  });

  it('does not let an older attempt overrule a newer one', () => {
    const state = play(
      stream(
        ['job:file:start', 0, 'a', 0, 1, 'd1'],
        ['job:file:start', 1, 'a', 0, 2, 'd2'],
        ['job:file:done', 0, 'a', 1, done('failed'), 'd1'],
      ),
    );
    assert.equal(state.files.get('a').state, 'running');
  });

  it('keeps the home drone’s phases when a helper prepares too', () => {
    const state = play(
      stream(
        ['job:phase', 'prepare', 'start', null, 1, 'home'],
        ['job:phase', 'prepare', 'done', 0, 2, 'home'],
        ['job:phase', 'prepare', 'start', null, 3, 'helper'],
      ),
    );
    assert.deepEqual([state.phases.prepare.done, state.phases.prepare.drone], [2, 'home']);
  });

  it('begins anew when the whole job is tried again, and keeps its log', () => {
    const state = play(stream(['job:files', ['a']], ['job:cmd:start', 0, 'x'], ['job:retry', { attempt: 2, at: 9, reason: 'failed' }]));
    assert.equal(state.files.size, 0);
    assert.equal(state.commands.size, 1);
  });

  it('gives output without a number to the command that runs', () => {
    const state = play(stream(['job:cmd:start', 4, 'make'], ['job:stderr', 'careful\n']));
    assert.deepEqual(state.commands.get(4).log.lines, ['careful']);
    assert.ok(state.commands.get(4).log.isError(0));
  });

  it('lets events pass that it does not know', () => {
    const state = play(stream(['job:from-the-future', 1, 2], ['job:tested', 0]));
    assert.equal(state.tested, 0);
    assert.equal(state.seq, 2);
  });
});

describe('the lists', () => {
  it('keep what a row does not repeat', () => {
    const state = emptyLists();
    lists(state, { type: 'jobs:changed', args: [{ id: 'j', state: 'queued', project: 'a/b' }] });
    lists(state, { type: 'jobs:changed', args: [{ id: 'j', state: 'running' }] });
    assert.deepEqual(state.jobs.get('j'), { id: 'j', state: 'running', project: 'a/b' });
    assert.equal(state.version, 2);
  });

  it('know who left', () => {
    const state = emptyLists();
    lists(state, { type: 'drone:joined', args: [{ id: 'd', connected: true, active: 2 }] });
    lists(state, { type: 'drone:left', args: [{ id: 'd' }, 'grace ended'] });
    assert.deepEqual(state.drones.get('d'), { id: 'd', connected: false, active: 0, left: 'grace ended' });
    lists(state, { type: 'drone:left', args: ['stranger'] });
    assert.equal(state.drones.size, 1);
  });
});
