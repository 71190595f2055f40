// One WebSocket for everything live. It comes back by itself, subscribes again from the event after the last one taken,
// and so hears each recorded event once and in order. The socket, timers and chance are passed in, so that tests drive it.

const PROTOCOL = 'skep.live.v1';
const FIRST_WAIT = 250;
const LONGEST_WAIT = 10_000;

export class Live {
  #jobs = new Map(); // id -> { from, take(events), live() }
  #topics = []; // what is asked for
  #takers = new Set();
  #watchers = new Set();
  #socket = /** @type {any} */ (null);
  #wait = FIRST_WAIT;
  #timer = null;
  #env;

  constructor(env = {}) {
    this.#env = {
      open: () => {
        const address = new URL('/api/v1/live', location.href);
        address.protocol = address.protocol.replace('http', 'ws');
        return new WebSocket(address, [PROTOCOL]);
      },
      later: (ms, f) => setTimeout(f, ms),
      never: (timer) => clearTimeout(timer),
      chance: Math.random,
      ...env,
    };
    /** `off`, `connecting`, `open` or `waiting` (for the next try). */
    this.state = 'off';
  }

  /** Calls `f(state)` whenever the connection changes; answers how to stop. */
  watch(f) {
    this.#watchers.add(f);
    return () => this.#watchers.delete(f);
  }

  /** Hears a job from event `from` on, the past in outline: `take(events)` in portions, `live()` when it is told.
   * Answers how to stop. */
  job(id, from, take, live = () => {}) {
    const entry = { from, take, live };
    this.#jobs.set(id, entry);
    this.#ask(id, entry);
    this.#connect();
    return () => {
      if (this.#jobs.get(id) !== entry) return;
      this.#jobs.delete(id);
      this.#say('unsubscribe', { job: id, from: 0 });
    };
  }

  /** Hears topics, `[{ topic: 'jobs' }, …]`: `take(message)` with whatever is no recorded event. Answers how to stop. */
  topics(wanted, take) {
    this.#topics.push(...wanted);
    this.#takers.add(take);
    for (const what of wanted) this.#say('subscribe', what);
    this.#connect();
    return () => {
      this.#takers.delete(take);
      this.#topics = this.#topics.filter((what) => !wanted.includes(what));
      for (const what of wanted) this.#say('unsubscribe', what);
    };
  }

  /** Tries at once, for a person who does not want to wait, or when the network came back. */
  retry() {
    if (this.state !== 'waiting') return;
    this.#env.never(this.#timer);
    this.#wait = FIRST_WAIT;
    this.#move('off');
    this.#connect();
  }

  #ask(job, { from }) {
    this.#say('subscribe', { job, from, outline: true });
  }

  #say(type, what) {
    if (this.state === 'open') this.#socket.send(JSON.stringify({ type, args: [what] }));
  }

  #move(state) {
    if (this.state === state) return;
    this.state = state;
    for (const f of this.#watchers) f(state);
  }

  #connect() {
    if (this.state !== 'off') return;
    this.#move('connecting');
    const socket = this.#env.open();
    this.#socket = socket;
    socket.onopen = () => {
      this.#wait = FIRST_WAIT;
      this.#move('open');
      for (const [id, entry] of this.#jobs) this.#ask(id, entry);
      for (const what of this.#topics) this.#say('subscribe', what);
    };
    socket.onmessage = (message) => this.#hear(message.data);
    socket.onclose = () => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      this.#move('waiting');
      const wait = this.#wait * (0.5 + this.#env.chance() / 2);
      this.#wait = Math.min(LONGEST_WAIT, this.#wait * 2);
      this.#timer = this.#env.later(wait, () => {
        this.#move('off');
        this.#connect();
      });
    };
  }

  #hear(text) {
    const frame = JSON.parse(text);
    const messages = Array.isArray(frame) ? frame : [frame];
    // Neighbouring events of one job are handed on together.
    let portion = [];
    let of = /** @type {any} */ (null);
    const flush = () => {
      if (portion.length) of?.take(portion);
      portion = [];
    };
    for (const message of messages) {
      if (message.seq !== undefined) {
        const entry = this.#jobs.get(message.args[0]);
        if (entry !== of) flush();
        of = entry;
        if (!entry || message.seq < entry.from) continue;
        entry.from = message.seq + 1;
        portion.push(message);
        continue;
      }
      flush();
      this.#control(message);
    }
    flush();
  }

  #control(message) {
    const [id] = message.args;
    const entry = this.#jobs.get(id);
    if (message.type === 'live') entry?.live();
    else if (message.type === 'lagged') {
      if (entry) this.#ask(id, entry);
    } else {
      for (const take of this.#takers) take(message);
    }
  }
}
