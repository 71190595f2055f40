// A failure's message for people: what of it is expected and what is actual. Pure. How two logs differ: differ.js.

import { strip } from './ansi.js';

/** What frameworks set before a line of their message (pytest's `E`), then the sign of a difference. */
const SIGNED = /^(?:E(?=\s))?\s{0,8}([-+?])(?=\s|\S)/;
const HUNK = /^(?:E\s+)?@@.*@@/;
const RULE = /^\s*(?:E\s+)?(?:-{3,}|\+{3,})/;
const EXPECTED = /^(?:E\s|#)?\s*(?:expected|wanted|want|right|should be)\b[^:=]{0,20}[:=]\s*(?=\S)/i;
const ACTUAL = /^(?:E\s|#)?\s*(?:actual|received|got|found|left|but was|was)\b[^:=]{0,20}[:=]\s*(?=\S)/i;

/**
 * A message by lines: `[{ kind, text, mark }]`, kind `plain`, `minus` (expected), `plus` (actual), `hint` or `hunk`; `mark` is the
 * part `[from, to]` of the text in which an expected line differs from its actual one.
 */
export function readable(message) {
  const lines = stripAll(message).split('\n');
  const signs = lines.map((line) => (RULE.test(line) ? null : (SIGNED.exec(line)?.[1] ?? null)));
  // A list has dashes too; a difference has both signs, or says that it is one.
  if ((signs.includes('+') && signs.includes('-')) || lines.some((line) => HUNK.test(line))) {
    const kinds = { '+': 'plus', '-': 'minus', '?': 'hint' };
    return lines.map((text, i) => ({ kind: HUNK.test(text) ? 'hunk' : (kinds[signs[i]] ?? 'plain'), text, mark: null }));
  }
  const shown = lines.map((text) => ({ kind: EXPECTED.test(text) ? 'minus' : ACTUAL.test(text) ? 'plus' : 'plain', text, mark: null }));
  for (let i = 0; i + 1 < shown.length; i += 1) pair(shown[i], shown[i + 1]);
  // One of them alone is no difference.
  const both = shown.some(({ kind }) => kind === 'minus') && shown.some(({ kind }) => kind === 'plus');
  return both ? shown : shown.map((line) => ({ ...line, kind: 'plain', mark: null }));
}

const stripAll = (text) => text.split('\n').map(strip).join('\n');

/** Marks in what an expected and an actual line beside each other differ. */
function pair(one, other) {
  if (one.kind === other.kind || one.kind === 'plain' || other.kind === 'plain') return;
  const values = [one, other].map(({ kind, text }) => (kind === 'minus' ? EXPECTED : ACTUAL).exec(text)?.[0].length ?? 0);
  const [a, b] = [one.text.slice(values[0]), other.text.slice(values[1])];
  let from = 0;
  while (from < a.length && from < b.length && a[from] === b[from]) from += 1;
  let same = 0;
  while (same < a.length - from && same < b.length - from && a[a.length - 1 - same] === b[b.length - 1 - same]) same += 1;
  one.mark = [values[0] + from, values[0] + a.length - same];
  other.mark = [values[1] + from, values[1] + b.length - same];
}
