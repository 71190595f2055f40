// A window over very many things, whose places count in units of some pixels. Browsers cannot scroll over more than some millions
// of pixels, so above that the bar stands for more than it shows; the place itself is kept exactly. Knows units, not what stands
// in them.

import { useLayoutEffect, useRef, useState } from './html.js';

const TALLEST = 16_000_000;
/** A scroll event within this of where it was put is an echo. */
const ECHO = 1.5;
/** What an arrow key scrolls by, in pixels. */
const LEAP = 36;

/**
 * `total` units of `unit` pixels. `keep(place)` names what stands there, `find(anchor)` is its place later (null: gone); `atEnd()` and
 * `left()` are called when a person comes to the end or leaves it. Answers `{ box, first, last, height, edge,
 * top(place), show(from, to, total), onScroll, onWheel, onKeyDown }`; places from `first` to before `last` are in sight.
 */
export function useWindow({ total, unit, follow, keep, find, atEnd, left }) {
  const box = useRef(/** @type {any} */ (null));
  const [size, setSize] = useState(600);
  const [, redraw] = useState(0);
  /** The place in pixels of all, exactly; what stands there; where the bar was put. */
  const at = useRef({ place: 0, anchor: /** @type {any} */ (null), put: 0 });

  const end = (units = total) => Math.max(0, units * unit - size);
  const height = Math.max(1, Math.min(total * unit, TALLEST));
  // How many pixels one of the bar stands for.
  const scale = (units = total) => {
    const tall = Math.min(units * unit, TALLEST);
    return units * unit > tall && tall > size ? end(units) / (tall - size) : 1;
  };
  const own = at.current;
  if (follow) own.place = end();
  else if (own.anchor) {
    // What is read stays where it is, whatever grows or folds above it.
    const now = find(own.anchor.of);
    if (now != null) own.place = now * unit + own.anchor.offset;
  }
  own.place = Math.max(0, Math.min(own.place, end()));

  const hold = () => {
    const of = keep(Math.floor(own.place / unit));
    own.anchor = of && { of, offset: own.place - (find(of) ?? 0) * unit };
  };
  const move = (place, units = total) => {
    own.place = Math.max(0, Math.min(place, end(units)));
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
    // Whoever lets go stays where that was.
    if (follow) hold();
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
    by(event.deltaY * (event.deltaMode === 1 ? LEAP : event.deltaMode === 2 ? size : 1));
  };
  const STEPS = { ArrowDown: LEAP, ArrowUp: -LEAP, PageDown: size - LEAP, PageUp: LEAP - size, Home: -Infinity, End: Infinity };
  const onKeyDown = (event) => {
    const step = STEPS[event.key];
    if (step === undefined || event.target !== box.current || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    by(step);
  };

  const first = Math.floor(own.place / unit);
  // Positions are relative to what is in sight, so that the scale does not tear rows apart.
  const edge = own.place / scale();
  return {
    box,
    first,
    last: Math.min(total, Math.ceil((own.place + size) / unit)),
    height,
    edge,
    top: (place) => edge + place * unit - own.place,
    /** Brings what is between two places, out of `units` in all, into the upper third if it is not in sight. */
    show: (from, to, units) => {
      const inSight = from * unit >= own.place + LEAP && to * unit <= own.place + size;
      move(inSight ? own.place : from * unit - size / 3, units);
    },
    onScroll,
    onWheel,
    onKeyDown,
  };
}
