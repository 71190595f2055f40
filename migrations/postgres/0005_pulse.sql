-- Files that drones have run to their end, by the minute: a place for each minute of a day, written over by that of the
-- next day, so that nothing is ever removed and to count an hour is to read sixty rows.
CREATE TABLE throughput (
    place  BIGINT PRIMARY KEY,  -- the minute's number within its day
    minute BIGINT NOT NULL,     -- since 1970
    files  BIGINT NOT NULL
);
INSERT INTO throughput (place, minute, files)
SELECT minute % 1440, minute, count(*)
FROM (SELECT at / 60000 AS minute FROM results
      WHERE drone IS NOT NULL AND outcome <> 'notrun' AND at / 60000 > (SELECT max(at) / 60000 FROM results) - 1440) AS ended
GROUP BY minute;

-- A project's trend counts the flaky files of its jobs.
CREATE INDEX results_flaky ON results (job, path) WHERE outcome = 'flaky';
