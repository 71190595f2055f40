-- Files that somebody has put under quarantine: one that fails is tried again in the same job, and counts if it fails each time.
CREATE TABLE quarantine (
    project INTEGER NOT NULL REFERENCES projects,
    path    TEXT NOT NULL,
    reason  TEXT NOT NULL,
    who     TEXT,               -- none if the queen asked nobody for a token
    since   INTEGER NOT NULL,
    PRIMARY KEY (project, path)
) STRICT, WITHOUT ROWID;

-- It was there when its job listed it.
ALTER TABLE files ADD COLUMN quarantined INTEGER NOT NULL DEFAULT 0;

-- When it was bad the last time, which is known longer than its results are kept.
ALTER TABLE durations ADD COLUMN failed_at INTEGER;
UPDATE durations SET failed_at = (
    SELECT max(at) FROM results
    WHERE results.project = durations.project AND results.path = durations.path
        AND outcome IN ('failed', 'timedout', 'crashed'))
WHERE bad > 0;
