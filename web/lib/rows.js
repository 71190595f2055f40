// Rows of a log: which section and line stands in which row when some sections are folded. Pure.

/** Few enough commands that all of them are shown unfolded. */
const FEW = 12;

/** Lays sections out: each has a header row and, unfolded, a row for each line. `{ sections, total }`. */
export function sections(commands, { toggled = new Map(), badOnly = false } = {}) {
  const list = [];
  let total = 0;
  for (const command of commands) {
    const bad = command.exit != null && command.exit !== 0;
    if (badOnly && !bad) continue;
    const open = toggled.get(command.num) ?? (command.exit == null || bad || commands.length <= FEW);
    list.push({ command, open, start: total });
    total += 1 + (open ? command.log.length : 0);
  }
  return { sections: list, total };
}

/** What stands in a row: `{ section, line }`, where line -1 is the header. */
export function rowAt({ sections: list }, row) {
  let low = 0;
  let high = list.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (list[middle].start <= row) low = middle;
    else high = middle - 1;
  }
  return { section: list[low], line: row - list[low].start - 1 };
}

/** The row of a line, from 1, of a command; of its header if it is folded or the line is not there yet; else null. */
export function rowOf({ sections: list }, num, line) {
  const section = list.find(({ command }) => command.num === num);
  if (!section) return null;
  return section.start + (section.open ? Math.min(line, section.command.log.length) : 0);
}
