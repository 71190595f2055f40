import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { emptyJob, emptyLists, failures, filesOf, job, lists, NOTED, sumOf } from '../lib/store.js';

/** Numbers events as the queen does. */
function stream(...events) {
  return events.map(([type, ...args], i) => ({ seq: i + 1, at: 1000 + i, type, args: ['j1', ...args] }));
}
const play = (events, state = emptyJob()) => events.reduce(job, state);
const linesOf = (log) => Array.from({ length: log.length }, (_, index) => log.text(index));
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
    assert.deepEqual(state.tally, { total: 3, done: 3, running: 0, bad: 1, passed: 1, flaky: 0, empty: 1, notrun: 0 });
    assert.equal(state.phases.prepare.code, 0);
    assert.equal(state.plan.runner, 'pytest');
    assert.equal(state.tested, 1);
    assert.equal(state.ended, 22);
    assert.deepEqual([...state.drones], ['d1', 'd2']);
    assert.deepEqual(state.cases, { failed: 1, passed: 1 });
  });

  it('shows the command that may be shown', () => {
    const command = play(WHOLE).commands.get(0);
    assert.equal(command.command, 'git fetch');
    assert.deepEqual(linesOf(command.log), ['one', 'two']);
    assert.deepEqual([command.exit, command.elapsed, command.plugin], [0, 40, 'git']);
  });

  it('has the parts of a file in its place', () => {
    const list = [
      ['job:files', ['a', 'long', 'z'], null, { runner: 'pytest' }],
      ['job:split', 'long', ['long#1of2', 'long#2of2']],
    ];
    const state = play(
      stream(...list, ['job:file:start', 1, 'long#1of2', 0, 1, 'd1'], ['job:file:done', 1, 'long#1of2', 1, done('failed'), 'd1']),
    );
    assert.deepEqual([...state.files.keys()], ['a', 'long#1of2', 'long#2of2', 'z']);
    assert.deepEqual([state.tally.total, state.tally.done, state.tally.bad], [4, 1, 1]);
    // Of a job that is tried again the list comes once more.
    const again = stream(...list, ...list)
      .slice(2)
      .map((event, i) => ({ ...event, seq: state.seq + 1 + i }));
    assert.deepEqual([...play(again, state).files.keys()], ['a', 'long#1of2', 'long#2of2', 'z']);
    assert.equal(state.tally.total, 4);
  });

  it('knows which files are under quarantine, their parts too', () => {
    const list = [
      ['job:files', ['a', 'long'], null, { runner: 'pytest' }],
      ['job:quarantine', ['long']],
      ['job:split', 'long', ['long#1of2', 'long#2of2']],
    ];
    const marked = (state) => [...state.files.values()].filter((file) => file.quarantined).map((file) => file.path);
    assert.deepEqual(marked(play(stream(...list))), ['long#1of2', 'long#2of2']);
    const state = emptyJob();
    filesOf(state, [{ path: 'a', state: 'done', outcome: 'passed', num: 1, attempt: 1, quarantined: true }]);
    assert.deepEqual(marked(state), ['a'], 'also of a job whose events are gone');
  });

  it('takes an event once, however often it is told', () => {
    const once = play(WHOLE);
    const twice = play([...WHOLE.slice(0, 9), ...WHOLE]);
    assert.equal(twice.seq, once.seq);
    assert.equal(twice.lines, once.lines);
    assert.deepEqual(twice.tally, once.tally);
    assert.equal(twice.version, once.version);
  });

  it('is the same in any portions', () => {
    for (let cut = 0; cut <= WHOLE.length; cut += 1) {
      const state = play(WHOLE.slice(cut), play(WHOLE.slice(0, cut)));
      assert.deepEqual(state.tally, play(WHOLE).tally, `cut at ${cut}`);
      assert.deepEqual(linesOf(state.commands.get(0).log), ['one', 'two']);
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
    assert.deepEqual(linesOf(state.commands.get(4).log), ['careful']);
    assert.ok(state.commands.get(4).log.line(0).error);
    for (const [type, ...args] of [
      ['job:cmd:start', 5, 'sub'],
      ['job:cmd:done', 5, 0, 1],
      ['job:stdout', 'of make\n'],
      ['job:cmd:done', 4, 0, 1],
      ['job:stdout', 'of nobody\n'],
    ]) {
      job(state, { seq: state.seq + 1, at: 1, type, args: ['j1', ...args] });
    }
    assert.deepEqual(linesOf(state.commands.get(4).log), ['careful', 'of make']);
    assert.deepEqual(linesOf(state.commands.get(0).log), ['of nobody']);
  });

  it('is the same when its past is told in outline', () => {
    const whole = play(WHOLE);
    const outline = WHOLE.flatMap((event) => {
      if (event.type === 'job:cmd:stdout') return event.seq === 6 ? [{ ...event, type: 'job:lines', args: ['j1', [[0, 2, 0, 0]]] }] : [];
      if (event.type !== 'job:cases') return [event];
      const [id, num, attempt, cases] = event.args;
      return [{ ...event, args: [id, num, attempt, cases.filter(({ outcome }) => outcome === 'failed'), { passed: 1, failed: 1 }] }];
    });
    const state = play(outline);
    assert.deepEqual([state.lines, state.commands.get(0).log.length, state.cases], [2, 2, whole.cases]);
    assert.deepEqual(state.files, whole.files);
    assert.deepEqual(state.tally, whole.tally);
    assert.equal(state.commands.get(0).log.text(0), undefined);
  });

  it('keeps its sums as counting anew would have them', () => {
    const outcomes = ['passed', 'failed', 'empty', 'crashed', 'timedout', 'notrun'];
    let seed = 3;
    const next = (n) => {
      seed = (seed * 48271) % 2147483647;
      return seed % n;
    };
    const state = emptyJob();
    for (let seq = 1; seq < 2000; seq += 1) {
      const path = `f${next(9)}`;
      const attempt = 1 + next(3);
      const start = ['job:file:start', seq, path, next(4), attempt, 'd'];
      const [type, ...args] = next(2) ? start : ['job:file:done', seq - 1, path, attempt, done(outcomes[next(6)]), 'd'];
      job(state, { seq, at: seq, type, args: ['j1', ...args] });
      const files = [...state.files.values()];
      const of = (outcome) => files.filter((file) => file.state === 'done' && file.outcome === outcome).length;
      assert.deepEqual(state.tally, {
        total: files.length,
        done: files.filter((file) => file.state === 'done').length,
        running: state.running.size,
        bad: state.bad.size,
        passed: of('passed'),
        flaky: of('flaky'),
        empty: of('empty'),
        notrun: of('notrun'),
      });
      assert.equal(state.bad.size, of('failed') + of('crashed') + of('timedout'));
      assert.equal(state.running.size, files.filter((file) => file.state === 'running').length);
    }
  });

  it('counts the cases of a file that is tried again once', () => {
    const state = play(
      stream(
        ['job:file:start', 1, 'a', 0, 1],
        ['job:cases', 1, 1, [bad('x')], { failed: 1, passed: 6 }],
        ['job:file:start', 2, 'a', 0, 2],
        ['job:cases', 2, 2, [], { passed: 4 }],
        ['job:cases', 2, 2, [], { passed: 3 }],
        ['job:cases', 1, 1, [bad('y')], { failed: 1 }],
      ),
    );
    assert.deepEqual([sumOf(state.cases), state.cases.passed, state.files.get('a').failures.length], [7, 7, 0]);
  });

  it('knows which slot ran what, and when', () => {
    const events = [
      { seq: 1, at: 100, type: 'job:file:start', args: ['j', 1, 'a', 0, 1, 'd1'] },
      { seq: 2, at: 150, type: 'job:file:done', args: ['j', 1, 'a', 1, done('passed', { duration: 40 }), 'd1'] },
      // Told all at once, after the connection was away.
      { seq: 3, at: 900, type: 'job:file:start', args: ['j', 2, 'b', 0, 1, 'd1'] },
      { seq: 4, at: 900, type: 'job:file:done', args: ['j', 2, 'b', 1, done('failed', { duration: 300 }), 'd1'] },
      { seq: 5, at: 901, type: 'job:file:start', args: ['j', 3, 'b', 1, 2, 'd1'] },
    ];
    const state = play(events);
    const lanes = [...state.lanes.values()].map(({ drone, worker, runs }) => [
      drone,
      worker,
      runs.map(({ path, from, to }) => [path, from, to]),
    ]);
    assert.deepEqual(lanes, [
      [
        'd1',
        0,
        [
          ['a', 100, 150],
          ['b', 600, 900],
        ],
      ],
      ['d1', 1, [['b', 901, null]]],
    ]);
    assert.equal(state.longest, 300);
  });

  it('keeps the newest of what plugins and pools say, and how much there was', () => {
    const state = play(stream(...Array.from({ length: 3 * NOTED }, (_, i) => ['pool:worker', i, 'created', { pid: i }])));
    assert.equal(state.pool.count, 3 * NOTED);
    assert.ok(state.pool.list.length <= 2 * NOTED);
    assert.deepEqual(state.pool.list.at(-1), {
      at: 1000 + 3 * NOTED - 1,
      worker: 3 * NOTED - 1,
      event: 'created',
      detail: { pid: 3 * NOTED - 1 },
    });
  });

  it('says which commands have changed', () => {
    const state = play(WHOLE);
    assert.deepEqual(
      [...state.changed].map(({ num }) => num),
      [0, 1, 2],
    );
    state.changed.clear();
    job(state, { seq: 99, at: 1, type: 'job:cmd:stdout', args: ['j1', 2, 'x'] });
    assert.deepEqual([...state.changed], [state.commands.get(2)]);
    assert.deepEqual([state.version, state.told], [WHOLE.length + 1, WHOLE.length - 2]);
    assert.equal(state.order[state.commands.get(2).at], state.commands.get(2));
  });

  it('can be read from its files when its events are kept no longer', () => {
    const state = emptyJob();
    filesOf(state, [
      { path: 'a', state: 'done', outcome: 'passed', num: 1, attempt: 1, drone: 'd', duration: 5, cases: { passed: 2 }, failures: [] },
      {
        path: 'b',
        state: 'done',
        outcome: 'failed',
        num: 2,
        attempt: 1,
        drone: 'd',
        duration: 5,
        cases: { failed: 1 },
        failures: [bad('t')],
      },
      { path: 'c', state: 'pending', outcome: null },
    ]);
    assert.deepEqual([state.tally.total, state.tally.done, state.tally.bad, state.cases], [3, 2, 1, { passed: 2, failed: 1 }]);
    assert.deepEqual(
      failures(state).map(({ file, cases }) => [file.path, cases[0].name]),
      [['b', 't']],
    );
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
