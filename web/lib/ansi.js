// Colours of terminal output as spans of classes. Pure. Knows SGR; every other escape is left out.
// The style that a line ends with is handed to the next one, so lines can be read one at a time.

/**
 * What a line begins with when nothing is set.
 * @type {Readonly<{ fg: number | null, bg: number | null, bold: boolean, dim: boolean, italic: boolean, underline: boolean,
 *   inverse: boolean }>}
 */
export const PLAIN = Object.freeze({ fg: null, bg: null, bold: false, dim: false, italic: false, underline: false, inverse: false });

// CSI … final byte; OSC … BEL or ST; other two-byte escapes; then stray control characters but tab.
const ESCAPE = /\x1b\[([0-9;:?<=>]*)[ -/]*([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?|[\x00-\x08\x0b-\x1f\x7f]/g;

/** Splits a line: `{ spans: [{ text, style }], style }`, where `style` is what the next line begins with. */
export function parse(line, style = PLAIN) {
  const spans = [];
  const text = overwrite(line);
  let from = 0;
  const push = (to) => {
    if (to > from) spans.push({ text: text.slice(from, to), style });
  };
  for (const match of text.matchAll(ESCAPE)) {
    push(match.index);
    from = match.index + match[0].length;
    if (match[2] === 'm') style = graphic(match[1], style);
  }
  push(text.length);
  return { spans, style };
}

/** A line without any escape. */
export function strip(line) {
  return overwrite(line).replace(ESCAPE, '');
}

/** The style that the line after this one begins with; cheap for lines without escapes. */
export function after(line, style) {
  return line.includes('\x1b[') ? parse(line, style).style : style;
}

/** The class names of a style; colours of the 256 and 16.7 million are brought to the 16 of the theme. */
export function classes(style) {
  if (style === PLAIN) return '';
  const names = [];
  const fg = style.inverse ? (style.bg ?? 'ground') : style.fg;
  const bg = style.inverse ? (style.fg ?? 'ink') : style.bg;
  if (fg != null) names.push(`fg-${fg}`);
  if (bg != null) names.push(`bg-${bg}`);
  for (const name of ['bold', 'dim', 'italic', 'underline']) if (style[name]) names.push(name);
  return names.join(' ');
}

// A carriage return in mid-line starts it anew: what a progress bar leaves behind is its last state.
function overwrite(line) {
  const end = line.endsWith('\r') ? line.length - 1 : line.length;
  const at = line.lastIndexOf('\r', end - 1);
  return at < 0 ? line.slice(0, end) : line.slice(at + 1, end);
}

function graphic(params, before) {
  const codes = params.split(/[;:]/).map((code) => Number(code || 0));
  let style = { ...before };
  for (let i = 0; i < codes.length; i += 1) {
    const code = codes[i];
    if (code === 0) style = { ...PLAIN };
    else if (code === 1) style.bold = true;
    else if (code === 2) style.dim = true;
    else if (code === 3) style.italic = true;
    else if (code === 4) style.underline = true;
    else if (code === 7) style.inverse = true;
    else if (code === 22) style.bold = style.dim = false;
    else if (code === 23) style.italic = false;
    else if (code === 24) style.underline = false;
    else if (code === 27) style.inverse = false;
    else if (code >= 30 && code <= 37) style.fg = code - 30;
    else if (code === 39) style.fg = null;
    else if (code >= 40 && code <= 47) style.bg = code - 40;
    else if (code === 49) style.bg = null;
    else if (code >= 90 && code <= 97) style.fg = code - 82;
    else if (code >= 100 && code <= 107) style.bg = code - 92;
    else if (code === 38 || code === 48) {
      /** @type {number | null} */
      let colour = null;
      if (codes[i + 1] === 5) {
        colour = indexed(codes[i + 2]);
        i += 2;
      } else if (codes[i + 1] === 2) {
        colour = nearest(codes[i + 2], codes[i + 3], codes[i + 4]);
        i += 4;
      }
      style[code === 38 ? 'fg' : 'bg'] = colour;
    }
  }
  return Object.keys(PLAIN).every((key) => style[key] === PLAIN[key]) ? PLAIN : style;
}

function indexed(index) {
  if (!(index >= 0 && index <= 255)) return null;
  if (index < 16) return index;
  if (index >= 232) {
    const grey = 8 + (index - 232) * 10;
    return nearest(grey, grey, grey);
  }
  const level = (n) => (n === 0 ? 0 : 55 + n * 40);
  const cube = index - 16;
  return nearest(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

// The colour of the eight whose channels are on where these are, in the bright row if any is high.
function nearest(r, g, b) {
  const max = Math.max(r, g, b);
  const min = Math.min(r, g, b);
  if (!(max >= 0)) return null;
  if (max - min < 32) return max < 64 ? 0 : max < 144 ? 8 : max < 224 ? 7 : 15;
  const middle = (max + min) / 2;
  const base = (r > middle ? 1 : 0) | (g > middle ? 2 : 0) | (b > middle ? 4 : 0);
  return max > 200 ? base + 8 : base;
}
