-- A second model beside the current one: an accurate one that is embedded with in the background, while a fast one answers
-- (memcrdt/search/index/registry.py). Its vectors are int8, at any scale: a cosine does not depend on it, and they have a
-- quarter of the size.

ALTER TABLE models ADD COLUMN second INTEGER NOT NULL DEFAULT 0 CHECK(second IN (0, 1));
DROP INDEX models_in_use;
CREATE UNIQUE INDEX models_in_use ON models(state, second) WHERE state != 'old';

-- Each model has a queue of its own.
ALTER TABLE waiting RENAME TO waiting_before;
CREATE TABLE waiting(              -- memories to be embedded with a model that is in use
  memory INTEGER NOT NULL,
  model  INTEGER NOT NULL,
  PRIMARY KEY(memory, model)
) STRICT, WITHOUT ROWID;
INSERT INTO waiting(memory, model) SELECT w.memory, m.model FROM waiting_before w CROSS JOIN
  (SELECT model FROM models WHERE state != 'old' ORDER BY state = 'current' LIMIT 1) m;
DROP TABLE waiting_before;
