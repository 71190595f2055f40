-- Jobs that came before one of an earlier time, which happens where a clock goes back. The order of all others' keys is that of
-- their times, so that those that are found by their keys are put into the order of the list without looking at all. This
-- takes the place of one number for all jobs, which a single wrong clock made useless.
DROP TABLE arrivals;
CREATE TABLE ahead (
    job       BIGINT PRIMARY KEY,
    submitted BIGINT NOT NULL,
    id        TEXT COLLATE "C" NOT NULL
);
CREATE INDEX ahead_newest ON ahead (submitted, id);
INSERT INTO ahead (job, submitted, id)
SELECT key, submitted, id
FROM (SELECT key, submitted, id, min(submitted) OVER (ORDER BY key DESC) AS least FROM jobs) AS jobs
WHERE submitted > least;

-- Smaller blocks of keys. The number of a larger one that stays among the groups does no harm: keys are compared as well.
UPDATE job_text SET grams = grams || (job >> 11)::int;
