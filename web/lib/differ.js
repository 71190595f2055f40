// How two logs differ: which lines are alike, the fewest changes from one to the other, what is shown of them. Pure.

import { strip } from './ansi.js';

/** Two lines are alike if they differ in escapes alone and, with `numbers: false`, in digits (times, addresses, pids). */
export function key(line, { numbers = true } = {}) {
  const text = strip(line);
  return numbers ? text : text.replace(/0x[0-9a-f]+|\d+/gi, '0');
}

/**
 * How `b` differs from `a`, both lists of texts: `[{ sign: ' ' | '-' | '+', a, b }]` with indices (-1: not there); null if it
 * takes more than `limit` changes. Costs about the length times the number of changes.
 * @returns {any}
 */
export function differ(a, b, limit = 1000) {
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail += 1;
  const middle = shortest(a.slice(head, a.length - tail), b.slice(head, b.length - tail), limit);
  if (!middle) return null;
  const same = (from, to, shift) => Array.from({ length: to - from }, (_, i) => ({ sign: ' ', a: from + i, b: from + i + shift }));
  return [
    ...same(0, head, 0),
    ...middle.map(({ sign, a: x, b: y }) => ({ sign, a: x < 0 ? -1 : x + head, b: y < 0 ? -1 : y + head })),
    ...same(a.length - tail, a.length, b.length - a.length),
  ];
}

// The shortest edit script, by the greedy search along diagonals (Myers 1986); each step's frontier is kept for the way back.
function shortest(a, b, limit) {
  const most = Math.min(limit, a.length + b.length);
  const offset = most + 1;
  const reach = new Int32Array(2 * most + 3);
  const steps = [];
  for (let d = 0; d <= most; d += 1) {
    steps.push(reach.slice(offset - d - 1, offset + d + 2));
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && reach[offset + k - 1] < reach[offset + k + 1]);
      let x = down ? reach[offset + k + 1] : reach[offset + k - 1] + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x += 1;
      reach[offset + k] = x;
      if (x >= a.length && x - k >= b.length) return wayBack(a, b, steps);
    }
  }
  return null;
}

function wayBack(a, b, steps) {
  const found = [];
  let x = a.length;
  let y = b.length;
  for (let d = steps.length - 1; d >= 0; d -= 1) {
    const before = (k) => steps[d][k + d + 1];
    const k = x - y;
    const down = k === -d || (k !== d && before(k - 1) < before(k + 1));
    const from = down ? k + 1 : k - 1;
    const [px, py] = d === 0 ? [0, 0] : [before(from), before(from) - from];
    while (x > px && y > py) {
      x -= 1;
      y -= 1;
      found.push({ sign: ' ', a: x, b: y });
    }
    if (d === 0) break;
    if (down) found.push({ sign: '+', a: -1, b: py });
    else found.push({ sign: '-', a: px, b: -1 });
    x = px;
    y = py;
  }
  return found.reverse();
}

/** A difference with `around` lines beside each change; what is left out stands as `{ sign: '…', count }`. */
export function hunks(changes, around = 3) {
  const near = new Uint8Array(changes.length);
  changes.forEach(({ sign }, i) => {
    if (sign !== ' ') near.fill(1, Math.max(0, i - around), i + around + 1);
  });
  const shown = [];
  changes.forEach((change, i) => {
    if (near[i]) shown.push(change);
    else if (shown.at(-1)?.sign === '…') shown.at(-1).count += 1;
    else shown.push({ sign: '…', count: 1 });
  });
  return shown;
}
