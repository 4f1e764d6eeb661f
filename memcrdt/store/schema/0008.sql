-- The order of what happened with other devices, by a counter (`sync_events` in meta): the times beside it show a clock
-- that may have gone back in between.

ALTER TABLE shares ADD COLUMN agreed_event INTEGER NOT NULL DEFAULT 0;
ALTER TABLE peers ADD COLUMN seen_event INTEGER NOT NULL DEFAULT 0;
ALTER TABLE peers ADD COLUMN error_event INTEGER NOT NULL DEFAULT 0;
