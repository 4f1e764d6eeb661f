-- With the salt of its birth, a memory whose rows of the log were lost gets the same names for its registers again
-- (store/recovery/views_to_log.py). NULL for what was written before.

ALTER TABLE memories ADD COLUMN salt BLOB;
