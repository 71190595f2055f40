// Hooks of the project's own: redraws once a frame, the clock, loading, keys.

import { useEffect, useReducer, useRef, useState } from './html.js';

/** A function that asks for a redraw; many calls in one frame are one redraw. */
export function useRedraw() {
  const [, bump] = useReducer((n) => n + 1, 0);
  const frame = useRef(0);
  useEffect(() => () => cancelAnimationFrame(frame.current), []);
  return useRef(() => {
    if (frame.current) return;
    frame.current = requestAnimationFrame(() => {
      frame.current = 0;
      bump();
    });
  }).current;
}

/** The time, read anew every `every` milliseconds. */
export function useNow(every = 1000) {
  const [now, set] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => set(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}

/** Loads by `load()` whenever `deps` change: `{ data, error, loading, reload }`. A late answer to an old question is dropped. */
export function useLoad(load, deps) {
  const [state, set] = useState({ data: null, error: null, loading: true });
  const asked = useRef(0);
  const reload = () => {
    const mine = ++asked.current;
    const answer = (next) => mine === asked.current && set(next);
    load().then(
      (data) => answer({ data, error: null, loading: false }),
      (error) => answer({ data: null, error, loading: false }),
    );
  };
  useEffect(() => {
    set((before) => ({ ...before, loading: true }));
    reload();
    return () => {
      asked.current += 1;
    };
  }, deps);
  return { ...state, reload };
}

/** Calls `f` at most once in `gap` milliseconds, and once more after the last call. */
export function useThrottled(f, gap) {
  const latest = useRef(f);
  latest.current = f;
  const state = useRef({ timer: 0, again: false });
  useEffect(() => () => clearTimeout(state.current.timer), []);
  return useRef(() => {
    const own = state.current;
    if (own.timer) {
      own.again = true;
      return;
    }
    latest.current();
    const rest = () => {
      own.timer = 0;
      if (!own.again) return;
      own.again = false;
      latest.current();
      own.timer = setTimeout(rest, gap);
    };
    own.timer = setTimeout(rest, gap);
  }).current;
}

/** Single keys: `{ '/': f, 'g j': f }`. Not while one types, and not with a modifier. */
export function useKeys(keys) {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    let before = '';
    const press = (event) => {
      const typing = /^(input|textarea|select)$/i.test(event.target.tagName) || event.target.isContentEditable;
      if (typing || event.metaKey || event.ctrlKey || event.altKey) return;
      const f = latest.current[`${before} ${event.key}`] ?? latest.current[event.key];
      before = event.key;
      if (!f) return;
      event.preventDefault();
      f();
    };
    addEventListener('keydown', press);
    return () => removeEventListener('keydown', press);
  }, []);
}
