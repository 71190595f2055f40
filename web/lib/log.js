// The output of one command as lines. Append only; pieces may end anywhere. Pure.
// Kept as bare strings, because a job may have a million of them; only what is in sight is ever turned into elements.

import { after, PLAIN } from './ansi.js';

/** The most characters of one line that are kept; the rest is in the raw log. */
export const LINE_LIMIT = 20_000;

/** Lines of both streams in the order in which they began. */
export class Log {
  lines = [];
  /** Numbers of the lines that came on stderr. */
  #errors = new Set();
  /** Style at the beginning of a line, where it is not plain. */
  #styles = new Map();
  #open = { out: -1, err: -1 };
  #style = { out: PLAIN, err: PLAIN };

  /** Takes the next piece of a stream, `out` or `err`. */
  append(stream, text) {
    let from = 0;
    while (from < text.length) {
      const end = text.indexOf('\n', from);
      const part = text.slice(from, end < 0 ? text.length : end);
      let at = this.#open[stream];
      if (at < 0) {
        at = this.lines.push('') - 1;
        this.#open[stream] = at;
        if (stream === 'err') this.#errors.add(at);
        if (this.#style[stream] !== PLAIN) this.#styles.set(at, this.#style[stream]);
      }
      if (this.lines[at].length <= LINE_LIMIT) {
        const whole = this.lines[at] + part;
        this.lines[at] = whole.length > LINE_LIMIT ? `${whole.slice(0, LINE_LIMIT)} … the rest of this line is in the raw log` : whole;
      }
      if (end < 0) return;
      this.#style[stream] = after(this.lines[at], this.#styles.get(at) ?? PLAIN);
      this.#open[stream] = -1;
      from = end + 1;
    }
  }

  /** How many lines. */
  get length() {
    return this.lines.length;
  }

  /** True if the line came on stderr. */
  isError(index) {
    return this.#errors.has(index);
  }

  /** What the line begins with. */
  style(index) {
    return this.#styles.get(index) ?? PLAIN;
  }
}
