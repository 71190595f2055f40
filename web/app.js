// The dashboard's beginning: builds the one context, shows the view that the address means. Read next: lib/router.js.

import { Frame } from './components/frame.js';
import { usePage } from './components/hooks.js';
import { Component, html, render, useEffect, useLayoutEffect, useState } from './components/html.js';
import { Notice, Skeleton } from './components/parts.js';
import { api } from './lib/api.js';
import { Live } from './lib/live.js';
import { match, start } from './lib/router.js';
import { emptyLists, lists } from './lib/store.js';

/** A view's module is loaded when one first comes to it: `[load, its component's name]`. */
const VIEWS = {
  fleet: [() => import('./views/fleet.js'), 'Fleet'],
  jobs: [() => import('./views/jobs.js'), 'Jobs'],
  job: [() => import('./views/job.js'), 'Job'],
  projects: [() => import('./views/projects.js'), 'Projects'],
  project: [() => import('./views/project.js'), 'Project'],
  'new-job': [() => import('./views/new-job.js'), 'NewJob'],
  'sign-in': [() => import('./views/sign-in.js'), 'SignIn'],
};
const loaded = new Map();

/** The component of a view, now if it is there already. */
async function load(view) {
  const [module, name] = VIEWS[view];
  const component = (await module())[name];
  loaded.set(view, component);
  return component;
}

const live = new Live();
/** Told of what concerns the whole page. */
let page = { moved: (_place) => {}, session: (_session) => {} };

/** @type {import('./types').Context} */
const ctx = {
  api: guarded(api),
  live,
  lists: emptyLists(),
  listeners: new Set(),
  session: null,
  here: null,
  may: (what) => !ctx.session?.may || ctx.session.may.includes(what),
  fresh: (job) => {
    const heard = ctx.lists.jobs.get(job.id);
    // What was heard before the connection was away may be older than what was just loaded.
    return heard && heard.last_seq >= job.last_seq ? { ...job, ...heard } : job;
  },
  go: () => {},
  droneName: (id) => ctx.lists.drones.get(id)?.name ?? id,
  signIn: async (token) => {
    await api.signIn(token);
    // Everything that was loaded, and the live connection, begin anew as somebody else.
    location.reload();
  },
  signOut: async () => {
    await api.signOut();
    location.assign('/');
  },
};

/** Who one is. A queen that cannot say is asked by whatever comes next; it refuses what one may not do. */
async function whoAmI() {
  try {
    ctx.session = await api.session();
  } catch {
    return;
  }
  page.session({ ...ctx.session });
}

/** Hears of jobs and drones as long as the page is open. */
function listen() {
  const take = (message) => {
    lists(ctx.lists, message);
    for (const f of ctx.listeners) f(message);
  };
  live.topics([{ topic: 'jobs' }, { topic: 'drones' }], take);
  // Names of drones that were there before; a refusal is shown by whatever else is asked for.
  const known = (drones) => {
    for (const drone of drones) take({ type: 'drone:changed', args: [drone] });
  };
  ctx.api.drones().then(known, () => {});
}

/** The API, with every refusal for want of a token shown as sign-in. */
function guarded(calls) {
  const refused = (error) => {
    if (error.status === 401) page.session({ role: null, signed_in: false, may: [], why: error.message });
    throw error;
  };
  const wrap =
    (f) =>
    (...args) =>
      f(...args).catch(refused);
  return /** @type {typeof calls} */ (Object.fromEntries(Object.entries(calls).map(([name, f]) => [name, wrap(f)])));
}

/** What keeps one broken view from taking the frame with it. */
class Boundary extends Component {
  state = { error: null };

  componentDidCatch(error) {
    this.setState({ error });
    console.error(error);
  }

  render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    return html`<${Notice} kind="bad" title="This view broke">
      ${String(error)} <button onClick=${() => location.reload()}>Load it again</button>
    <//>`;
  }
}

function NotFound() {
  usePage('Not found');
  return html`<h1>Nothing is here</h1>
    <p>There is no page at this address. <a href="/">To the fleet</a> or <a href="/jobs">all jobs</a>.</p>`;
}

/** A view, or what stands in its place until its module is there. */
function Loaded({ view, place }) {
  const [, redraw] = useState(0);
  const [error, setError] = useState(null);
  const there = loaded.get(view);
  const fetchIt = () => {
    setError(null);
    load(view).then(() => redraw((n) => n + 1), setError);
  };
  useEffect(() => {
    if (!there) fetchIt();
  }, [view]);
  // The network came back, or the queen did.
  useEffect(() => live.watch((state) => state === 'open' && !loaded.has(view) && fetchIt()), [view]);
  if (there) return html`<${there} ctx=${ctx} place=${place} />`;
  if (error) {
    return html`<${Notice} kind="bad" title="This view could not be loaded">
      The queen cannot be reached. <button onClick=${fetchIt}>Try again</button>
    <//>`;
  }
  return html`<${Skeleton} rows="8" />`;
}

function App({ first }) {
  const [place, setPlace] = useState(first);
  const [session, setSession] = useState(ctx.session);
  // What is pressed as soon as it is seen does something.
  useLayoutEffect(() => {
    page = { moved: setPlace, session: setSession };
    ctx.go = start((next) => page.moved(next));
  }, []);
  useEffect(() => {
    asked.then(() => {
      // It may have been told before there was anybody to hear.
      setSession((before) => before ?? ctx.session);
      if (ctx.may('read')) listen();
    });
    // Whoever could not be asked at first is asked when there is a connection.
    // And a connection that was refused may have been so because the session has ended.
    const stop = live.watch((state) => {
      if (state === 'open' ? !ctx.session : state === 'waiting' && ctx.session?.signed_in) whoAmI();
    });
    const online = () => live.retry();
    addEventListener('online', online);
    return () => {
      stop();
      removeEventListener('online', online);
    };
  }, []);
  const out = session != null && session.role == null;
  const view = out ? 'sign-in' : place.view;
  // Another job or project is another view: nothing of the last one stays.
  const key = view + Object.values(place.params).join('/');
  // One begins a view at its top, but comes back to where one was: that is the view's to know, once it has its rows.
  useLayoutEffect(() => {
    if (!place.back && !place.hash) scrollTo(0, 0);
  }, [key]);
  const content = VIEWS[view] ? html`<${Loaded} key=${key} view=${view} place=${place} />` : html`<${NotFound} />`;
  return html`<${Frame} ctx=${ctx} place=${place} session=${session} out=${out}>
    <${Boundary} key=${`of ${key}`}>${content}<//>
  <//>`;
}

/** Draws the page once its first view is there: it comes along with this module, not after it. What fails, the view shows. */
async function begin() {
  const root = document.getElementById('app');
  const first = match(location.href);
  if (VIEWS[first.view]) await load(first.view).catch(() => {});
  if (root) render(html`<${App} first=${first} />`, root);
}

const asked = whoAmI();
begin();
