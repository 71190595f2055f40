// A window over very many rows of one height. Browsers cannot scroll over more than some millions of pixels, so above that
// the bar stands for more than it shows; the place itself is kept exactly. Knows rows, not what stands in them.

import { useLayoutEffect, useRef, useState } from './html.js';

const TALLEST = 16_000_000;
/** A scroll event within this of where it was put is an echo. */
const ECHO = 1.5;

/**
 * `keep(row)` names what stands in a row, `find(anchor)` is its row later (null: gone); `atEnd()` and `left()` are called when a person
 * comes to the end or leaves it. Answers `{ box, first, count, height, edge, top(row), show(row, total), onScroll, onWheel, onKeyDown }`.
 */
export function useWindow({ total, row, follow, keep, find, atEnd, left }) {
  const box = useRef(/** @type {any} */ (null));
  const [size, setSize] = useState(600);
  const [, redraw] = useState(0);
  /** The place in pixels of all rows, exactly; what stands there; where the bar was put. */
  const at = useRef({ place: 0, anchor: /** @type {any} */ (null), put: 0 });

  const end = (rows = total) => Math.max(0, rows * row - size);
  const height = Math.max(1, Math.min(total * row, TALLEST));
  // How many pixels of all rows one of the bar is.
  const scale = (rows = total) => {
    const tall = Math.min(rows * row, TALLEST);
    return rows * row > tall && tall > size ? end(rows) / (tall - size) : 1;
  };
  const own = at.current;
  if (follow) own.place = end();
  else if (own.anchor) {
    // What is read stays where it is, whatever grows or folds above it.
    const now = find(own.anchor.of);
    if (now != null) own.place = now * row + own.anchor.offset;
  }
  own.place = Math.max(0, Math.min(own.place, end()));

  const hold = () => {
    const first = Math.floor(own.place / row);
    const of = keep(first);
    own.anchor = of && { of, offset: own.place - first * row };
  };
  const move = (place, rows = total) => {
    own.place = Math.max(0, Math.min(place, end(rows)));
    hold();
    redraw((n) => n + 1);
  };

  useLayoutEffect(() => {
    const measure = () => setSize(box.current?.clientHeight || 600);
    measure();
    const watcher = new ResizeObserver(measure);
    watcher.observe(box.current);
    return () => watcher.disconnect();
  }, []);
  useLayoutEffect(() => {
    const put = own.place / scale();
    if (Math.abs(box.current.scrollTop - put) > 0.5) box.current.scrollTop = put;
    own.put = box.current.scrollTop;
  });

  const onScroll = () => {
    const { scrollTop, clientHeight, scrollHeight } = box.current;
    if (Math.abs(scrollTop - own.put) < ECHO) return;
    const up = scrollTop < own.put;
    own.put = scrollTop;
    const last = scrollTop + clientHeight >= scrollHeight - 2;
    if (last) atEnd();
    else if (follow && up) left();
    move(last ? end() : scrollTop * scale());
  };
  const by = (pixels) => {
    if (pixels < 0 && follow) left();
    if (own.place + pixels >= end()) atEnd();
    move(own.place + pixels);
  };
  const onWheel = (event) => {
    // Where the bar stands for more than it shows, a turn of the wheel would leap.
    if (scale() === 1 || event.ctrlKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) return;
    event.preventDefault();
    by(event.deltaY * (event.deltaMode === 1 ? row : event.deltaMode === 2 ? size : 1));
  };
  const STEPS = { ArrowDown: 2 * row, ArrowUp: -2 * row, PageDown: size - row, PageUp: row - size, Home: -Infinity, End: Infinity };
  const onKeyDown = (event) => {
    const step = STEPS[event.key];
    if (step === undefined || event.target !== box.current || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    by(step);
  };

  const first = Math.floor(own.place / row);
  // Positions are relative to what is in sight, so that the scale does not tear rows apart.
  const edge = own.place / scale();
  return {
    box,
    first,
    count: Math.min(total - first, Math.ceil(size / row) + 1),
    height,
    edge,
    top: (index) => edge + index * row - own.place,
    /** Brings a row, out of `rows` in all, into the upper third if it is not in sight. */
    show: (index, rows) => {
      const inSight = index * row >= own.place + row && (index + 1) * row <= own.place + size;
      move(inSight ? own.place : index * row - size / 3, rows);
    },
    onScroll,
    onWheel,
    onKeyDown,
  };
}
