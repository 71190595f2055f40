-- Jobs that came before one of an earlier time, which happens where a clock goes back. The order of all others' keys is that of
-- their times, so that those that are found by their keys are put into the order of the list without looking at all.
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

-- Beside its groups, a text has the number of the block of keys that it is in: the index then finds texts range by range,
-- newest first, and does not have to find all.
UPDATE job_text SET grams = grams || (job >> 11)::int;
-- What waits to be put into the index is read by every lookup: less of it.
ALTER INDEX job_text_by_gram SET (gin_pending_list_limit = 128);
