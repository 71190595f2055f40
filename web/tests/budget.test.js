// What a browser loads before a job's page stands, in bytes as the queen sends them (gzip, the larger of its two codings).

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const LIMIT = 60 * 1024;

/** The modules that `entry` needs before it runs, itself included. */
function closure(entry, found = new Set()) {
  if (found.has(entry)) return found;
  found.add(entry);
  const text = readFileSync(entry, 'utf8');
  // `import … from '…'`, `export … from '…'`, `import '…'`; not `import('…')`.
  for (const [, name] of text.matchAll(/(?:^|[;}\n])\s*(?:import|export)\b[^;'"()]*?["'](\.[^"']+)["']/g))
    closure(resolve(dirname(entry), name), found);
  return found;
}

const page = readFileSync(join(root, 'index.html'), 'utf8');
const linked = [...page.matchAll(/(?:href|src)="\/([^"]+)"/g)].map(([, name]) => join(root, name));
const size = (file) => gzipSync(readFileSync(file)).length;

describe('the first load', () => {
  it('of a job’s page is under 60 KiB', () => {
    const files = new Set([join(root, 'index.html'), ...linked, ...closure(join(root, 'app.js')), ...closure(join(root, 'views/job.js'))]);
    const sizes = [...files].map((file) => ({ name: relative(root, file), bytes: size(file) })).sort((a, b) => b.bytes - a.bytes);
    const total = sizes.reduce((sum, { bytes }) => sum + bytes, 0);
    const largest = sizes.map(({ name, bytes }) => `${bytes} ${name}`).join('\n');
    assert.ok(files.size > 20, 'the modules are found');
    assert.ok(total < LIMIT, `${total} bytes:\n${largest}`);
    console.log(`# the first load of a job's page: ${total} bytes in ${files.size} files`);
  });

  it('has no view but the one that is asked for, and no chart', () => {
    const files = [...closure(join(root, 'app.js'))].map((file) => relative(root, file));
    assert.deepEqual(
      files.filter((name) => name.startsWith('views/') || name.includes('uplot')),
      [],
    );
    const job = [...closure(join(root, 'views/job.js'))].map((file) => relative(root, file));
    assert.ok(!job.some((name) => name.includes('uplot')), job.join(' '));
  });
});
