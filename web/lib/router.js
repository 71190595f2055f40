// Addresses and views: which view an address means, and how to go from one to the next without loading the page anew.

const ROUTES = [
  [/^\/$/, 'fleet', []],
  [/^\/jobs\/?$/, 'jobs', []],
  [/^\/jobs\/([^/]+)\/?$/, 'job', ['id']],
  [/^\/projects\/?$/, 'projects', []],
  [/^\/projects\/(.+?)\/?$/, 'project', ['name']],
  [/^\/new\/?$/, 'new-job', []],
];

/** What an address means: `{ view, params, query, hash }`; the view of an unknown one is `not-found`. */
export function match(address) {
  const url = new URL(address, 'http://local');
  const query = Object.fromEntries([...url.searchParams].filter(([, value]) => value !== ''));
  const hash = safeDecode(url.hash.slice(1));
  for (const [pattern, view, names] of ROUTES) {
    const found = pattern.exec(url.pathname);
    if (found) return { view, params: Object.fromEntries(names.map((name, i) => [name, safeDecode(found[i + 1])])), query, hash };
  }
  return { view: 'not-found', params: {}, query, hash };
}

/** An address from its parts; empty values are left out. */
export function address(path, query = {}, hash = '') {
  const search = new URLSearchParams(Object.entries(query).filter(([, value]) => value != null && value !== ''));
  const text = search.toString();
  return `${path}${text ? `?${text}` : ''}${hash ? `#${encodeURIComponent(hash)}` : ''}`;
}

export const jobPath = (id) => `/jobs/${encodeURIComponent(id)}`;
export const projectPath = (project) => `/projects/${project.split('/').map(encodeURIComponent).join('/')}`;

function safeDecode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Calls `show` with each place one comes to; links of this origin become steps. Answers `go(address, replace)`. */
export function start(show) {
  const here = () => show(match(location.pathname + location.search + location.hash));
  const go = (to, replace = false) => {
    history[replace ? 'replaceState' : 'pushState'](null, '', to);
    here();
  };
  addEventListener('popstate', here);
  document.addEventListener('click', (event) => {
    const link = event.target.closest?.('a[href]');
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!link || !plain || event.defaultPrevented || link.target || link.hasAttribute('download')) return;
    if (link.origin !== location.origin || link.pathname.startsWith('/api/')) return;
    event.preventDefault();
    go(link.pathname + link.search + link.hash);
    if (!link.hash) scrollTo(0, 0);
  });
  here();
  return go;
}
