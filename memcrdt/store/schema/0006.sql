-- The salt of the birth. With it, the registers of a memory whose log rows were lost get their old names again
-- (store/recovery/views_to_log.py). It is NULL for memories written by older versions.

ALTER TABLE memories ADD COLUMN salt BLOB;
