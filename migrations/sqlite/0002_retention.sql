-- What finished jobs hold: one row each, so that the oldest are found and their sizes are added up without reading them.
-- Apart from the jobs, whose rows stay narrow. Bytes are about what the rows take, with their indexes.
CREATE TABLE endings (
    job         INTEGER PRIMARY KEY REFERENCES jobs,
    at          INTEGER NOT NULL,   -- when it reached its final state
    log         INTEGER NOT NULL,   -- bytes of events and cases that are still there
    rest        INTEGER NOT NULL,   -- bytes of everything else
    log_removed INTEGER,            -- when its log began to be removed
    going       INTEGER NOT NULL DEFAULT 0  -- the whole job has begun to be removed
) STRICT;
CREATE INDEX endings_oldest ON endings (at, job, log, rest);
CREATE INDEX endings_with_log ON endings (at, job) WHERE log > 0;
-- What was begun is ended, whatever the limits say by then.
CREATE INDEX endings_log_begun ON endings (at, job) WHERE log > 0 AND log_removed IS NOT NULL;
CREATE INDEX endings_begun ON endings (at, job) WHERE going = 1;

-- A job that goes takes its authors along.
CREATE INDEX job_authors_by_job ON job_authors (job);

-- Learned of files that have not run for long goes first.
CREATE INDEX durations_oldest ON durations (last);

INSERT INTO endings (job, at, log, rest)
SELECT key, coalesce(standing ->> 'finished', submitted),
       coalesce((SELECT sum(octet_length(body) + 64) FROM events WHERE job = jobs.key), 0)
           + coalesce((SELECT sum(octet_length(body) + 64) FROM cases WHERE job = jobs.key), 0),
       4096
           + coalesce((SELECT sum(octet_length(result) + 3 * octet_length(path) + 128) FROM results WHERE job = jobs.key), 0)
           + coalesce((SELECT sum(2 * octet_length(path) + 64) FROM files WHERE job = jobs.key), 0)
FROM jobs WHERE state NOT IN ('queued', 'running');
