// Which names fit what somebody types, the best first. Pure.

/**
 * Names that contain `text` (case is the same), those that begin with it first, then those of which a part does.
 * @param {string[]} names
 * @param {string} text
 */
export function rank(names, text) {
  const wanted = text.toLowerCase();
  const place = (name) => {
    const lower = name.toLowerCase();
    const at = lower.indexOf(wanted);
    if (at <= 0) return at;
    return /[/\-_.]/.test(lower[at - 1]) ? 1 : 2;
  };
  return names
    .map((name) => ({ name, at: place(name) }))
    .filter(({ at }) => at >= 0)
    .sort((a, b) => a.at - b.at || a.name.length - b.name.length || (a.name < b.name ? -1 : 1))
    .map(({ name }) => name);
}
