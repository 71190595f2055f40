// The bar at the top: where one can go, search, how the connection is, the theme, help, who one is.

import { useKeys } from './hooks.js';
import { html, useEffect, useRef, useState } from './html.js';
import { Search } from './search.js';
import { Shape } from './state.js';

const THEMES = {
  auto: ['Theme: as the system', 'M8 2a6 6 0 1 0 0 12a6 6 0 1 0 0-12', 'M8 2a6 6 0 0 1 0 12z'],
  light: ['Theme: light', 'M8 5a3 3 0 1 0 0 6a3 3 0 1 0 0-6M8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1', ''],
  dark: ['Theme: dark', 'M12.8 9.8A5.5 5.5 0 0 1 6.2 3.2a5.5 5.5 0 1 0 6.6 6.6z', ''],
};
const names = Object.keys(THEMES);

function Theme() {
  const [theme, set] = useState(document.documentElement.dataset.theme ?? 'auto');
  const next = () => {
    const chosen = names[(names.indexOf(theme) + 1) % names.length];
    document.documentElement.dataset.theme = chosen;
    localStorage.setItem('skep-theme', chosen);
    set(chosen);
  };
  const [words, path, fill] = THEMES[theme] ?? THEMES.auto;
  return html`<button class="quiet icon" onClick=${next} title=${words} aria-label=${words}>
    <${Shape} path=${path} fill=${fill} />
  </button>`;
}

/** How the connection is: `[state, words]`, where no words are needed as long as all is well. */
function useConnection(live) {
  const [state, set] = useState(live.state);
  const [online, setOnline] = useState(navigator.onLine);
  // The first connection has a moment to come up before anybody is told that there is none.
  const was = useRef(false);
  if (state === 'open') was.current = true;
  useEffect(() => {
    set(live.state);
    const stop = live.watch(set);
    const changed = () => setOnline(navigator.onLine);
    addEventListener('online', changed);
    addEventListener('offline', changed);
    return () => {
      stop();
      removeEventListener('online', changed);
      removeEventListener('offline', changed);
    };
  }, []);
  if (!online) return ['offline', 'This browser is offline. What you see may be old; it goes on by itself when the network is back.'];
  if (state === 'open') return ['live', ''];
  if (state === 'waiting' || was.current) return ['waiting', 'The connection to the queen is gone; what you see may be old. Trying again.'];
  return ['connecting', ''];
}

/** What stands in the bar about the connection, in words and by a shape. */
const CONNECTIONS = {
  live: ['Live', 'M8 4.5a3.5 3.5 0 1 0 0 7a3.5 3.5 0 1 0 0-7'],
  connecting: ['Connecting', 'M3 8h.1M8 8h.1M13 8h.1'],
  waiting: ['Not connected', 'M4 4l8 8M8 2a6 6 0 1 0 0 12a6 6 0 1 0 0-12'],
  offline: ['Offline', 'M4 4l8 8M8 2a6 6 0 1 0 0 12a6 6 0 1 0 0-12'],
};

const inView = () =>
  /** @type {HTMLElement | undefined} */ ([...document.querySelectorAll('main [data-search]')].find((field) => field.checkVisibility()));

/** Bar, view, and what floats above them. */
export function Frame({ ctx, place, session, out, children }) {
  const [Help, setHelp] = useState(/** @type {any} */ (null));
  // Loaded when it is first asked for; where that fails, every button is there all the same.
  const help = () =>
    import('./help.js').then(
      (module) => setHelp(() => module.Help),
      () => {},
    );
  const search = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [connection, trouble] = useConnection(ctx.live);
  const offers = !out && (session == null || ctx.may('submit'));
  useKeys({
    // The view's own search, if it has one in sight, knows more of what one looks at.
    '/': () => (inView() ?? search.current)?.focus(),
    '?': help,
    n: () => offers && ctx.go('/new'),
    'g f': () => ctx.go('/'),
    'g j': () => ctx.go('/jobs'),
    'g p': () => ctx.go('/projects'),
  });
  const tab = (href, text, views) => html`<a href=${href} aria-current=${views.includes(place.view) ? 'page' : null}>${text}</a>`;
  const [word, shape] = CONNECTIONS[connection];
  return html`
    <a class="skip" href="#main">To the content</a>
    <header class="bar">
      <a class="mark" href="/" aria-label="Skep, to the fleet"><img src="/icon.svg" alt="" width="20" height="20" /><b>Skep</b></a>
      <nav aria-label="Views">
        ${tab('/', 'Fleet', ['fleet'])}${tab('/jobs', 'Jobs', ['jobs', 'job'])}${tab('/projects', 'Projects', ['projects', 'project'])}
      </nav>
      ${out ? html`<span class="gap" />` : html`<${Search} ctx=${ctx} place=${place} field=${search} />`}
      <div class="bar-tools">
        ${offers && html`<a class="button new" href="/new" aria-label="New job">New<span class="wide"> job</span></a>`}
        ${
          !out &&
          html`<span class=${`connection ${connection}`} title=${word}>
            <${Shape} path=${shape} /><span class="unseen">${word}</span>
          </span>`
        }
        <${Theme} />
        <button class="quiet icon" onClick=${help} title="Keys and help (?)" aria-label="Keys and help">?</button>
        ${session?.signed_in && html`<${Person} ctx=${ctx} session=${session} />`}
      </div>
    </header>
    <div role="status" class="trouble-place">
      ${
        trouble &&
        !out &&
        html`<div class="reconnecting">
          ${trouble} ${connection === 'waiting' && html`<button onClick=${() => ctx.live.retry()}>Now</button>`}
        </div>`
      }
    </div>
    ${Help && html`<${Help} close=${() => setHelp(null)} offers=${offers} />`}
    <main id="main" tabindex="-1" class=${out ? 'sign-in' : place.view}>${children}</main>`;
}

function Person({ ctx, session }) {
  const [error, setError] = useState('');
  const leave = () => ctx.signOut().catch((problem) => setError(problem.message));
  const about = `Signed in with the token ${session.name ?? ''}, role ${session.role}`;
  return html`<span class="person">
    <span class="faint" title=${about}>${session.name || session.role}</span>
    <button class="quiet" onClick=${leave}>Sign out</button>${error && html`<span class="problem" role="alert">${error}</span>`}
  </span>`;
}
