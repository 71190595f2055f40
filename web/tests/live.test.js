import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Live } from '../lib/live.js';

/** A queen's side of the socket that the test speaks for. */
function world() {
  const sockets = /** @type {any[]} */ ([]);
  const timers = /** @type {any[]} */ ([]);
  const live = new Live({
    open: () => {
      const socket = { sent: /** @type {any[]} */ ([]), send: (text) => socket.sent.push(JSON.parse(text)) };
      sockets.push(socket);
      return socket;
    },
    later: (ms, f) => timers.push({ ms, f }),
    never: () => {},
    chance: () => 1,
  });
  return { live, sockets, timers, last: () => sockets.at(-1), say: (frame) => sockets.at(-1).onmessage({ data: JSON.stringify(frame) }) };
}
const event = (seq, id = 'j') => ({ seq, at: 1, type: 'job:stdout', args: [id, 'x'] });

describe('the live connection', () => {
  it('asks for what was subscribed before it was open', () => {
    const { live, last } = world();
    live.job('j', 1, () => {});
    live.topics([{ topic: 'jobs' }], () => {});
    last().onopen();
    assert.deepEqual(last().sent, [
      { type: 'subscribe', args: [{ job: 'j', from: 1, outline: true }] },
      { type: 'subscribe', args: [{ topic: 'jobs' }] },
    ]);
  });

  it('goes on after the last event that it took, with nothing twice', () => {
    const { live, last, say, timers, sockets } = world();
    const taken = [];
    live.job('j', 1, (events) => taken.push(...events.map(({ seq }) => seq)));
    last().onopen();
    say([event(1), event(2)]);
    last().onclose();
    assert.equal(live.state, 'waiting');
    timers.at(-1).f();
    last().onopen();
    assert.equal(sockets.length, 2);
    assert.deepEqual(last().sent, [{ type: 'subscribe', args: [{ job: 'j', from: 3, outline: true }] }]);
    say(event(2));
    say([event(3), event(4)]);
    assert.deepEqual(taken, [1, 2, 3, 4]);
  });

  it('subscribes again when it was too slow', () => {
    const { live, last, say } = world();
    live.job('j', 1, () => {});
    last().onopen();
    say(event(1));
    say({ type: 'lagged', args: ['j', 1] });
    assert.deepEqual(last().sent.at(-1), { type: 'subscribe', args: [{ job: 'j', from: 2, outline: true }] });
  });

  it('tells jobs apart and says when the past is told', () => {
    const { live, last, say } = world();
    const taken = { a: 0, b: 0 };
    let told = 0;
    live.job(
      'a',
      1,
      (events) => (taken.a += events.length),
      () => (told += 1),
    );
    const stop = live.job('b', 1, (events) => (taken.b += events.length));
    last().onopen();
    say([event(1, 'a'), event(1, 'b'), event(2, 'a'), { type: 'live', args: ['a', 2] }, event(3, 'a')]);
    stop();
    say(event(2, 'b'));
    assert.deepEqual([taken, told], [{ a: 3, b: 1 }, 1]);
    assert.deepEqual(last().sent.at(-1), { type: 'unsubscribe', args: [{ job: 'b', from: 0 }] });
  });

  it('waits longer each time, up to a limit, and a person may hurry it', () => {
    const { live, last, timers } = world();
    live.topics([{ topic: 'jobs' }], () => {});
    for (let i = 0; i < 9; i += 1) {
      last().onclose();
      if (i < 8) timers.at(-1).f();
    }
    assert.deepEqual(
      timers.map(({ ms }) => ms),
      [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000],
    );
    live.retry();
    assert.equal(live.state, 'connecting');
  });
});
