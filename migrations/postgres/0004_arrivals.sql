-- How many milliseconds older a job can be than one that came before it: jobs that are found by their keys are put into
-- the order of the list without looking at all of them.
CREATE TABLE arrivals (
    one  BOOLEAN PRIMARY KEY DEFAULT true CHECK (one),
    late BIGINT NOT NULL
);
INSERT INTO arrivals (late)
SELECT coalesce(max(newest - submitted), 0)
FROM (SELECT submitted, max(submitted) OVER (ORDER BY key) AS newest FROM jobs) AS jobs;

-- Beside its groups, a text has the number of the block of jobs that it is in: the index then finds texts block by block,
-- newest first, and does not have to find all.
UPDATE job_text SET grams = grams || (job >> 14)::int;
-- What waits to be put into the index is read by every lookup: less of it.
ALTER INDEX job_text_by_gram SET (gin_pending_list_limit = 128);
