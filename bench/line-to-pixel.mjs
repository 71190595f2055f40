// From a write on a drone to the pixel, line by line. See bench/README.md.

import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { until, World } from '../web/tests/e2e/programs.js';

const { values } = parseArgs({
  options: {
    rate: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '20' },
    rounds: { type: 'string', default: '3' },
  },
});
const RATE = Number(values.rate);
const SECONDS = Number(values.seconds);
const part = (list, p) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * p))];

// Writes each line by itself, with the time at which it does, as evenly as a clock allows.
const WRITER = `
import sys, time
began = time.time()
for i in range(${RATE * SECONDS}):
    rest = began + i / ${RATE} - time.time()
    if rest > 0:
        time.sleep(rest)
    sys.stdout.write(f"at {time.time() * 1000:.1f} line {i}\\n")
    sys.stdout.flush()
print("ok 1 - written")
print("1..1")
`;

const world = new World();

/** Notes of each line that comes into sight when the frame that has it is done, and what it says of its writing. */
async function watch(page) {
  await page.evaluate(() => {
    window.ages = [];
    let fresh = [];
    const seen = new Set();
    const painted = new MessageChannel();
    painted.port1.onmessage = () => {
      const now = performance.timeOrigin + performance.now();
      for (const at of fresh.splice(0)) window.ages.push(now - at);
    };
    const look = () => {
      for (const { textContent } of document.querySelectorAll('.line .text')) {
        const found = /^at ([\d.]+) line (\d+)/.exec(textContent);
        if (!found || seen.has(found[2])) continue;
        seen.add(found[2]);
        fresh.push(Number(found[1]));
      }
      // A message comes after the frame, in which what was changed is drawn.
      if (fresh.length) requestAnimationFrame(() => painted.port2.postMessage(0));
    };
    new MutationObserver(look).observe(document.querySelector('.spacer'), { childList: true, subtree: true, characterData: true });
  });
}

try {
  await world.queen();
  world.drone('bench', 1);
  const page = await world.page();
  for (let round = 1; round <= Number(values.rounds); round += 1) {
    const gate = world.path(`gate-${round}`);
    const folder = world.suite(`line-${round}`, { 'a.t': `while [ ! -e '${gate}' ]; do sleep 0.05; done; exec python3 -c '${WRITER}'` });
    const run = world.run(folder);
    const job = await until('the job to run', async () => (await world.api('/jobs?state=running&limit=1')).jobs[0]);
    await page.goto(`${world.url}/jobs/${job.id}?tab=log`);
    await page.locator('.line.head').filter({ hasText: 'tests/a.t' }).waitFor();
    await watch(page);
    writeFileSync(gate, '');
    if ((await run.ended) !== 0) throw new Error(run.out());
    const ages = await page.evaluate(() => window.ages);
    const shown = `${ages.length} of ${RATE * SECONDS} lines were in sight`;
    console.log(`round ${round}: median ${part(ages, 0.5).toFixed(1)} ms, 99 % ${part(ages, 0.99).toFixed(1)} ms, longest ${Math.max(...ages).toFixed(1)} ms; ${shown}`);
  }
} catch (error) {
  console.error(error, world.said());
  process.exitCode = 1;
} finally {
  await world.stop();
}
