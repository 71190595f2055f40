-- A file that is far longer than the rest is run in parts: each is a row of its own, which says what to run of which file, and
-- what was learned of a file says what it can be split into.
ALTER TABLE files ADD COLUMN part TEXT;        -- JSON; absent of a whole file
ALTER TABLE durations ADD COLUMN splits TEXT;  -- JSON; absent while nothing is known
