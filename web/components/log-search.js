// Search over a whole log: the queen looks, the page walks from match to match.

import { number, plural } from '../lib/format.js';
import { html, useEffect, useRef, useState } from './html.js';

/** How long typing rests before the queen is asked. */
const REST = 200;
/** How long after an answer a log that grew is searched anew. */
const AGAIN = 2000;

const NONE = { text: '', total: 0, capped: false, matches: [], lines: 0 };

/**
 * Matches of `text` in a job's log: `{ answer, problem, busy }`. `ask(text, signal)` answers `{ total, capped, matches: [[num, line]] }`;
 * `lines` says how much there is to search.
 */
export function useSearch(ask, text, lines) {
  const [state, set] = useState({ answer: NONE, problem: /** @type {any} */ (null), busy: false });
  const stop = useRef(new AbortController());
  const latest = useRef(lines);
  latest.current = lines;
  const look = () => {
    const { signal } = stop.current;
    const looked = latest.current;
    set((before) => ({ ...before, busy: true }));
    ask(text, signal).then(
      (answer) => signal.aborted || set({ answer: { ...answer, text, lines: looked }, problem: null, busy: false }),
      (problem) => signal.aborted || set({ answer: NONE, problem, busy: false }),
    );
  };
  useEffect(() => {
    set({ answer: NONE, problem: null, busy: false });
    if (!text) return undefined;
    stop.current = new AbortController();
    const timer = setTimeout(look, REST);
    return () => {
      clearTimeout(timer);
      stop.current.abort();
    };
  }, [text]);
  // A log that goes on growing is searched again and again, but not anew with each line.
  const grown = text !== '' && !state.busy && state.answer.text === text && state.answer.lines !== lines;
  useEffect(() => {
    if (!grown) return undefined;
    const timer = setTimeout(look, AGAIN);
    return () => clearTimeout(timer);
  }, [grown]);
  return state;
}

/** The field with the count and the way to the next and the one before. `step(by)` goes there. */
export function Search({ text, setText, state, at, step }) {
  const [typed, setTyped] = useState(text);
  const given = useRef(text);
  if (given.current !== text) {
    given.current = text;
    if (text !== typed) setTyped(text);
  }
  const change = (value) => {
    given.current = value;
    setTyped(value);
    setText(value);
  };
  const keys = (event) => {
    if (event.key === 'Enter') step(event.shiftKey ? -1 : 1);
    else if (event.key === 'Escape' && typed) change('');
    else return;
    event.preventDefault();
  };
  const { answer, problem, busy } = state;
  // All are counted; of very many, only the first are walked.
  const total = `${number(answer.total)}${answer.capped ? `, the first ${number(answer.matches.length)} to be walked` : ''}`;
  const word = problem
    ? problem.message
    : answer.text !== text
      ? 'searching'
      : answer.total === 0
        ? 'no match'
        : at < 0
          ? plural(answer.total, 'match', 'matches')
          : `${number(at + 1)} of ${total}`;
  return html`<span class="find" role="search" aria-label="In this log">
    <input type="search" placeholder="Find in the log" aria-label="Find in the log" data-search value=${typed}
      onInput=${(event) => change(event.target.value)} onKeyDown=${keys} />
    ${
      text &&
      html`<span class=${`num ${problem ? 'is-failed' : 'faint'}`} role="status" aria-busy=${busy}>${word}</span>
        <button class="quiet" aria-label="Previous match" disabled=${!answer.total} onClick=${() => step(-1)}>↑</button>
        <button class="quiet" aria-label="Next match" disabled=${!answer.total} onClick=${() => step(1)}>↓</button>`
    }
  </span>`;
}
