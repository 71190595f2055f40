import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { classes, PLAIN, parse, strip } from '../lib/ansi.js';
import { LINE_LIMIT, Log, PAGE, Pages } from '../lib/log.js';
import { FEW, HEAD, LINE, Rows, rangeOf, rangeText, Sums } from '../lib/rows.js';

const texts = (line, style) => parse(line, style).spans.map((span) => [span.text, classes(span.style)]);

describe('ANSI', () => {
  it('becomes spans with classes', () => {
    assert.deepEqual(texts('a \x1b[1;31mred\x1b[0m b'), [
      ['a ', ''],
      ['red', 'fg-1 bold'],
      [' b', ''],
    ]);
    assert.deepEqual(texts('\x1b[92mok\x1b[39m.'), [
      ['ok', 'fg-10'],
      ['.', ''],
    ]);
    assert.deepEqual(texts('\x1b[7mx'), [['x', 'fg-ground bg-ink']]);
  });

  it('brings many colours to those of the theme', () => {
    assert.deepEqual(texts('\x1b[38;5;196mx'), [['x', 'fg-9']]);
    assert.deepEqual(texts('\x1b[38;2;0;0;150mx'), [['x', 'fg-4']]);
    assert.deepEqual(texts('\x1b[48;5;3mx'), [['x', 'bg-3']]);
    assert.deepEqual(texts('\x1b[38;5;999mx'), [['x', '']]);
  });

  it('goes on over the end of a line', () => {
    const { style } = parse('\x1b[32mgreen');
    assert.deepEqual(texts('still', style), [['still', 'fg-2']]);
  });

  it('leaves every other escape out', () => {
    assert.equal(strip('\x1b]0;title\x07\x1b[2K\x1b[1Ga\x1b(Bb\x08\x07\tc'), 'ab\tc');
    assert.equal(strip('cut \x1b['), 'cut ');
  });

  it('shows the last state of a line that was written over', () => {
    assert.equal(strip('10%\r50%\r100%'), '100%');
    assert.equal(strip('plain\r'), 'plain');
  });

  it('never loses or makes up text', () => {
    // Any text without control characters comes out as it went in.
    let seed = 7;
    const next = (n) => (seed = (seed * 48271) % 2147483647) % n;
    for (let round = 0; round < 200; round += 1) {
      const parts = Array.from({ length: next(6) }, () => 'ab[m;<&é'.repeat(next(4)));
      const line = parts.join(`\x1b[${next(110)}m`);
      assert.equal(
        parse(line)
          .spans.map((span) => span.text)
          .join(''),
        parts.join(''),
      );
    }
  });

  it('costs nothing for plain text', () => {
    assert.equal(parse('plain').style, PLAIN);
    assert.equal(parse('\x1b[31m\x1b[0m').style, PLAIN);
  });
});

const linesOf = (log) => Array.from({ length: log.length }, (_, index) => log.text(index));
/** Numbers below `n`, the same in each run. */
function chance(seed) {
  let state = seed;
  return (n) => {
    state = (state * 48271) % 2147483647;
    return state % n;
  };
}

describe('a log', () => {
  it('is the same however it is cut', () => {
    const text = 'first\n\nsecond \x1b[31mred\nstill red\x1b[0m\nlast';
    for (let cut = 0; cut <= text.length; cut += 1) {
      const log = new Log(0);
      log.append('out', text.slice(0, cut));
      log.append('out', text.slice(cut));
      assert.deepEqual(linesOf(log), text.split('\n'), `cut at ${cut}`);
      assert.equal(classes(log.line(3).style), 'fg-1');
      assert.equal(log.line(4).style, PLAIN);
    }
  });

  it('never mixes two streams in one line', () => {
    const log = new Log(0);
    log.append('out', 'half');
    log.append('err', 'oh \x1b[35mno\n');
    log.append('out', ' and half\nplain\n');
    log.append('err', 'still\n');
    assert.deepEqual(linesOf(log), ['half and half', 'oh \x1b[35mno', 'plain', 'still']);
    assert.deepEqual(
      [0, 1, 2, 3].map((index) => [log.line(index).error, classes(log.line(index).style)]),
      [
        [false, ''],
        [true, ''],
        [false, ''],
        [true, 'fg-5'],
      ],
    );
  });

  it('cuts a line that is too long and says so', () => {
    const log = new Log(0);
    for (let i = 0; i < 5; i += 1) log.append('out', 'x'.repeat(LINE_LIMIT / 2));
    log.append('out', '\nnext\n');
    assert.match(log.text(0), /raw log$/);
    assert.ok(log.text(0).length < LINE_LIMIT + 100);
    assert.equal(log.text(1), 'next');
  });

  it('keeps a colour from page to page', () => {
    const log = new Log(0);
    log.append('out', `\x1b[32mgreen\n${'x\n'.repeat(2 * PAGE)}`);
    assert.equal(classes(log.line(2 * PAGE).style), 'fg-2');
  });

  it('takes a million lines and holds no more text than it may', () => {
    const pages = new Pages({ limit: 1 << 20 });
    const log = new Log(0, pages);
    const piece = 'a line of output\n'.repeat(1000);
    for (let i = 0; i < 1000; i += 1) log.append('out', piece);
    assert.equal(log.length, 1_000_000);
    assert.ok(pages.bytes <= 1 << 20, String(pages.bytes));
    assert.equal(log.text(999_999), 'a line of output');
    assert.equal(log.line(0), undefined);
  });
});

/** A queen's side of one command: takes events, tells of them whole or in outline, answers questions when it is told to. */
function server() {
  const lines = [];
  const open = { out: 0, err: 0 };
  const own = {
    seq: 0,
    asked: /** @type {(() => void)[]} */ ([]),
    /** The most lines of an answer. */
    most: 2000,
    count: 0,
    write(stream, text) {
      own.seq += 1;
      for (const [i, part] of text.split('\n').entries()) {
        if (i > 0) open[stream] = 0;
        const last = i === text.split('\n').length - 1;
        if (last && part === '') break;
        if (!open[stream]) open[stream] = lines.push({ stream, text: '' });
        lines[open[stream] - 1].text += part;
      }
      return { stream, text, seq: own.seq };
    },
    outline: () => [lines.length, open.out, open.err],
    /** Reads now, answers later. */
    ask: (_num, from, count, signal) =>
      new Promise((resolve, reject) => {
        own.count += 1;
        const read = lines
          .slice(from - 1, from - 1 + Math.min(count, own.most))
          .map(({ stream, text }) => ({ stream: `std${stream}`, text }));
        const answer = { lines: read, seq: own.seq };
        own.asked.push(() => resolve(answer));
        signal.addEventListener('abort', () => reject(new Error('aborted')));
      }),
    texts: () => lines.map(({ text }) => text),
  };
  return own;
}
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('text that is not here', () => {
  it('is asked for once, by pages, those in sight first', async () => {
    const asked = [];
    const ask = (num, from, count) => {
      asked.push([num, from, count]);
      return new Promise(() => {});
    };
    const pages = new Pages({ ask });
    const log = new Log(7, pages);
    log.outline(5000);
    const ranges = [
      { log, from: 600, to: 640 },
      { log, from: 400, to: 840 },
    ];
    pages.want(ranges);
    pages.want(ranges);
    assert.deepEqual(asked, [
      [7, 601, PAGE],
      [7, 401, PAGE],
      [7, 801, PAGE],
    ]);
  });

  it('gives way when one has moved on', () => {
    const stopped = [];
    const pages = new Pages({
      ask: (_num, from, _count, signal) => {
        signal.addEventListener('abort', () => stopped.push(from));
        return new Promise(() => {});
      },
    });
    const log = new Log(0, pages);
    log.outline(1_000_000);
    for (let i = 0; i < 4; i += 1) pages.want([{ log, from: i * PAGE, to: i * PAGE + 10 }]);
    assert.deepEqual(stopped, []);
    pages.want([{ log, from: 500_000, to: 500_010 }]);
    assert.deepEqual(stopped, [1]);
  });

  it('comes when it is there, with its colours', async () => {
    let changes = 0;
    const line = (text) => ({ stream: 'stdout', text });
    const ask = async () => ({ lines: [line('one'), line('two\x1b[0m'), line('three')], style: { out: '\x1b[31m' }, seq: 3 });
    const pages = new Pages({ ask, changed: () => (changes += 1) });
    const log = new Log(0, pages);
    log.outline(3);
    assert.equal(log.line(1), undefined);
    pages.want([{ log, from: 0, to: 3 }]);
    await settled();
    assert.deepEqual(linesOf(log), ['one', 'two\x1b[0m', 'three']);
    assert.deepEqual([classes(log.line(1).style), log.line(2).style, changes], ['fg-1', PLAIN, 1]);
  });

  it('is not asked for again by itself when it cannot be had', async () => {
    let asked = 0;
    const ask = async () => {
      asked += 1;
      throw new Error('gone');
    };
    const pages = new Pages({ ask });
    const log = new Log(0, pages);
    log.outline(3);
    const want = () => pages.want([{ log, from: 0, to: 3 }]);
    want();
    await settled();
    want();
    assert.deepEqual([asked, pages.problem?.message], [1, 'gone']);
    pages.retry();
    want();
    assert.equal(asked, 2);
  });

  it('is joined exactly to what comes live, whatever is on its way', async () => {
    for (let seed = 1; seed <= 100; seed += 1) {
      const next = chance(seed);
      const queen = server();
      queen.most = next(2) ? 2000 : 30;
      const pages = new Pages({ ask: queen.ask, limit: next(3) ? 1 << 20 : 4000 });
      const log = new Log(0, pages);
      const write = () => queen.write(next(3) ? 'out' : 'err', ['a', 'bc\n', '\n', 'd\ne', '.', `${'x\n'.repeat(next(300))}y`][next(6)]);
      const outline = () => {
        log.outline(...queen.outline());
        pages.seq = queen.seq;
      };
      for (let i = next(40); i > 0; i -= 1) write();
      outline();
      const wire = [];
      const look = () => {
        const from = next(log.length + 1);
        pages.want([{ log, from, to: Math.min(log.length, from + next(60)) }]);
      };
      for (let step = 0; step < 120; step += 1) {
        const what = next(10);
        if (what < 4) wire.push(write());
        else if (what < 7 && wire.length) {
          const { stream, text, seq } = wire.shift();
          pages.seq = seq;
          log.append(stream, text, seq);
        } else if (what === 7) look();
        else if (what === 8 && queen.asked.length) {
          queen.asked.splice(next(queen.asked.length), 1)[0]();
          await settled();
        } else if (step % 50 === 49) {
          // The connection was lost: what was on its way is told in outline.
          wire.length = 0;
          outline();
        }
      }
      for (const { stream, text, seq } of wire) {
        pages.seq = seq;
        log.append(stream, text, seq);
      }
      const texts = queen.texts();
      assert.equal(log.length, texts.length, `seed ${seed}`);
      for (const [index, text] of texts.entries()) {
        for (let tries = 0; log.text(index) === undefined; tries += 1) {
          assert.ok(tries < 20, `seed ${seed}: line ${index} never comes`);
          pages.want([{ log, from: index, to: index + 1 }]);
          for (const answer of queen.asked.splice(0)) answer();
          await settled();
        }
        assert.equal(log.text(index), text, `seed ${seed}, line ${index}`);
      }
      assert.equal(pages.problem, null);
    }
  });

  it('does not ask for what it has heard from the beginning', () => {
    const queen = server();
    const pages = new Pages({ ask: queen.ask });
    const log = new Log(0, pages);
    for (let i = 0; i < 1000; i += 1) {
      const { stream, text, seq } = queen.write('out', 'some text\n');
      log.append(stream, text, seq);
    }
    pages.want([{ log, from: 0, to: 1000 }]);
    assert.equal(queen.count, 0);
  });
});

describe('sums', () => {
  it('are what adding up says, whatever is changed', () => {
    const next = chance(5);
    const sums = new Sums();
    const plain = [];
    for (let round = 0; round < 600; round += 1) {
      if (next(2) || !plain.length) {
        const value = next(4);
        plain.push(value);
        sums.push(value);
      } else {
        const at = next(plain.length);
        plain[at] = next(5);
        sums.set(at, plain[at]);
      }
      const total = plain.reduce((a, b) => a + b, 0);
      assert.equal(sums.total, total);
      if (!total) continue;
      const place = next(total);
      const at = sums.find(place);
      assert.ok(sums.before(at) <= place && place < sums.before(at + 1), `place ${place} of ${plain}`);
    }
  });
});

describe('rows', () => {
  /** @returns {any[]} */
  const commands = (...sizes) => sizes.map(([lines, exit = 0, path], at) => ({ num: at, at, exit, path, log: { length: lines } }));
  const at = (rows) => (place) => [rows.at(place).command.num, rows.at(place).line];
  /** Places of so many headers and lines. */
  const size = (heads, lines) => heads * HEAD + lines * LINE;
  const few = () => commands([3], [2]);

  it('count a header and, unfolded, the lines of each command', () => {
    const all = few();
    const rows = new Rows();
    rows.take(all, []);
    assert.equal(rows.total, size(2, 5));
    rows.toggle(all[0], false);
    assert.equal(rows.total, size(2, 2));
    const items = [];
    for (let item = rows.at(0); item; item = rows.at(item.to)) items.push([item.command.num, item.line, item.from]);
    assert.deepEqual(items, [
      [0, -1, 0],
      [1, -1, size(1, 0)],
      [1, 0, size(2, 0)],
      [1, 1, size(2, 1)],
    ]);
    // Every place of it is it.
    assert.deepEqual(rows.at(size(2, 1) - 1), rows.at(size(2, 0)));
    assert.equal(rows.at(rows.total), null);
  });

  it('are found again by command and line', () => {
    const all = commands(...Array.from({ length: 40 }, (_, num) => [num % 5, num === 7 ? 1 : 0]));
    const rows = new Rows();
    rows.take(all, []);
    assert.ok(!rows.isOpen(all[3]) && rows.isOpen(all[7]), 'of many commands, those that failed are unfolded');
    assert.deepEqual(at(rows)(rows.of(all[7], 1)), [7, 1]);
    assert.deepEqual(at(rows)(rows.of(all[4], 3)), [4, -1], 'a line of a folded command is at its header');
  });

  it('grow with their commands', () => {
    const all = few();
    const rows = new Rows();
    rows.take(all, []);
    all[0].log.length = 10;
    all.push({ num: 9, at: 2, exit: null, log: { length: 4 } });
    rows.take(all, [all[0]]);
    assert.equal(rows.total, size(3, 16));
    assert.deepEqual(at(rows)(rows.of(all[2], 0)), [9, 0]);
  });

  it('fold what ended well as soon as there are many', () => {
    const all = commands(...Array.from({ length: FEW }, () => [5]));
    const rows = new Rows();
    rows.take(all, []);
    assert.equal(rows.total, size(FEW, 5 * FEW));
    all.push({ num: 99, at: FEW, exit: null, log: { length: 5 } });
    rows.take(all, [all[FEW]]);
    assert.equal(rows.total, size(FEW + 1, 5));
    rows.toggleAll(true);
    assert.equal(rows.total, size(FEW + 1, 5 * FEW + 5));
  });

  it('can be those of failures alone, or of commands of a name', () => {
    const all = commands([1], [1, 2, 'tests/Stack.t'], [1, null]);
    const rows = new Rows();
    rows.take(all, []);
    rows.filter({ badOnly: true, text: '' });
    assert.deepEqual([rows.total, rows.at(0).command.num, rows.of(all[0], 0)], [size(1, 1), 1, null]);
    all[2].exit = 1;
    rows.take(all, [all[2]]);
    assert.equal(rows.total, size(2, 2));
    rows.filter({ badOnly: false, text: 'STACK' });
    assert.equal(rows.total, size(1, 1));
  });

  it('have ranges in addresses', () => {
    assert.deepEqual(rangeOf('12-20'), { from: 12, to: 20 });
    assert.deepEqual(rangeOf('20-12'), { from: 12, to: 20 });
    assert.deepEqual(rangeOf('5'), { from: 5, to: 5 });
    for (const none of ['', undefined, '0', '-3', 'x', '1-', '1e3', '99999999999']) assert.equal(rangeOf(none), null, none);
    assert.deepEqual([rangeText({ from: 5, to: 5 }), rangeText({ from: 12, to: 20 })], ['5', '12-20']);
  });
});
