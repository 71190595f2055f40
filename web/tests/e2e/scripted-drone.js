// A drone whose every word a script decides, over the real protocol: for output, results and sizes that no suite makes on demand.
// It prepares each job that it is given, lists the files that the script names and runs them as the script says.

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';

/** The client's side of a WebSocket, as much of it as a drone needs. */
class Socket {
  #socket;
  #rest = Buffer.alloc(0);
  #parts = [];

  static async open(url, protocol, take) {
    const asked = request(url, {
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': randomBytes(16).toString('base64'),
        'sec-websocket-protocol': protocol,
      },
    });
    asked.end();
    const [response, socket, head] = await Promise.race([
      once(asked, 'upgrade'),
      once(asked, 'response').then(([refused]) => Promise.reject(new Error(`${url}: ${refused.statusCode}`))),
    ]);
    if (response.headers['sec-websocket-protocol'] !== protocol) throw new Error('another protocol');
    const own = new Socket();
    own.#socket = socket;
    const read = (data) => own.#read(data, take);
    socket.on('data', read);
    socket.on('error', () => {});
    read(head);
    return own;
  }

  /** Sends a text; waits while the other side does not read. */
  async send(text) {
    await this.#frame(1, Buffer.from(text));
  }

  close() {
    this.#frame(8, Buffer.from([0x03, 0xe9]));
    this.#socket.end();
  }

  async #frame(kind, body) {
    const size = body.length;
    const head = Buffer.alloc(size < 126 ? 2 : size < 65_536 ? 4 : 10);
    head[0] = 0x80 | kind;
    head[1] = 0x80 | (size < 126 ? size : size < 65_536 ? 126 : 127);
    if (head.length === 4) head.writeUInt16BE(size, 2);
    if (head.length === 10) head.writeBigUInt64BE(BigInt(size), 2);
    // A mask of zeros leaves the text as it is.
    if (!this.#socket.write(Buffer.concat([head, Buffer.alloc(4), body]))) await once(this.#socket, 'drain');
  }

  #read(data, take) {
    this.#rest = Buffer.concat([this.#rest, data]);
    for (;;) {
      const head = this.#rest;
      if (head.length < 2) return;
      const short = head[1] & 0x7f;
      const start = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (head.length < start) return;
      const size = short < 126 ? short : short === 126 ? head.readUInt16BE(2) : Number(head.readBigUInt64BE(2));
      if (head.length < start + size) return;
      const body = head.subarray(start, start + size);
      this.#rest = head.subarray(start + size);
      const kind = head[0] & 0x0f;
      if (kind === 9) this.#frame(10, body);
      if (kind > 2) continue;
      this.#parts.push(body);
      if (head[0] & 0x80) take(Buffer.concat(this.#parts.splice(0)).toString());
    }
  }
}

/** Bytes of messages that go in one frame. */
const FRAME = 500_000;

export class ScriptedDrone {
  #socket;
  #n = 0;
  #queue = [];
  #waiting = [];
  #wake = () => {};
  #alive;
  name = '';

  /** Joins a queen at `url` with `capacity` slots. */
  static async join(url, name, capacity) {
    const own = new ScriptedDrone();
    own.name = name;
    own.#socket = await Socket.open(`${url}/api/v1/drone`, 'skep.drone.v1', (text) => own.#take(text));
    const hello = { id: name, incarnation: 'one', name, version: 'test', protocols: [1], first: 1 };
    await own.#socket.send(JSON.stringify({ type: 'drone:hello', args: [hello] }));
    await own.expect('drone:query-info');
    const info = {
      speed: 100,
      capacity,
      plugins: ['git', 'shell'],
      runners: ['command'],
      labels: [],
      platform: 'linux-x86_64',
      version: 'test',
    };
    await own.say('drone:info', info);
    own.#alive = setInterval(() => own.#socket.send('{"type":"drone:keep-alive","args":[]}'), 15_000);
    own.#alive.unref();
    return own;
  }

  leave() {
    clearInterval(this.#alive);
    this.#socket.close();
  }

  #take(text) {
    const messages = JSON.parse(text);
    for (const message of [messages].flat()) if (message.type !== 'ack') this.#queue.push(message);
    this.#wake();
  }

  /** The args of the next message of a type; others before it are dropped. */
  async expect(type) {
    for (;;) {
      while (this.#queue.length) {
        const message = this.#queue.shift();
        if (message.type === type) return message.args;
      }
      await new Promise((wake) => {
        this.#wake = () => wake(null);
      });
    }
  }

  /** Says something under the next number, at once. */
  async say(type, ...args) {
    this.hold(type, ...args);
    await this.flush();
  }

  /** Says it with the next `flush`. */
  hold(type, ...args) {
    this.#n += 1;
    this.#waiting.push(JSON.stringify({ type, args, n: this.#n }));
  }

  async flush() {
    let frame = [];
    let size = 0;
    for (const text of [...this.#waiting.splice(0), null]) {
      if (frame.length && (text == null || size + text.length > FRAME)) {
        await this.#socket.send(`[${frame.join(',')}]`);
        frame = [];
        size = 0;
      }
      if (text == null) return;
      frame.push(text);
      size += text.length;
    }
  }

  /** Takes the next job and prepares it, up to the list of its files; answers its id. */
  async take(paths, fetched = 'fetched\n') {
    const [data] = await this.expect('queue:new');
    const job = data.job_id;
    this.hold('job:queued', job, Date.now());
    this.hold('job:started', job, Date.now());
    const phase = (name, edge, code) => this.hold('job:phase', job, name, edge, code, Date.now());
    phase('environment', 'start', null);
    phase('environment', 'done', 0);
    phase('prepare', 'start', null);
    this.hold('job:cmd:start', job, 0, 'git fetch');
    this.hold('job:cmd:stdout', job, 0, fetched);
    this.hold('job:cmd:done', job, 0, 0, 5);
    phase('prepare', 'done', 0);
    phase('test', 'start', null);
    for (let i = 0; i < paths.length; i += 1000) {
      const more = i + 1000 < paths.length;
      this.hold('job:files', job, paths.slice(i, i + 1000), more, more ? null : { runner: 'command' });
    }
    await this.flush();
    return job;
  }

  /** The next files that the queen hands out. */
  async given() {
    const [, , files] = await this.expect('job:run');
    return files;
  }

  /** A file's beginning. */
  begin(job, { num, path, attempt }, worker = 0) {
    this.hold('job:file:start', job, num, path, worker, attempt);
    this.hold('job:cmd:start', job, num, `run ${path}`);
  }

  /** A file's end. */
  end(job, { num, path, attempt }, outcome, { cases = [], duration = 12, ...more } = {}) {
    const code = outcome === 'passed' || outcome === 'empty' ? 0 : 1;
    this.hold('job:cmd:done', job, num, code, Math.round(duration));
    if (cases.length) this.hold('job:cases', job, num, attempt, cases);
    this.hold('job:file:done', job, num, path, attempt, { outcome, exit: code, duration, ...more });
  }

  /** Waits until the queen wants the job cleaned up, does so and says the last word. */
  async finish(job) {
    await this.expect('job:phase');
    this.hold('job:phase', job, 'cleanup', 'start', null, Date.now());
    this.hold('job:phase', job, 'cleanup', 'done', 0, Date.now());
    await this.say('job:done', job, Date.now());
  }
}
