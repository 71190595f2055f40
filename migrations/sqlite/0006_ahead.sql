-- Jobs that came before one of an earlier time, which happens where a clock goes back. The order of all others' keys is that of
-- their times, so that those that are found by their keys are put into the order of the list without looking at all. This
-- takes the place of one number for all jobs, which a single wrong clock made useless.
DROP TABLE arrivals;
CREATE TABLE ahead (
    job       INTEGER PRIMARY KEY REFERENCES jobs,
    submitted INTEGER NOT NULL,
    id        TEXT NOT NULL
) STRICT;
CREATE INDEX ahead_newest ON ahead (submitted, id);
INSERT INTO ahead (job, submitted, id)
SELECT key, submitted, id
FROM (SELECT key, submitted, id, min(submitted) OVER (ORDER BY key DESC) AS least FROM jobs) AS jobs
WHERE submitted > least;
