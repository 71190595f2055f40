// The output of a job's commands: how many lines each has, and the text of those that are looked at or have just come.
// Pure. A job may have millions of lines, so text is held in pages, the least recently used of which give way; a page that
// is wanted and not held is asked for. What comes live is joined to it exactly, by the events' numbers. Read next: rows.js.

import { after, PLAIN } from './ansi.js';

/** Lines of a page. */
export const PAGE = 200;
/** The most characters of one line that are kept; the rest is in the raw log. */
export const LINE_LIMIT = 20_000;
/** What is held of all commands together, about, in bytes. */
export const HELD = 24 << 20;
/** Pages that are asked for at a time. */
const AT_ONCE = 4;
/** What a line costs beside its text. */
const LINE_COST = 48;
const CUT = ' … the rest of this line is in the raw log';

/** One command's lines, of both streams, in the order in which they began. Indices count from 0. */
export class Log {
  /** How many lines. */
  length = 0;
  #pages;
  /** The line that is still open on each stream, or -1, and the style that it began with. */
  #open = { out: -1, err: -1 };
  #began = { out: PLAIN, err: PLAIN };
  /** What the next line of each stream begins with. */
  #style = { out: PLAIN, err: PLAIN };

  constructor(num, pages = new Pages()) {
    this.num = num;
    this.#pages = pages;
  }

  /** Takes the next piece of a stream, `out` or `err`, from the event `seq`. Pieces may end anywhere. */
  append(stream, text, seq = 0) {
    let from = 0;
    while (from < text.length) {
      const end = text.indexOf('\n', from);
      const part = from === 0 && end < 0 ? text : text.slice(from, end < 0 ? text.length : end);
      let index = this.#open[stream];
      if (index < 0) {
        index = this.#open[stream] = this.length;
        this.length += 1;
        this.#began[stream] = this.#style[stream];
        this.#pages.begin(this, index, stream === 'err', part, this.#style);
      } else this.#pages.go(this, index, part, seq);
      if (end < 0) return;
      const whole = this.text(index);
      if (whole != null) this.#style[stream] = after(whole, this.#began[stream]);
      this.#open[stream] = -1;
      from = end + 1;
    }
  }

  /** Takes what is said in outline: how many lines there are, and which (from 1; 0: none) is open on each stream. */
  outline(length, out = 0, err = 0) {
    // What was open may have gone on, and what is open has begun, without a word of their text.
    for (const index of [this.#open.out, this.#open.err, out - 1, err - 1]) if (index >= 0) this.#pages.forget(this, index);
    this.#pages.outdate(this);
    this.length = Math.max(this.length, length);
    this.#open = { out: out - 1, err: err - 1 };
  }

  /** The text of a line, or undefined while it is not here. */
  text(index) {
    return this.#pages.peek(this, index)?.texts[index % PAGE];
  }

  /**
   * A line for show: `{ text, error, style }`, where `style` is what it begins with; undefined while it is not here.
   * @returns {any}
   */
  line(index) {
    const page = this.#pages.peek(this, index);
    const slot = index % PAGE;
    return page?.texts[slot] === undefined ? undefined : { text: page.texts[slot], error: page.errors[slot], style: page.style(slot) };
  }

  /** True if more may come to a line. */
  isOpen(index) {
    return index === this.#open.out || index === this.#open.err;
  }

  /** The page that was read whole tells how its streams go on, if nothing comes after it. */
  goOn(page, number) {
    if (number !== Math.floor((this.length - 1) / PAGE)) return;
    const end = page.end();
    for (const stream of ['out', 'err']) {
      const open = this.#open[stream];
      if (open < 0) this.#style[stream] = end[stream];
      else if (open >= number * PAGE) this.#began[stream] = page.style(open % PAGE);
    }
  }
}

/** Text of up to `PAGE` neighbouring lines; what is not here is undefined. */
class Page {
  texts = [];
  errors = [];
  bytes = 0;
  /** Up to which event the text of a line was read, where that is ahead of what was heard. */
  ahead = new Map();
  #start;
  #styles = [];

  constructor(start) {
    this.#start = { ...start };
  }

  set(slot, error, text) {
    if (this.texts[slot] === undefined) this.bytes += LINE_COST;
    else this.bytes -= this.texts[slot].length;
    this.texts[slot] = cut(text);
    this.errors[slot] = error;
    this.bytes += this.texts[slot].length;
    // What a line begins with hangs on those before it.
    if (this.#styles.length > slot + 1) this.#styles.length = slot + 1;
  }

  drop(slot) {
    if (this.texts[slot] === undefined) return;
    this.bytes -= this.texts[slot].length + LINE_COST;
    this.texts[slot] = undefined;
    this.#styles.length = Math.min(this.#styles.length, slot);
  }

  begins(start) {
    this.#start = start;
    this.#styles = [];
  }

  style(slot) {
    while (this.#styles.length <= slot) {
      const at = this.#styles.length;
      const before = this.#styles[at - 1];
      const state = before ? this.#after(at - 1) : this.#start;
      this.#styles.push({ ...state, own: this.errors[at] ? state.err : state.out });
    }
    return this.#styles[slot].own;
  }

  /** The styles after the last line. */
  end() {
    if (!this.texts.length) return this.#start;
    this.style(this.texts.length - 1);
    return this.#after(this.texts.length - 1);
  }

  #after(slot) {
    const { out, err, own } = this.#styles[slot];
    const text = this.texts[slot];
    const next = text === undefined ? own : after(text, own);
    return this.errors[slot] ? { out, err: next } : { out: next, err };
  }
}

const cut = (text) => (text.length > LINE_LIMIT && !text.endsWith(CUT) ? `${text.slice(0, LINE_LIMIT)}${CUT}` : text);
const PLAINS = { out: PLAIN, err: PLAIN };
const keyOf = (log, number) => `${log.num}/${number}`;

/** The text that is held, of all commands of a job. */
export class Pages {
  /** The number of the last event that was taken. */
  seq = 0;
  bytes = 0;
  /** Why the last page that was asked for did not come; nothing is asked for until `retry`. */
  problem = /** @type {Error | null} */ (null);
  #held = new Map(); // key -> Page, the least recently used first
  #asked = new Map(); // key -> { log, number, pieces, stop }
  #ask;
  #limit;
  #changed;

  /**
   * `ask(num, from, count, signal)` answers as the API's lines of a log do; `changed()` is called when text has come.
   * @param {{ ask?: ((num: number, from: number, count: number, signal: AbortSignal) => Promise<any>) | null, limit?: number,
   *   changed?: () => void }} [options]
   */
  constructor({ ask = null, limit = HELD, changed = () => {} } = {}) {
    this.#ask = ask;
    this.#limit = limit;
    this.#changed = changed;
  }

  /** Asks for the pages of lines that are looked at and not here: `[{ log, from, to }]`, those in sight first. */
  want(ranges) {
    if (!this.#ask || this.problem) return;
    const missing = new Map();
    for (const { log, from, to } of ranges) {
      const last = Math.min(to, log.length) - 1;
      for (let number = Math.floor(Math.max(0, from) / PAGE); number * PAGE <= last; number += 1) {
        if (!this.#whole(log, number, from, last)) missing.set(keyOf(log, number), { log, number });
      }
    }
    for (const [key, { stop }] of this.#asked) {
      // What nobody looks at any more gives way to what somebody does.
      if (missing.size > 0 && this.#asked.size >= AT_ONCE && !missing.has(key)) {
        this.#asked.delete(key);
        stop.abort();
      }
    }
    for (const [key, { log, number }] of missing) {
      if (this.#asked.size >= AT_ONCE) break;
      if (!this.#asked.has(key)) this.#read(key, log, number);
    }
  }

  /** Tries again what did not come. */
  retry() {
    this.problem = null;
    this.#changed();
  }

  /** Asks for nothing more. */
  close() {
    this.#ask = null;
    for (const { stop } of this.#asked.values()) stop.abort();
    this.#asked.clear();
  }

  peek(log, index) {
    return this.#held.get(keyOf(log, Math.floor(index / PAGE)));
  }

  /** A line begins. */
  begin(log, index, error, text, styles) {
    const number = Math.floor(index / PAGE);
    const page = this.#page(log, number, index % PAGE === 0 ? styles : PLAINS);
    this.#change(page, () => page.set(index % PAGE, error, text));
  }

  /** A line goes on. */
  go(log, index, text, seq) {
    const number = Math.floor(index / PAGE);
    const slot = index % PAGE;
    const page = this.#held.get(keyOf(log, number));
    const known = page?.texts[slot];
    if (known === undefined) this.#asked.get(keyOf(log, number))?.pieces.push({ index, text, seq });
    else if (seq > (page.ahead.get(slot) ?? -1) && known.length <= LINE_LIMIT)
      this.#change(page, () => page.set(slot, page.errors[slot], known + text));
  }

  /** The text of a line is not what it is any more. */
  forget(log, index) {
    const page = this.peek(log, index);
    if (page) this.#change(page, () => page.drop(index % PAGE));
  }

  /** Answers on their way cannot be joined to what is told in outline: they will be asked for again. */
  outdate(log) {
    for (const asked of this.#asked.values()) if (asked.log === log) asked.late = true;
  }

  #whole(log, number, from, last) {
    const key = keyOf(log, number);
    const page = this.#held.get(key);
    if (!page) return false;
    this.#held.delete(key);
    this.#held.set(key, page);
    const first = number * PAGE;
    for (let index = Math.max(first, from); index <= Math.min(first + PAGE - 1, last); index += 1) {
      if (page.texts[index - first] === undefined) return false;
    }
    return true;
  }

  #read(key, log, number) {
    // An answer may end early, after some megabytes; the rest is asked for then.
    const from = this.#missing(key);
    const asked = { log, number, from, pieces: [], late: false, stop: new AbortController() };
    this.#asked.set(key, asked);
    this.#ask(log.num, number * PAGE + from + 1, PAGE - from, asked.stop.signal).then(
      (answer) => {
        if (this.#asked.get(key) !== asked) return;
        this.#asked.delete(key);
        if (!asked.late) this.#take(asked, answer);
        this.#changed();
      },
      (problem) => {
        if (this.#asked.get(key) !== asked) return;
        this.#asked.delete(key);
        this.problem = problem;
        this.#changed();
      },
    );
  }

  /** The first slot of a page whose text is not here. */
  #missing(key) {
    const texts = this.#held.get(key)?.texts ?? [];
    const first = Array.from(texts).indexOf(undefined);
    return first < 0 ? texts.length % PAGE : first;
  }

  #take({ log, number, from, pieces }, { lines, style, seq }) {
    const first = number * PAGE;
    const page = this.#page(log, number, PLAINS);
    this.#change(page, () => {
      if (from === 0) page.begins({ out: after(style?.out ?? '', PLAIN), err: after(style?.err ?? '', PLAIN) });
      lines.forEach(({ stream, text }, i) => {
        const slot = from + i;
        const index = first + slot;
        // What was heard from its beginning is as good, and what was not heard of yet will be.
        if (index >= log.length || page.texts[slot] !== undefined) return;
        const later = pieces.filter((piece) => piece.index === index && piece.seq > seq).map((piece) => piece.text);
        page.set(slot, stream === 'stderr', text + later.join(''));
        if (log.isOpen(index) && seq > this.seq) page.ahead.set(slot, seq);
      });
    });
    if (!lines.length) {
      this.problem = new Error('The queen has fewer lines of this log than it told of. Load the page anew.');
    }
    log.goOn(page, number);
  }

  #page(log, number, styles) {
    const key = keyOf(log, number);
    let page = this.#held.get(key);
    if (page) return page;
    page = new Page(styles);
    this.#held.set(key, page);
    return page;
  }

  #change(page, f) {
    const before = page.bytes;
    f();
    this.bytes += page.bytes - before;
    if (this.bytes <= this.#limit) return;
    for (const [key, old] of this.#held) {
      if (this.bytes <= this.#limit) return;
      if (old === page) continue;
      this.#held.delete(key);
      this.bytes -= old.bytes;
    }
  }
}
