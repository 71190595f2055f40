// Addresses and views: which view an address means, and how to go from one to the next without loading the page anew.

/** @type {[RegExp, string, string[]][]} */
const ROUTES = [
  [/^\/$/, 'fleet', []],
  [/^\/jobs\/?$/, 'jobs', []],
  [/^\/jobs\/([^/]+)\/?$/, 'job', ['id']],
  [/^\/projects\/?$/, 'projects', []],
  [/^\/projects\/(.+?)\/?$/, 'project', ['name']],
  [/^\/new\/?$/, 'new-job', []],
];

/**
 * What an address means; the view of an unknown one is `not-found`.
 * @param {string} address
 * @returns {import('../types').Place}
 */
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

/**
 * Calls `show` with each place one comes to from here on; links of this origin become steps. Answers `go(address, replace)`. A
 * place that one came back to says so by `back`.
 */
export function start(show) {
  const here = (back) => show({ ...match(location.pathname + location.search + location.hash), back });
  const go = (to, replace = false) => {
    history[replace ? 'replaceState' : 'pushState'](null, '', to);
    here(false);
  };
  // A view that one comes back to scrolls to where it was when it has its rows again.
  history.scrollRestoration = 'manual';
  addEventListener('popstate', () => here(true));
  document.addEventListener('click', (event) => {
    const link = /** @type {Element | null} */ (event.target)?.closest?.('a[href]');
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    // A link in a drawing has an address, too, but of another kind.
    if (!link || !plain || event.defaultPrevented || link.getAttribute('target') || link.hasAttribute('download')) return;
    const to = new URL(link.getAttribute('href') ?? '', location.href);
    if (to.origin !== location.origin || to.pathname.startsWith('/api/')) return;
    event.preventDefault();
    if (to.pathname === location.pathname && to.search === location.search && to.hash) {
      // A step within the page.
      document.getElementById(decodeURIComponent(to.hash.slice(1)))?.focus();
      return;
    }
    go(to.pathname + to.search + to.hash);
  });
  return go;
}
