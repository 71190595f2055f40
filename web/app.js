// The dashboard's beginning: builds the one context, shows the view that the address means. Read next: lib/router.js.

import { Frame } from './components/frame.js';
import { html, render, useEffect, useState } from './components/html.js';
import { Notice } from './components/parts.js';
import { api, token } from './lib/api.js';
import { Live } from './lib/live.js';
import { match, start } from './lib/router.js';
import { emptyLists, lists } from './lib/store.js';
import { Fleet } from './views/fleet.js';
import { Job } from './views/job.js';
import { Jobs } from './views/jobs.js';
import { NewJob } from './views/new-job.js';
import { Project, Projects } from './views/project.js';

const VIEWS = { fleet: Fleet, jobs: Jobs, job: Job, projects: Projects, project: Project, 'new-job': NewJob };

// A browser cannot give a WebSocket headers, so the token goes along as a subprotocol; the queen answers with the first.
const live = new Live({ protocols: () => ['skep.live.v1', ...(token.get() ? [`skep.token.${token.get()}`] : [])] });

let show = () => {};
const ctx = {
  api: guarded(api),
  live,
  token,
  lists: emptyLists(),
  /** Called after each change of `lists`. */
  listeners: new Set(),
  go: () => {},
  /** What people call a drone; its id until that is known. */
  droneName: (id) => ctx.lists.drones.get(id)?.name ?? id,
  signIn: (value) => {
    token.set(value);
    location.reload();
  },
};

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
  addEventListener('online', () => live.retry());
}

/** The API, with every refusal for want of a token shown as sign-in. */
function guarded(calls) {
  const wrap =
    (f) =>
    async (...args) => {
      try {
        return await f(...args);
      } catch (error) {
        if (error.status === 401) show({ signedOut: error.message });
        throw error;
      }
    };
  return Object.fromEntries(Object.entries(calls).map(([name, f]) => [name, wrap(f)]));
}

function App() {
  const [place, setPlace] = useState(match(location.href));
  const [connection, setConnection] = useState(live.state);
  const [signedOut, setSignedOut] = useState(null);
  useEffect(() => {
    show = ({ signedOut: message }) => setSignedOut(message);
    ctx.go = start(setPlace);
    const stop = live.watch(setConnection);
    listen();
    return stop;
  }, []);
  const View = VIEWS[place.view];
  // Another job or project is another view: nothing of the last one stays.
  const key = place.view + Object.values(place.params).join('/');
  return html`<${Frame} ctx=${ctx} place=${place} connection=${connection} signedOut=${signedOut}>
    ${View ? html`<${View} key=${key} ctx=${ctx} place=${place} />` : html`<${Notice} title="Nothing is here">There is no page at this address. <a href="/">To the fleet</a><//>`}
  <//>`;
}

render(html`<${App} />`, document.getElementById('app'));
