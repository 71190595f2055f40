// The real programs, for tests in a browser: a queen, drones, runs of folders, and a browser. Each with folders of its own
// that are gone at the end; nothing outlives `stop()`.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');
const target = resolve(root, process.env.CARGO_TARGET_DIR ?? 'target');
/** Measurements want other programs than tests. */
const binaries = process.env.SKEP_BIN ? resolve(root, process.env.SKEP_BIN) : join(target, 'debug');
export const screenshots = join(target, 'screenshots');

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  server.close();
  await once(server, 'close');
  return port;
}

/** Everything of one test run. */
export class World {
  #home = mkdtempSync(join(tmpdir(), 'skep-e2e-'));
  #children = new Set();
  #logs = [];
  /** @type {import('playwright-core').Browser | null} */
  browser = null;
  port = 0;
  url = '';

  /** A program of this project: `{ child, out(), ended }`. */
  program(name, args, { cwd = root, env = {} } = {}) {
    const binary = join(binaries, name);
    if (!existsSync(binary)) throw new Error(`${binary} is not there: cargo build --workspace --bins`);
    const own = { PATH: process.env.PATH, HOME: this.#home, LANG: 'C.UTF-8', ...env };
    const child = spawn(binary, args, { cwd, env: own, stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    const take = (piece) => (text += piece);
    child.stdout.setEncoding('utf8').on('data', take);
    child.stderr.setEncoding('utf8').on('data', take);
    const ended = once(child, 'exit').then(([code, signal]) => {
      this.#children.delete(child);
      return code ?? signal;
    });
    this.#children.add(child);
    const program = { child, ended, out: () => text, name: `${name} ${args[0]}` };
    this.#logs.push(program);
    return program;
  }

  /** A queen that answers; the same data and address if it was there before. */
  async queen(env = {}) {
    this.port ||= await freePort();
    this.url = `http://127.0.0.1:${this.port}`;
    const args = ['serve', '--listen', `127.0.0.1:${this.port}`, '--data', join(this.#home, 'queen')];
    const queen = this.program('queen', args, { env });
    await until(`the queen to answer; it said:\n${queen.out()}`, async () => (await fetch(`${this.url}/readyz`).catch(() => null))?.ok);
    return queen;
  }

  /** Ends a queen as an admin would. */
  async end(queen) {
    queen.child.kill('SIGTERM');
    await queen.ended;
  }

  /** Puts finished jobs into the store of a queen that is down. */
  async fill(jobs, { projects = 60, files = 5000 } = {}) {
    const store = join(this.#home, 'queen', 'skep.db');
    const args = [join(root, 'web/tests/e2e/fill.py'), store, String(jobs), '--projects', String(projects), '--files', String(files)];
    const child = spawn('python3', args, { stdio: ['ignore', 'inherit', 'pipe'] });
    let trouble = '';
    child.stderr.setEncoding('utf8').on('data', (text) => {
      trouble += text;
    });
    const [code] = await once(child, 'exit');
    if (code !== 0) throw new Error(`fill.py ended with ${code}: ${trouble}`);
  }

  /** A way to the queen that can be cut: `{ url, cut(), mend(), close() }`. */
  async way() {
    const sockets = new Set();
    let whole = true;
    const server = createServer((near) => {
      if (!whole) {
        near.destroy();
        return;
      }
      const far = connect(this.port, '127.0.0.1');
      for (const [one, other] of [
        [near, far],
        [far, near],
      ]) {
        sockets.add(one);
        one.pipe(other);
        one.on('error', () => other.destroy());
        one.on('close', () => {
          sockets.delete(one);
          other.destroy();
        });
      }
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    const cut = () => {
      whole = false;
      for (const socket of sockets) socket.destroy();
    };
    const mend = () => {
      whole = true;
    };
    const close = () => {
      cut();
      server.close();
    };
    return { url: `http://127.0.0.1:${port}`, cut, mend, close };
  }

  drone(name, capacity, more = []) {
    return this.program('drone', [
      'start',
      '--queen',
      this.url,
      '--name',
      name,
      '--capacity',
      String(capacity),
      '--speed',
      '100',
      '--data',
      join(this.#home, name),
      '--grace',
      '1',
      ...more,
    ]);
  }

  /** `queen run` of a folder on the queen that runs. */
  run(folder, args = [], env = {}) {
    return this.program('queen', ['run', '--plain', ...args, folder], { env: { QUEEN_URL: this.url, ...env } });
  }

  /** A suite of shell scripts made for one test: `{ 'name.t': 'script' }`. */
  suite(name, files) {
    const folder = join(this.#home, 'suites', name);
    mkdirSync(join(folder, 'tests'), { recursive: true });
    writeFileSync(join(folder, 'skep.toml'), '[test]\nfiles = "tests/*.t"\norder = "listed"\n');
    for (const [file, script] of Object.entries(files)) {
      writeFileSync(join(folder, 'tests', file), `#!/bin/sh\n${script}`);
      chmodSync(join(folder, 'tests', file), 0o755);
    }
    return folder;
  }

  /** A path that tests of the suite can wait for. */
  path(name) {
    return join(this.#home, name);
  }

  async page(options = {}) {
    if (!CHROMIUM) throw new Error('no Chromium: scripts/setup installs one');
    this.browser ??= await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
    const context = await this.browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
    /** With what went wrong in the page. */
    const page = Object.assign(await context.newPage(), { problems: /** @type {string[]} */ ([]) });
    page.setDefaultTimeout(20_000);
    page.on('pageerror', (error) => page.problems.push(String(error)));
    page.on('dialog', (dialog) => {
      page.problems.push(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    page.on('console', (message) => {
      if (message.type() === 'error' && !/Failed to load resource|WebSocket connection/.test(message.text()))
        page.problems.push(message.text());
    });
    return page;
  }

  /** A token of a role, made on the queen's machine. */
  async token(role, name = role) {
    const made = this.program('queen', ['token', 'add', '--role', role, '--data', join(this.#home, 'queen'), '--json', name]);
    if ((await made.ended) !== 0) throw new Error(made.out());
    return JSON.parse(made.out());
  }

  async api(path, body) {
    const response = await fetch(
      `${this.url}/api/v1${path}`,
      body && { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) },
    );
    const answer = await response.json();
    if (!response.ok) throw new Error(`${path}: ${response.status} ${answer.error}`);
    return answer;
  }

  /** What every program said, for a test that failed. */
  said() {
    return this.#logs.map(({ name, out }) => `--- ${name}\n${out().slice(-3000)}`).join('\n');
  }

  async stop() {
    await this.browser?.close();
    const ends = [...this.#children].map((child) => once(child, 'exit'));
    for (const child of this.#children) child.kill('SIGTERM');
    const late = new AbortController();
    await Promise.race([Promise.all(ends), wait(15_000, null, { signal: late.signal }).catch(() => {})]);
    late.abort();
    for (const child of this.#children) child.kill('SIGKILL');
    rmSync(this.#home, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** Waits until `check` answers something true; it looks at another program, so it has to ask again and again. */
export async function until(what, check, limit = 20_000) {
  const end = Date.now() + limit;
  for (;;) {
    const answer = await check();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`waited ${limit / 1000} s for ${what}`);
    await wait(50);
  }
}
