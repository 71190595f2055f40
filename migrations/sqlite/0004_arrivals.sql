-- How many milliseconds older a job can be than one that came before it: jobs that are found by their keys are put into
-- the order of the list without looking at all of them.
CREATE TABLE arrivals (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    late INTEGER NOT NULL
) STRICT;
INSERT INTO arrivals (one, late)
SELECT 1, coalesce(max(newest - submitted), 0)
FROM (SELECT submitted, max(submitted) OVER (ORDER BY key) AS newest FROM jobs);
