-- How the vectors of a model are stored: as int8 or int16 at any scale, or as float32 of length 1. The vectors of the static
-- model become int16, half as long. memcrdt/store/migrations.py rewrites those that are there.

ALTER TABLE models ADD COLUMN element_bytes INTEGER NOT NULL DEFAULT 4 CHECK(element_bytes IN (1, 2, 4));
UPDATE models SET element_bytes = 1 WHERE second = 1;
UPDATE models SET element_bytes = 2 WHERE name = 'static-minilm-256';
