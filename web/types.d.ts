// What the dashboard's modules have in common, for the checker of types alone. The API's own words: docs/api.md.

export type JobState = 'queued' | 'running' | 'passed' | 'failed' | 'errored' | 'cancelled';
export type Outcome = 'passed' | 'failed' | 'empty' | 'flaky' | 'timedout' | 'crashed' | 'notrun';

export interface Trigger {
  type: string;
  message?: string;
  timestamp?: string | number;
  author?: { name?: string; username?: string; email?: string };
}

/** A job as lists and its page show it. Times are Unix milliseconds. */
export interface Job {
  id: string;
  project: string;
  state: JobState;
  job_type: string;
  branch: string | null;
  commit: string | null;
  repo: string | null;
  trigger: Trigger;
  user_id: string | null;
  priority: number;
  labels: string[];
  attempt: number;
  submitted: number;
  started: number | null;
  finished: number | null;
  error: { kind: string; message: string } | null;
  cancel_reason: string | null;
  runner: string | null;
  files_total: number;
  files_done: number;
  files_bad: number;
  rerun_of: string | null;
  last_seq: number;
  log_removed?: number;
  now?: {
    waits: string | null;
    expected_end: number | null;
    lower_bound: number | null;
    running: { num: number; path: string; drone: string; attempt: number; since: number | null }[];
    drones: string[];
  };
}

export interface JobPage {
  jobs: Job[];
  /** The cursor of the next, older page; absent on the last one. */
  next?: string | null;
}

/** What a slot of a drone runs. */
export interface Slot {
  job: string;
  path: string;
  num: number;
  attempt: number;
  since: number | null;
}

export interface Drone {
  id: string;
  name: string;
  connected: boolean;
  draining: boolean;
  /** Speed that it says it has, and what its files really took. */
  speed: number;
  effective_speed: number;
  capacity: number;
  active: number;
  queued: number;
  labels: string[];
  plugins: string[];
  runners: string[];
  platform: string;
  version: string;
  jobs: string[];
  running?: Slot[];
}

export interface Waiting {
  job: string;
  /** Why, in words that follow "waits". */
  waits: string;
  since: number;
  backlog: string | null;
}

export interface Fleet {
  /** Minute's start in milliseconds, files that ended in it; the last hour, oldest first. */
  throughput: [number, number][];
  slots: number;
  busy: number;
  running: number;
  waiting: number;
}

export interface FileHistory {
  path: string;
  /** Usual milliseconds at speed 100. */
  duration: number;
  runs: number;
  bad: number;
  flaky: number;
  failed: boolean;
  last: number;
}

export interface Project {
  project: string;
  jobs: number;
  last_job: string | null;
  last_state: JobState | null;
  last_submitted: number | null;
  files?: FileHistory[];
  /** The first of each kind, 50 at most. */
  slowest?: FileHistory[];
  flaky?: FileHistory[];
}

/** One job of a project's trend, oldest first. */
export interface TrendJob {
  id: string;
  submitted: number;
  state: JobState;
  /** Milliseconds from its start to its end. */
  duration: number | null;
  files: number;
  bad: number;
  flaky: number;
}

export interface Session {
  role: 'admin' | 'trigger' | 'read' | 'open' | string;
  name?: string;
  signed_in: boolean;
  /** What may be done; absent: everything is offered, and the queen decides. */
  may?: string[];
}

/** Where one is. */
export interface Place {
  view: string;
  params: Record<string, string>;
  query: Record<string, string>;
  hash: string;
  /** One came back here, by the browser's history. */
  back?: boolean;
}

export interface Lists {
  version: number;
  jobs: Map<string, Job>;
  drones: Map<string, Drone>;
  queue: Waiting[];
}

/** What a topic tells. */
export interface Message {
  type: string;
  // biome-ignore lint/suspicious/noExplicitAny: each type has args of its own
  args: any[];
}

/** What every view gets. */
export interface Context {
  api: typeof import('./lib/api.js').api;
  live: import('./lib/live.js').Live;
  lists: Lists;
  listeners: Set<(message: Message) => void>;
  session: Session | null;
  /** The job whose page is open, and its files by path. */
  here: { id: string; files: Map<string, { path: string; num: number | null }> } | null;
  may(what: string): boolean;
  /** The newest row of a job that is known, from one that was loaded. */
  fresh(job: Job): Job;
  go(address: string, replace?: boolean): void;
  droneName(id: string): string;
  signIn(token: string): Promise<void>;
  signOut(): Promise<void>;
}
