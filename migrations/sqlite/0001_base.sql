-- What a queen keeps. Times are Unix milliseconds. `key` numbers stand for long names inside the database only.
-- Values that no query asks for stay JSON, so that they can grow without a migration.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE projects (
    key  INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    jobs INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Narrow, because its rows change with every step of a job and lists walk it.
CREATE TABLE jobs (
    key       INTEGER PRIMARY KEY,
    id        TEXT NOT NULL UNIQUE,
    project   INTEGER NOT NULL REFERENCES projects,
    branch    TEXT,
    kind      TEXT NOT NULL,    -- of the trigger
    submitted INTEGER NOT NULL,
    state     TEXT NOT NULL,
    standing  TEXT NOT NULL     -- JSON: how it stands
) STRICT;

-- One index a filter, each in the order of the pages.
CREATE INDEX jobs_newest ON jobs (submitted, id);
CREATE INDEX jobs_by_state ON jobs (state, submitted, id);
CREATE INDEX jobs_by_project ON jobs (project, submitted, id);
CREATE INDEX jobs_by_project_state ON jobs (project, state, submitted, id);
CREATE INDEX jobs_by_project_branch ON jobs (project, branch, submitted, id);
CREATE INDEX jobs_by_branch ON jobs (branch, submitted, id);
CREATE INDEX jobs_by_kind ON jobs (kind, submitted, id);

-- What never changes of a job.
CREATE TABLE job_data (
    job     INTEGER PRIMARY KEY REFERENCES jobs,
    digest  BLOB NOT NULL,
    message TEXT NOT NULL,
    spec    TEXT NOT NULL,      -- JSON: what the scheduler was told
    data    TEXT NOT NULL,      -- JSON: what the client sent, secrets taken out
    sealed  BLOB                -- the same with secrets, encrypted; absent if there are none
) STRICT;

-- An author is found by name, user name or mail address.
CREATE TABLE job_authors (
    author    TEXT NOT NULL,
    submitted INTEGER NOT NULL,
    id        TEXT NOT NULL,
    job       INTEGER NOT NULL REFERENCES jobs,
    PRIMARY KEY (author, submitted, id)
) STRICT, WITHOUT ROWID;

-- Finds candidates for a text anywhere in id, project, branch or message; the query looks at each itself.
CREATE VIRTUAL TABLE job_text USING fts5 (
    body, tokenize = 'trigram', detail = 'none', content = '', contentless_delete = 1
);
-- Its trigrams, for texts shorter than one.
CREATE VIRTUAL TABLE job_terms USING fts5vocab(job_text, row);

-- Where the event stream of a job stands; it changes with every write, so it is apart from the job.
CREATE TABLE streams (
    job        INTEGER PRIMARY KEY REFERENCES jobs,
    last_seq   INTEGER NOT NULL DEFAULT 0,
    epoch      INTEGER NOT NULL DEFAULT 0,  -- time of the first event; the others' count from it
    open_first INTEGER NOT NULL DEFAULT 0,  -- first event that is not packed yet, 0 if there is none
    open_bytes INTEGER NOT NULL DEFAULT 0,
    page_first INTEGER NOT NULL DEFAULT 0,  -- first event of the row that grows, 0 if there is none
    page_bytes INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Events first..=last of a job: text while the row is open, a zstd block once it is packed.
CREATE TABLE events (
    key    INTEGER PRIMARY KEY,
    job    INTEGER NOT NULL REFERENCES jobs,
    first  INTEGER NOT NULL,
    last   INTEGER NOT NULL,
    bytes  INTEGER NOT NULL,    -- of text
    packed INTEGER NOT NULL,
    body   ANY NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_by_first ON events (job, first);

CREATE TABLE files (
    job           INTEGER NOT NULL REFERENCES jobs,
    idx           INTEGER NOT NULL,
    path          TEXT NOT NULL,
    state         TEXT NOT NULL,
    attempt       INTEGER NOT NULL,
    num           INTEGER,
    token         INTEGER,
    drone         TEXT,
    outcome       TEXT,
    bad           INTEGER NOT NULL,
    lost          INTEGER NOT NULL,
    expect        INTEGER,
    failed_before INTEGER NOT NULL,
    PRIMARY KEY (job, idx)
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
    job      INTEGER NOT NULL REFERENCES jobs,
    token    INTEGER NOT NULL,
    state    TEXT NOT NULL,
    standing TEXT NOT NULL,     -- JSON
    PRIMARY KEY (job, token)
) STRICT, WITHOUT ROWID;

CREATE TABLE results (
    key      INTEGER PRIMARY KEY,
    job      INTEGER NOT NULL REFERENCES jobs,
    project  INTEGER NOT NULL REFERENCES projects,
    path     TEXT NOT NULL,
    attempt  INTEGER NOT NULL,
    num      INTEGER NOT NULL,
    drone    TEXT,
    at       INTEGER NOT NULL,
    outcome  TEXT NOT NULL,
    duration REAL NOT NULL,
    result   TEXT NOT NULL      -- JSON
) STRICT;
CREATE UNIQUE INDEX results_by_attempt ON results (job, path, attempt, num);
CREATE INDEX results_by_path ON results (project, path, at);

-- Cases of an attempt in the order of the keys: zstd blocks of JSON.
CREATE TABLE cases (
    key     INTEGER PRIMARY KEY,
    job     INTEGER NOT NULL REFERENCES jobs,
    num     INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    body    BLOB NOT NULL
) STRICT;
CREATE INDEX cases_by_attempt ON cases (job, num, attempt);

CREATE TABLE durations (
    project INTEGER NOT NULL REFERENCES projects,
    path    TEXT NOT NULL,
    mean    REAL NOT NULL,      -- milliseconds at speed 100
    timed   INTEGER NOT NULL,   -- runs that the mean is made of; 0: it is only a guess
    runs    INTEGER NOT NULL,
    bad     INTEGER NOT NULL,
    flaky   INTEGER NOT NULL,
    failed  INTEGER NOT NULL,
    last    INTEGER NOT NULL,
    PRIMARY KEY (project, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE drones (
    id       TEXT PRIMARY KEY,
    draining INTEGER NOT NULL DEFAULT 0,
    learned  REAL
) STRICT, WITHOUT ROWID;

-- The lives of a drone, the last one with the greatest key: a message of an earlier one cannot bring that back.
CREATE TABLE drone_lives (
    key         INTEGER PRIMARY KEY AUTOINCREMENT,
    drone       TEXT NOT NULL REFERENCES drones,
    incarnation TEXT NOT NULL,
    applied     INTEGER NOT NULL,
    UNIQUE (drone, incarnation)
) STRICT;

CREATE TABLE tokens (
    id      TEXT PRIMARY KEY,
    name    TEXT NOT NULL,
    role    TEXT NOT NULL,
    hash    BLOB NOT NULL UNIQUE,
    created INTEGER NOT NULL
) STRICT;
