// The REST API: each call answers JSON or throws an ApiError whose message says what to do. Knows the token.

const TOKEN = 'skep-token';

/** The token of this browser, or null. */
export const token = {
  get: () => localStorage.getItem(TOKEN),
  set: (value) => (value ? localStorage.setItem(TOKEN, value) : localStorage.removeItem(TOKEN)),
};

/** An answer that was no success. `kind` is for programs: `unauthorized`, `not_found`, … */
export class ApiError extends Error {
  constructor(status, kind, message) {
    super(message);
    this.status = status;
    this.kind = kind;
  }
}

async function call(method, path, body) {
  const headers = { accept: 'application/json' };
  if (body !== undefined) headers['content-type'] = 'application/json';
  const value = token.get();
  if (value) headers.authorization = `Bearer ${value}`;
  let response;
  try {
    response = await fetch(`/api/v1${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new ApiError(0, 'unreachable', 'The queen cannot be reached. This page tries again by itself.');
  }
  const text = await response.text();
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

export const api = {
  jobs: (filter = {}) => call('GET', `/jobs${query(filter)}`),
  job: (id) => call('GET', `/jobs/${part(id)}`),
  files: (id) => call('GET', `/jobs/${part(id)}/files`),
  submit: (job) => call('POST', '/jobs', job),
  cancel: (id, reason) => call('POST', `/jobs/${part(id)}/cancel`, { reason }),
  rerun: (id, failed) => call('POST', `/jobs/${part(id)}/rerun`, { failed }),
  drones: () => call('GET', '/drones'),
  drain: (id, on) => call('POST', `/drones/${part(id)}/drain`, { on }),
  queue: () => call('GET', '/queue'),
  projects: () => call('GET', '/projects'),
  project: (name) => call('GET', `/projects/${name.split('/').map(part).join('/')}`),
};
