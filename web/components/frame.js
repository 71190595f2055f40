// The bar at the top: where one can go, search, how the connection is, the theme, sign-in.

import { address } from '../lib/router.js';
import { useKeys } from './hooks.js';
import { html, useEffect, useRef, useState } from './html.js';

const THEMES = { auto: '◐', light: '○', dark: '●' };
const KEYS = [
  ['j k', 'move in a list'],
  ['enter', 'open'],
  ['f', 'next failure'],
  ['r', 'rerun the failed files'],
  ['.', 'follow the log'],
  ['g f', 'fleet'],
  ['g j', 'jobs'],
  ['g p', 'projects'],
  ['n', 'new job'],
  ['/', 'search'],
];

function useTheme() {
  const [theme, set] = useState(localStorage.getItem('skep-theme') ?? 'auto');
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem('skep-theme', theme);
  }, [theme]);
  const names = Object.keys(THEMES);
  return [theme, () => set(names[(names.indexOf(theme) + 1) % names.length])];
}

/** Bar, view, and what floats above them. */
export function Frame({ ctx, place, connection, signedOut, children }) {
  const [theme, nextTheme] = useTheme();
  const [help, setHelp] = useState(false);
  const search = useRef(null);
  useKeys({
    '/': () => search.current?.focus(),
    '?': () => setHelp((shown) => !shown),
    Escape: () => setHelp(false),
    n: () => ctx.go('/new'),
    'g f': () => ctx.go('/'),
    'g j': () => ctx.go('/jobs'),
    'g p': () => ctx.go('/projects'),
  });
  const tab = (href, text, views) => html`<a href=${href} aria-current=${views.includes(place.view) ? 'page' : null}>${text}</a>`;
  const find = (event) => {
    event.preventDefault();
    ctx.go(address('/jobs', { text: search.current.value.trim() }));
    search.current.blur();
  };
  return html`
    <a class="skip" href="#main">To the content</a>
    <header class="bar">
      <a class="mark" href="/" aria-label="Skep"><img src="/icon.svg" alt="" width="20" height="20" /><b>Skep</b></a>
      <nav>${tab('/', 'Fleet', ['fleet'])}${tab('/jobs', 'Jobs', ['jobs', 'job'])}${tab('/projects', 'Projects', ['projects', 'project'])}</nav>
      <form role="search" onSubmit=${find}><input ref=${search} type="search" placeholder="Search jobs  /" aria-label="Search jobs" key=${place.query.text} defaultValue=${place.query.text ?? ''} /></form>
      <a class="button" href="/new">New job</a>
      <button class="quiet" onClick=${nextTheme} title=${`Theme: ${theme}`} aria-label=${`Theme: ${theme}`}>${THEMES[theme]}</button>
      ${ctx.token.get() && !signedOut && html`<button class="quiet" onClick=${() => ctx.signIn(null)}>Sign out</button>`}
    </header>
    ${connection === 'waiting' && html`<div class="reconnecting" role="status">The connection to the queen is gone; what you see may be old. Trying again. <button onClick=${() => ctx.live.retry()}>Now</button></div>`}
    ${help && html`<dialog open class="keys" aria-label="Keys"><dl>${KEYS.map(([key, what]) => html`<dt><kbd>${key}</kbd></dt><dd>${what}</dd>`)}</dl><button onClick=${() => setHelp(false)}>Close</button></dialog>`}
    <main id="main" class=${place.view}>${signedOut ? html`<${SignIn} ctx=${ctx} message=${signedOut} />` : children}</main>`;
}

function SignIn({ ctx, message }) {
  const field = useRef(null);
  const enter = (event) => {
    event.preventDefault();
    ctx.signIn(field.current.value.trim());
  };
  return html`<section class="narrow"><h1>Sign in</h1><p>${message}</p>
    <form class="fields" onSubmit=${enter}><label>Token <input ref=${field} type="password" autocomplete="current-password" required /></label><button class="main">Sign in</button></form>
    <p class="faint">An admin makes one with <code>queen token add --role read NAME</code> on the queen's machine.</p></section>`;
}
