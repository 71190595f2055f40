// Runs files of node:test for the drone: in a process that is there before its file is known, and without the second
// process that `node --test` would start for it.
//
// This is the main script and a reporter at once. It knows node:test's events, and frames as `worker.py` has them; it
// must not know slots or time limits. The drone writes it as `skep_node.mjs` and runs it as
// `node --test-reporter=spec … --test-reporter=skep_node.mjs … ARGS skep_node.mjs`; read `drone/src/runner/warm.rs` for
// its other end.

import { writeSync } from "node:fs";
import Module from "node:module";
import { connect } from "node:net";
import { relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";

const CONTROL = 1, JSON_BODY = 8, ERROR = 64; // flags
const STREAM = 1, STOP = 2; // bits of the stream byte
// The most characters of a message; the drone keeps less of it still.
const MESSAGE_LIMIT = 64 * 1024;

// How to serve: `socket`; `keep`: this process runs file after file. Nothing where a test starts node with our arguments.
const spec = process.env.SKEP_WARM && JSON.parse(process.env.SKEP_WARM);
delete process.env.SKEP_WARM;
delete process.env.RR_RELAY;
process.execArgv = process.execArgv.filter((word) => !word.startsWith("--test-reporter"));

/** The file that runs: what is known of its tests so far. */
let current = null;

// ---- frames

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit += 1) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
  return byte;
});

function crc32(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = TABLE[(sum ^ byte) & 255] ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
}

class Relay {
  constructor(socket) {
    this.socket = socket;
    this.fd = socket._handle.fd;
    this.buffer = Buffer.alloc(0);
  }

  say(context, value, bits = 0) {
    this.send(JSON_BODY, context, JSON.stringify(value), bits);
  }

  // At once: what is left to the event loop is lost when the process exits.
  send(flags, context, body, bits = 0) {
    const payload = Buffer.from(context + body);
    const head = Buffer.alloc(16);
    head[0] = 0x14;
    head[1] = flags;
    head.writeUInt32LE(payload.length, 2);
    head.writeUInt32LE(crc32(head.subarray(0, 6)), 6);
    head[10] = bits;
    head.writeUInt32LE(Buffer.byteLength(context), 12);
    const frame = Buffer.concat([head, payload]);
    try {
      for (let at = 0; at < frame.length; ) at += writeSync(this.fd, frame, at);
    } catch {
      current = null; // The drone has gone.
      process.exit(1);
    }
  }

  /** The whole frames that `data` completes: `stop`, or a body. */
  *receive(data) {
    this.buffer = Buffer.concat([this.buffer, data]);
    while (this.buffer.length >= 12) {
      const [words, flags] = this.buffer;
      if (this.buffer.readUInt32LE(6) !== crc32(this.buffer.subarray(0, 6))) {
        throw new Error(`broken frame: ${this.buffer.subarray(0, 200)}`);
      }
      const start = (words & 15) * 4;
      const end = start + this.buffer.readUInt32LE(2);
      if (this.buffer.length < end) return;
      const context = start > 12 ? this.buffer.readUInt32LE(12) : 0;
      const body = this.buffer.subarray(start + context, end).toString();
      const isControl = (flags & CONTROL) !== 0;
      const isStop = (this.buffer[10] & STOP) !== 0 || (isControl && body.includes('"stop"'));
      this.buffer = this.buffer.subarray(end);
      if (isStop || !isControl) yield isStop ? "stop" : body;
    }
  }
}

// ---- the file

class File {
  constructor(path, relay) {
    this.path = path;
    this.relay = relay;
    // By nesting: the names of the tests that are open, and what has been told below each.
    this.names = [];
    this.below = [];
    this.hasFailed = false;
    this.fault = "";
    // Of a process that runs more than one: tests of the file itself that have begun and not ended.
    this.open = 0;
    this.isLoaded = false;
  }

  on(type, data) {
    if (type === "test:start") {
      this.names[data.nesting] = data.name;
      this.below[data.nesting + 1] = { any: false, bad: false };
    } else if (type === "test:pass" || type === "test:fail") {
      this.point(type === "test:pass", data);
    }
    if (data.nesting === 0 && type === "test:enqueue") this.open += 1;
    if (data.nesting === 0 && (type === "test:pass" || type === "test:fail")) this.open -= 1;
  }

  // A test that others are part of is no case, unless it is bad by itself.
  point(isGood, data) {
    const { nesting, name, details = {} } = data;
    let outcome = isGood ? "passed" : "failed";
    if (data.skip !== undefined && data.skip !== false) outcome = "skipped";
    else if (data.todo !== undefined && data.todo !== false) outcome = isGood ? "xpassed" : "xfailed";
    const isBad = outcome === "failed";
    const below = this.below[nesting + 1] ?? { any: false, bad: false };
    this.below[nesting + 1] = undefined;
    const own = (this.below[nesting] ??= { any: false, bad: false });
    own.any = true;
    own.bad ||= isBad || below.bad;
    this.hasFailed ||= isBad;
    if (below.any && (!isBad || below.bad)) return;
    const found = { name: [...this.names.slice(0, nesting), name].join(" > "), outcome, duration: details.duration_ms };
    const reason = [data.skip, data.todo].find((said) => typeof said === "string" && said !== "");
    if (isBad) found.message = cut(describe(details.error));
    else if (reason) found.message = reason;
    if (data.file) found.file = local(data.file);
    if (data.line) found.line = data.line;
    this.relay.say("case", found, STREAM);
  }

  /** Tells what node's own command would make of the exit code. */
  done(code) {
    if (code !== 0 && !this.hasFailed) {
      const message = cut(this.fault || `its process ended with exit code ${code}, though no test had failed`);
      this.relay.say("case", { name: "(the file as a whole)", outcome: "errored", message }, STREAM);
    }
    const exit = code !== 0 || this.hasFailed ? 1 : 0;
    this.relay.say("done", { exit });
    return exit;
  }
}

function describe(error) {
  const cause = error?.cause ?? error;
  return typeof cause === "string" ? cause : inspect(cause);
}

function local(file) {
  const path = file.startsWith("file://") ? decodeURIComponent(new URL(file).pathname) : file;
  const below = relative(process.cwd(), path);
  return below.startsWith("..") ? path : below;
}

function cut(text) {
  if (text.length <= MESSAGE_LIMIT) return text;
  const half = MESSAGE_LIMIT / 2;
  return `${text.slice(0, half)}\n[… ${text.length - 2 * half} characters left out …]\n${text.slice(-half)}`;
}

// ---- the process

/** The reporter: node calls it when the first test or hook is declared. */
export default async function* skep(events) {
  listening();
  for await (const { type, data } of events) {
    if (current && data) {
      current.on(type, data);
      if (spec.keep) settled();
    }
    yield "";
  }
}

let listening = () => {};
let settled = () => {};

/** Runs the file as the main script; its results are told when the process exits. */
function runOnly(path) {
  process.argv.splice(1, process.argv.length, resolve(path));
  Module.runMain();
}

/** Runs one file of many: it has ended when it is loaded and all its tests have. */
function runOneOf(path) {
  const file = current;
  return new Promise((end) => {
    let turn = null;
    settled = () => {
      clearImmediate(turn);
      // By the next turn all events of this one are here.
      turn = setImmediate(() => file.isLoaded && file.open === 0 && end());
    };
    const loaded = (error) => {
      if (error) {
        file.fault = inspect(error);
        process.stderr.write(`${file.fault}\n`);
      }
      file.isLoaded = true;
      settled();
    };
    import(pathToFileURL(resolve(path))).then(() => loaded(), loaded);
  }).then(async () => {
    settled = () => {};
    // What it has printed is out before it is done.
    await Promise.all([process.stdout, process.stderr].map((stream) => new Promise((done) => stream.write("", done))));
    file.done(file.fault ? 1 : 0);
    current = null;
  });
}

async function serve() {
  if (spec.keep) {
    // The reporters are to be there before the first file's tests.
    const { before } = await import("node:test");
    const isListening = new Promise((done) => (listening = done));
    before(() => {});
    await isListening;
  }
  const socket = connect(spec.socket);
  await new Promise((done, failed) => socket.once("connect", done).once("error", failed));
  // Writes wait for the drone.
  socket._handle.setBlocking?.(true);
  const relay = new Relay(socket);
  const seen = new Set();
  relay.send(CONTROL | JSON_BODY, "", JSON.stringify({ pid: process.pid }));
  process.on("uncaughtExceptionMonitor", (error) => {
    if (current) current.fault ||= inspect(error);
  });
  process.on("exit", (code) => {
    // A process that was to run more files just ends: the next one would come here otherwise.
    if (current && !spec.keep) process.exitCode = current.done(code);
  });
  const leave = () => {
    current = null; // Nobody is told.
    process.exit(1);
  };
  socket.on("error", leave).on("close", leave);
  socket.on("data", (data) => {
    for (const body of relay.receive(data)) {
      if (body === "stop") process.exit(0);
      const work = JSON.parse(body);
      if (work.cases) {
        relay.send(ERROR, "", "node is given whole files: leave out `split`");
      } else if (seen.has(work.file)) {
        // What is loaded is not loaded again: only another process can run it.
        relay.send(CONTROL, "", "", STOP);
      } else {
        seen.add(work.file);
        Object.assign(process.env, work.env);
        current = new File(work.file, relay);
        if (spec.keep) {
          runOneOf(work.file);
        } else {
          // The process ends when the file has nothing left to do.
          socket.pause();
          socket.unref();
          runOnly(work.file);
        }
      }
    }
  });
}

// Not awaited: node loads this as its reporter only when it has been loaded as the main script.
if (spec) serve();
