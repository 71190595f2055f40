// Rows of a log: which command and line stands where when some commands are folded or left out. Pure. Places count in units, of
// which a header takes more than a line.
// A sum over thousands of commands is kept as a tree, so that a command that grows costs a few steps and not all of them.

/** Few enough commands that all of them are shown unfolded. */
export const FEW = 12;

/** How many units a header and a line take. */
export const HEAD = 4;
export const LINE = 3;

/** True if the command ended badly. */
export const isBad = (command) => command.exit != null && command.exit !== 0;

/** Sums of a growing list of numbers, each change and question in a logarithm of steps. */
export class Sums {
  #values = [];
  #tree = [0];

  get length() {
    return this.#values.length;
  }

  get total() {
    return this.before(this.#values.length);
  }

  push(value) {
    this.#values.push(value);
    const at = this.#values.length;
    // A node holds the sum of as many values, up to its own, as its lowest set bit says.
    let sum = value;
    for (let child = at - 1; child > at - (at & -at); child -= child & -child) sum += this.#tree[child];
    this.#tree.push(sum);
  }

  set(index, value) {
    const by = value - this.#values[index];
    if (!by) return;
    this.#values[index] = value;
    for (let at = index + 1; at < this.#tree.length; at += at & -at) this.#tree[at] += by;
  }

  get(index) {
    return this.#values[index];
  }

  /** The sum of the first `count`. */
  before(count) {
    let sum = 0;
    for (let at = count; at > 0; at -= at & -at) sum += this.#tree[at];
    return sum;
  }

  /** The index of the value in which the sum passes `place`. */
  find(place) {
    let at = 0;
    let rest = place;
    for (let step = 2 ** Math.floor(Math.log2(this.#tree.length)); step >= 1; step /= 2) {
      const next = at + step;
      if (next < this.#tree.length && this.#tree[next] <= rest) {
        at = next;
        rest -= this.#tree[next];
      }
    }
    return at;
  }
}

/** Commands laid out: each that is shown has a header and, unfolded, its lines. */
export class Rows {
  #commands = [];
  #sums = new Sums();
  #toggled = new Map(); // num -> open, by a person
  #all = null;
  #few = true;
  #filter = { badOnly: false, text: '' };

  /** How many units. */
  get total() {
    return this.#sums.total;
  }

  /** Takes commands that are new (`commands` only grows) and those that have changed. */
  take(commands, changed) {
    for (let i = this.#commands.length; i < commands.length; i += 1) {
      this.#commands.push(commands[i]);
      this.#sums.push(this.#size(commands[i]));
    }
    for (const command of changed) this.#sums.set(command.at, this.#size(command));
    if (this.#few !== commands.length <= FEW) {
      this.#few = commands.length <= FEW;
      this.#again();
    }
  }

  /** Shows only commands that ended badly, or whose name holds `text`. */
  filter({ badOnly, text }) {
    const wanted = { badOnly, text: text.toLowerCase() };
    if (wanted.badOnly === this.#filter.badOnly && wanted.text === this.#filter.text) return;
    this.#filter = wanted;
    this.#again();
  }

  isOpen(command) {
    return this.#toggled.get(command.num) ?? this.#all ?? (this.#few || command.exit == null || isBad(command));
  }

  isShown(command) {
    const { badOnly, text } = this.#filter;
    if (badOnly && !isBad(command)) return false;
    return !text || `${command.path ?? ''} ${command.command ?? ''}`.toLowerCase().includes(text);
  }

  /** Folds or unfolds one command. */
  toggle(command, open) {
    this.#toggled.set(command.num, open);
    this.#sums.set(command.at, this.#size(command));
  }

  /** Folds or unfolds all, those to come as well. */
  toggleAll(open) {
    this.#toggled.clear();
    this.#all = open;
    this.#again();
  }

  /**
   * What stands at a place: `{ command, line, from, to }`, lines from 0, -1 for the header, and the places where it begins and ends;
   * null below the end.
   * @returns {any}
   */
  at(place) {
    if (place < 0 || place >= this.total) return null;
    const at = this.#sums.find(place);
    const command = this.#commands[at];
    const head = this.#sums.before(at);
    if (place < head + HEAD) return { command, line: -1, from: head, to: head + HEAD };
    const line = Math.floor((place - head - HEAD) / LINE);
    const from = head + HEAD + line * LINE;
    return { command, line, from, to: from + LINE };
  }

  /** The place of a line, from 0, of a command; of its header if it is folded; null if it is not shown. */
  of(command, line) {
    const size = this.#sums.get(command.at);
    if (!size) return null;
    const head = this.#sums.before(command.at);
    const last = (size - HEAD) / LINE - 1;
    return line < 0 || last < 0 ? head : head + HEAD + Math.min(line, last) * LINE;
  }

  #size(command) {
    if (!this.isShown(command)) return 0;
    return HEAD + (this.isOpen(command) ? command.log.length * LINE : 0);
  }

  #again() {
    for (const command of this.#commands) this.#sums.set(command.at, this.#size(command));
  }
}

/** A range of lines in an address, `12` or `12-20`, as `{ from, to }`; null if it is none. */
export function rangeOf(text) {
  const found = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(text ?? '');
  if (!found || Number(found[1]) < 1) return null;
  const ends = [Number(found[1]), Number(found[2] ?? found[1])];
  return { from: Math.max(1, Math.min(...ends)), to: Math.max(...ends) };
}

/** A range as an address has it. */
export const rangeText = ({ from, to }) => (from === to ? String(from) : `${from}-${to}`);
