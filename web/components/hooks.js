// Hooks of the project's own: redraws once a frame, the clock, loading, keys.

import { FINAL } from '../lib/states.js';
import { useEffect, useLayoutEffect, useReducer, useRef, useState } from './html.js';

/** A function that asks for a redraw; many calls in one frame are one redraw. */
export function useRedraw() {
  const [, bump] = useReducer((n, _) => n + 1, 0);
  const frame = useRef(0);
  useEffect(() => () => cancelAnimationFrame(frame.current), []);
  return useRef(() => {
    if (frame.current) return;
    frame.current = requestAnimationFrame(() => {
      frame.current = 0;
      bump(null);
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

/**
 * Loads by `load()` whenever `deps` change: `{ data, error, loading, reload }`. A late answer to an old question is dropped.
 * @template T
 * @param {() => Promise<T>} load
 * @param {unknown[]} deps
 */
export function useLoad(load, deps) {
  const [state, set] = useState(
    /** @type {{ data: T | null, error: any, loading: boolean }} */ ({ data: null, error: null, loading: true }),
  );
  const asked = useRef(0);
  const reload = () => {
    const mine = ++asked.current;
    const answer = (next) => mine === asked.current && set(next);
    load().then(
      (data) => answer({ data, error: null, loading: false }),
      (error) => answer({ data: null, error, loading: false }),
    );
  };
  // Before anything is painted: what was asked for early is there already.
  useLayoutEffect(() => {
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
  const state = useRef({ timer: /** @type {any} */ (0), again: false });
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

const OFF = 'skep-keys-off';

/** Whether single keys do something here; who speaks to the machine, or types by accident, turns them off. */
export const keys = {
  on: () => localStorage.getItem(OFF) === null,
  set: (on) => (on ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, '1')),
};

/** Single keys: `{ '/': f, 'g j': f }`. Not while one types or a dialog is open, and not with a modifier. */
export function useKeys(wanted) {
  const latest = useRef(wanted);
  latest.current = wanted;
  useEffect(() => {
    let before = '';
    const press = (event) => {
      const { target, key } = event;
      const typing = /^(input|textarea|select)$/i.test(target.tagName) || target.isContentEditable;
      if (typing || event.metaKey || event.ctrlKey || event.altKey || !keys.on() || document.querySelector('dialog[open]')) return;
      // After g, every key is the second one of a pair, here and for all others that listen.
      const f = latest.current[before === 'g' ? `g ${key}` : key];
      before = before === 'g' ? '' : key;
      if (!f) return;
      event.preventDefault();
      f();
    };
    addEventListener('keydown', press);
    return () => removeEventListener('keydown', press);
  }, []);
}

/** The tab's title, and its icon by the state of what is shown. */
export function usePage(title, state) {
  useEffect(() => {
    document.title = title ? `${title} · Skep` : 'Skep';
    const icon = /** @type {HTMLLinkElement | null} */ (document.querySelector('link[rel=icon]'));
    const path = FINAL.has(state) || state === 'running' || state === 'queued' ? `/icons/${state}.svg` : '/icon.svg';
    if (icon && icon.getAttribute('href') !== path) icon.setAttribute('href', path);
  }, [title, state]);
}

/**
 * Calls `hear(message)` for each change of jobs and drones, and `missed()` when the connection is there again: what happened
 * meanwhile is not told.
 */
export function useLists(ctx, hear, missed) {
  const latest = useRef({ hear, missed });
  latest.current = { hear, missed };
  useEffect(() => {
    const changed = (message) => latest.current.hear(message);
    ctx.listeners.add(changed);
    const stop = ctx.live.watch((state) => state === 'open' && latest.current.missed?.());
    return () => {
      ctx.listeners.delete(changed);
      stop();
    };
  }, []);
}

/** Whether a media query holds now. */
export function useMedia(query) {
  const [holds, set] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const list = matchMedia(query);
    const changed = () => set(list.matches);
    list.addEventListener('change', changed);
    return () => list.removeEventListener('change', changed);
  }, [query]);
  return holds;
}
