// What a browser must not load before a view stands. How many bytes it loads: queen/tests/api/page.rs.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

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

describe('the first load', () => {
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
