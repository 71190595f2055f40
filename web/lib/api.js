// The REST API: each call answers JSON or throws an ApiError whose message says what to do. Who asks is known to the queen by
// a cookie that no script can read. Read next: docs/api.md.

/** An answer that was no success. `kind` is for programs: `unauthorized`, `not_found`, … */
export class ApiError extends Error {
  /**
   * @param {number} status 0 if the queen could not be reached
   * @param {string} kind
   * @param {string} message
   */
  constructor(status, kind, message) {
    super(message);
    this.status = status;
    this.kind = kind;
  }
}

/** What was asked for before this module was there, by path: the answer and its text, which are taken once. See first.js. */
const early = globalThis.skepEarly ?? new Map();

/**
 * @param {string} method
 * @param {string} path below /api/v1
 * @param {unknown} [body]
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
async function call(method, path, body, signal) {
  /** @type {Record<string, string>} */
  const headers = { accept: 'application/json' };
  if (body !== undefined) headers['content-type'] = 'application/json';
  let response;
  let text;
  const asked = method === 'GET' ? early.get(path) : undefined;
  if (asked) early.delete(path);
  try {
    const options = { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) };
    [response, text] = await (asked ?? fetch(`/api/v1${path}`, options).then(async (answer) => [answer, await answer.text()]));
  } catch {
    throw new ApiError(0, 'unreachable', 'The queen cannot be reached. This page tries again by itself.');
  }
  /** @type {any} */
  let json = null;
  try {
    json = text ? JSON.parse(text) : null;
  } catch {
    // Something between here and the queen answered in its own way.
  }
  if (!response.ok) throw new ApiError(response.status, json?.kind ?? '', json?.error ?? `${response.status} ${response.statusText}`);
  return json;
}

const query = (values) => {
  const text = new URLSearchParams(Object.entries(values).filter(([, value]) => value != null && value !== '')).toString();
  return text ? `?${text}` : '';
};
const part = encodeURIComponent;
const projectAt = (name) => `/projects/${name.split('/').map(part).join('/')}`;

export const api = {
  session: () => call('GET', '/session'),
  signIn: (token) => call('POST', '/session', { token }),
  signOut: () => call('DELETE', '/session'),
  jobs: (filter = {}) => call('GET', `/jobs${query(filter)}`),
  job: (id) => call('GET', `/jobs/${part(id)}`),
  files: (id) => call('GET', `/jobs/${part(id)}/files`),
  logLines: (id, num, from, count, signal) => call('GET', `/jobs/${part(id)}/log/lines${query({ num, from, count })}`, undefined, signal),
  logSearch: (id, text, signal, num) => call('GET', `/jobs/${part(id)}/log/search${query({ text, num })}`, undefined, signal),
  cases: (id, filter) => call('GET', `/jobs/${part(id)}/cases${query(filter)}`),
  compare: (id, other) => call('GET', `/jobs/${part(id)}/compare${query({ with: other })}`),
  submit: (job) => call('POST', '/jobs', job),
  cancel: (id, reason) => call('POST', `/jobs/${part(id)}/cancel`, { reason }),
  /** `what`: `{ failed: true }`, `{ only: [path, …] }`, or nothing for the whole job. */
  rerun: (id, what = {}) => call('POST', `/jobs/${part(id)}/rerun`, what),
  fleet: () => call('GET', '/fleet'),
  drones: () => call('GET', '/drones'),
  drain: (id, on) => call('POST', `/drones/${part(id)}/drain`, { on }),
  queue: () => call('GET', '/queue'),
  projects: () => call('GET', '/projects'),
  project: (name, filter = {}) => call('GET', `${projectAt(name)}${query(filter)}`),
  trend: (name, filter = {}) => call('GET', `${projectAt(name)}/trend${query(filter)}`),
  quarantined: (name) => call('GET', `${projectAt(name)}/quarantine`),
  quarantine: (name, path, reason) => call('PUT', `${projectAt(name)}/quarantine${query({ path })}`, { reason }),
  lift: (name, path) => call('DELETE', `${projectAt(name)}/quarantine${query({ path })}`),
  history: (name, path) => call('GET', `${projectAt(name)}/history${query({ path })}`),
};

/** Where a project's badge is, for pages elsewhere. */
export const badgePath = (name, branch = '') => `/api/v1${projectAt(name)}/badge.svg${query({ branch })}`;
