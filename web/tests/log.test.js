import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { classes, PLAIN, parse, strip } from '../lib/ansi.js';
import { LINE_LIMIT, Log } from '../lib/log.js';
import { rowAt, rowOf, sections } from '../lib/rows.js';

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

describe('a log', () => {
  it('is the same however it is cut', () => {
    const text = 'first\n\nsecond \x1b[31mred\nstill red\x1b[0m\nlast';
    for (let cut = 0; cut <= text.length; cut += 1) {
      const log = new Log();
      log.append('out', text.slice(0, cut));
      log.append('out', text.slice(cut));
      assert.deepEqual(log.lines, text.split('\n'), `cut at ${cut}`);
      assert.equal(classes(log.style(3)), 'fg-1');
      assert.equal(log.style(4), PLAIN);
    }
  });

  it('never mixes two streams in one line', () => {
    const log = new Log();
    log.append('out', 'half');
    log.append('err', 'oh no\n');
    log.append('out', ' and half\n');
    assert.deepEqual(log.lines, ['half and half', 'oh no']);
    assert.deepEqual([log.isError(0), log.isError(1)], [false, true]);
  });

  it('cuts a line that is too long and says so', () => {
    const log = new Log();
    for (let i = 0; i < 5; i += 1) log.append('out', 'x'.repeat(LINE_LIMIT / 2));
    log.append('out', '\nnext\n');
    assert.match(log.lines[0], /raw log$/);
    assert.ok(log.lines[0].length < LINE_LIMIT + 100);
    assert.equal(log.lines[1], 'next');
  });

  it('takes a million lines', () => {
    const log = new Log();
    const piece = 'a line of output\n'.repeat(1000);
    for (let i = 0; i < 1000; i += 1) log.append('out', piece);
    assert.equal(log.length, 1_000_000);
  });
});

describe('rows', () => {
  const command = (num, lines, exit = 0) => ({ num, exit, log: { length: lines } });

  it('count a header and, unfolded, the lines of each command', () => {
    const layout = sections([command(0, 3), command(1, 2)], { toggled: new Map([[0, false]]) });
    assert.equal(layout.total, 1 + 1 + 2);
    const at = (row) => [rowAt(layout, row).section.command.num, rowAt(layout, row).line];
    assert.deepEqual([0, 1, 2, 3].map(at), [
      [0, -1],
      [1, -1],
      [1, 0],
      [1, 1],
    ]);
  });

  it('are found again by command and line', () => {
    const commands = Array.from({ length: 40 }, (_, num) => command(num, num % 5, num === 7 ? 1 : 0));
    const layout = sections(commands, {});
    assert.ok(!layout.sections[3].open && layout.sections[7].open, 'of many commands, those that failed are unfolded');
    const row = rowOf(layout, 7, 2);
    assert.deepEqual([rowAt(layout, row).section.command.num, rowAt(layout, row).line], [7, 1]);
    assert.equal(rowOf(layout, 99, 1), null);
  });

  it('can be those of failures alone', () => {
    const layout = sections([command(0, 1), command(1, 1, 2), command(2, 1, null)], { badOnly: true });
    assert.deepEqual(
      layout.sections.map(({ command: { num } }) => num),
      [1],
    );
  });
});
