-- What a queen keeps. Times are Unix milliseconds. `key` numbers stand for long names inside the database only.
-- Values that no query asks for stay JSON text, so that they can grow without a migration: text and not jsonb, because
-- they are read back byte for byte and may hold a \u0000.
-- Text that is compared or sorted has the collation "C": the order of bytes, whatever the database was made with.
-- There are no REFERENCES: the one writer looks up what it refers to in the same transaction, and a check for each row
-- would cost as much as the row.

CREATE TABLE meta (
    name  TEXT COLLATE "C" PRIMARY KEY,
    value BYTEA NOT NULL
);

-- The queen that writes. Every transaction that writes holds this row with its own name in it, so that a queen whose
-- database was taken over can write no more.
CREATE TABLE owner (
    one   BOOLEAN PRIMARY KEY DEFAULT true CHECK (one),
    name  TEXT COLLATE "C" NOT NULL,
    pings BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE projects (
    key  BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    jobs BIGINT NOT NULL DEFAULT 0
);

-- Narrow, because its rows change with every step of a job and lists walk it.
CREATE TABLE jobs (
    key       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id        TEXT COLLATE "C" NOT NULL UNIQUE,
    project   BIGINT NOT NULL,
    branch    TEXT COLLATE "C",
    kind      TEXT COLLATE "C" NOT NULL,    -- of the trigger
    submitted BIGINT NOT NULL,
    state     TEXT COLLATE "C" NOT NULL,
    standing  TEXT NOT NULL                 -- JSON: how it stands
) WITH (fillfactor = 80);

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
    job    BIGINT PRIMARY KEY,
    digest BYTEA NOT NULL,
    spec   TEXT NOT NULL,       -- JSON: what the scheduler was told
    data   TEXT NOT NULL,       -- JSON: what the client sent, secrets taken out
    sealed BYTEA                -- the same with secrets, encrypted; absent if there are none
);

-- An author is found by name, user name or mail address.
CREATE TABLE job_authors (
    author    TEXT COLLATE "C" NOT NULL,
    submitted BIGINT NOT NULL,
    id        TEXT COLLATE "C" NOT NULL,
    job       BIGINT NOT NULL,
    PRIMARY KEY (author, submitted, id)
);

-- Where a text is looked for: id, project and branch in lines, and the message, all in small letters. The hashes of
-- every one, two and three characters that follow each other find the candidates; no extension is needed for that.
CREATE TABLE job_text (
    job     BIGINT PRIMARY KEY,
    names   TEXT COLLATE "C" NOT NULL,
    message TEXT COLLATE "C" NOT NULL,
    grams   INTEGER[] NOT NULL
);
CREATE INDEX job_text_by_gram ON job_text USING gin (grams) WITH (gin_pending_list_limit = 1024);

-- Where the event stream of a job stands; it changes with every write, so it is apart from the job, and its pages keep
-- room for the next version of each row.
CREATE TABLE streams (
    job        BIGINT PRIMARY KEY,
    last_seq   BIGINT NOT NULL DEFAULT 0,
    epoch      BIGINT NOT NULL DEFAULT 0,   -- time of the first event; the others' count from it
    open_first BIGINT NOT NULL DEFAULT 0,   -- first event that is not packed yet, 0 if there is none
    open_bytes BIGINT NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- Events first..=last of a job: text while the row is open, a zstd block once it is packed.
CREATE TABLE events (
    job    BIGINT NOT NULL,
    first  BIGINT NOT NULL,
    last   BIGINT NOT NULL,
    bytes  BIGINT NOT NULL,     -- of text
    packed BOOLEAN NOT NULL,
    body   BYTEA NOT NULL,
    PRIMARY KEY (job, first)
);
-- Packed blocks do not shrink, and open text is soon packed: no second compression.
ALTER TABLE events ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE TABLE files (
    job           BIGINT NOT NULL,
    idx           BIGINT NOT NULL,
    path          TEXT NOT NULL,
    name          TEXT COLLATE "C" NOT NULL,    -- the path as results have it
    state         TEXT NOT NULL,
    attempt       BIGINT NOT NULL,
    num           BIGINT,
    token         BIGINT,
    drone         TEXT,
    outcome       TEXT,
    bad           BIGINT NOT NULL,
    lost          BIGINT NOT NULL,
    expect        BIGINT,
    failed_before BOOLEAN NOT NULL,
    PRIMARY KEY (job, idx)
) WITH (fillfactor = 80);

CREATE TABLE leases (
    job      BIGINT NOT NULL,
    token    BIGINT NOT NULL,
    state    TEXT NOT NULL,
    standing TEXT NOT NULL,     -- JSON
    PRIMARY KEY (job, token)
);

CREATE TABLE results (
    key      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job      BIGINT NOT NULL,
    project  BIGINT NOT NULL,
    path     TEXT COLLATE "C" NOT NULL,
    attempt  BIGINT NOT NULL,
    num      BIGINT NOT NULL,
    drone    TEXT,
    at       BIGINT NOT NULL,
    outcome  TEXT NOT NULL,
    duration DOUBLE PRECISION NOT NULL,
    result   TEXT NOT NULL,     -- JSON
    UNIQUE (job, path, attempt, num)
);
CREATE INDEX results_by_path ON results (project, path, at);

-- Cases of an attempt in the order of the keys: zstd blocks of JSON.
CREATE TABLE cases (
    key     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job     BIGINT NOT NULL,
    num     BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    body    BYTEA NOT NULL
);
ALTER TABLE cases ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX cases_by_attempt ON cases (job, num, attempt);

CREATE TABLE durations (
    project BIGINT NOT NULL,
    path    TEXT COLLATE "C" NOT NULL,
    mean    DOUBLE PRECISION NOT NULL,  -- milliseconds at speed 100
    timed   BIGINT NOT NULL,            -- runs that the mean is made of; 0: it is only a guess
    runs    BIGINT NOT NULL,
    bad     BIGINT NOT NULL,
    flaky   BIGINT NOT NULL,
    failed  BOOLEAN NOT NULL,
    last    BIGINT NOT NULL,
    PRIMARY KEY (project, path)
) WITH (fillfactor = 80);

CREATE TABLE drones (
    id       TEXT COLLATE "C" PRIMARY KEY,
    draining BOOLEAN NOT NULL DEFAULT false,
    learned  DOUBLE PRECISION
);

-- The lives of a drone, the last one with the greatest key: a message of an earlier one cannot bring that back.
CREATE TABLE drone_lives (
    key         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    drone       TEXT COLLATE "C" NOT NULL,
    incarnation TEXT COLLATE "C" NOT NULL,
    applied     BIGINT NOT NULL,
    UNIQUE (drone, incarnation)
) WITH (fillfactor = 50);

CREATE TABLE tokens (
    id      TEXT COLLATE "C" PRIMARY KEY,
    name    TEXT NOT NULL,
    role    TEXT NOT NULL,
    hash    BYTEA NOT NULL UNIQUE,
    created BIGINT NOT NULL
);
