-- A stream says how far it is packed, and the open rows after that say the rest: a little output is one new row, and
-- changes none.
ALTER TABLE streams RENAME COLUMN last_seq TO packed_to;
UPDATE streams SET packed_to = open_first - 1 WHERE open_first > 0;
ALTER TABLE streams DROP COLUMN open_first, DROP COLUMN open_bytes;
