-- Circles of memories that supersede each other (memcrdt/store/supersession.py). Memories that are superseded are projected
-- again when the store is opened, because the views had no times of supersession.

ALTER TABLE memories ADD COLUMN superseded_at INTEGER;                -- time of the register that names the successor
ALTER TABLE memories ADD COLUMN circular INTEGER NOT NULL DEFAULT 0;  -- 1: superseded in a circle, and shown all the same
CREATE INDEX memories_circular ON memories(memory) WHERE circular = 1;

UPDATE meta SET value = (SELECT json_group_array(value) FROM json_each(meta.value) WHERE value <> 'superseded_by')
WHERE key = 'attributes';
