-- How the vectors of a model are stored: as int8 or int16 at any scale, or as float32 of length 1. The vectors of the static
-- model become int16, half as long. memcrdt/store/migrations.py copies the vectors that are there into the new table: shorter
-- rows in the old pages would leave half of each page empty. 0018.sql deletes the old one.

ALTER TABLE models ADD COLUMN element_bytes INTEGER NOT NULL DEFAULT 4 CHECK(element_bytes IN (1, 2, 4));
UPDATE models SET element_bytes = 1 WHERE second = 1;
UPDATE models SET element_bytes = 2 WHERE name = 'static-minilm-256';

DROP INDEX vectors_by_passage;
ALTER TABLE vectors RENAME TO vectors_before;
CREATE TABLE vectors(
  vector    INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice: copies in memory follow by it
  model     INTEGER NOT NULL REFERENCES models(model),
  passage   INTEGER NOT NULL,
  embedding BLOB NOT NULL          -- in the form of its model, little-endian
) STRICT;
CREATE UNIQUE INDEX vectors_by_passage ON vectors(passage, model);
