-- The salt of the birth. With it, a memory whose rows of the log were lost gets the same names for its registers again
-- (store/recovery/views_to_log.py). NULL for memories written by older versions.

ALTER TABLE memories ADD COLUMN salt BLOB;
