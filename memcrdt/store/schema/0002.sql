-- Indexes of `memories`, written by memcrdt/search/index/index.py in the commit that writes the views.
--
-- A passage is a window of the text of a memory: number n of memory m is the passage m * 256 + n. Short memories have
-- one passage, number 0. Full text and vectors index passages, not memories.

-- The words of each passage, without content, positions or lengths, which the score does not need
-- (docs/internals/search-index.md). To delete a row, its words must be given again. With secure-delete, no byte of them
-- remains.
CREATE VIRTUAL TABLE fulltext USING fts5(
  words,
  content = '', detail = none, columnsize = 0,
  tokenize = "porter unicode61 remove_diacritics 2 categories 'L* N* Co Mn Mc'"
);
INSERT INTO fulltext(fulltext, rank) VALUES ('secure-delete', 1);
CREATE VIRTUAL TABLE vocabulary USING fts5vocab(fulltext, row);  -- the number of passages with each word

CREATE TABLE indexed(              -- what full text holds, counted
  one      INTEGER PRIMARY KEY CHECK(one = 1),
  passages INTEGER NOT NULL
) STRICT;
INSERT INTO indexed VALUES (1, 0);

CREATE TABLE models(               -- embedding models that vectors here were made with
  model INTEGER PRIMARY KEY,
  name  TEXT NOT NULL UNIQUE,
  state TEXT NOT NULL CHECK(state IN ('current', 'next', 'old'))  -- next: being embedded with, not yet searched
) STRICT;

CREATE TABLE vectors(
  vector    INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice: copies in memory follow by it
  model     INTEGER NOT NULL REFERENCES models(model),
  passage   INTEGER NOT NULL,
  embedding BLOB NOT NULL          -- float32, little-endian, of length 1: as sqlite-vec takes them
) STRICT;
CREATE UNIQUE INDEX vectors_by_passage ON vectors(passage, model);

CREATE TABLE codes(                -- the signs of each vector after a rotation: what is held in memory
  vector  INTEGER PRIMARY KEY,
  model   INTEGER NOT NULL,
  passage INTEGER NOT NULL,
  code    BLOB NOT NULL            -- 768 bits
) STRICT;

CREATE UNIQUE INDEX models_in_use ON models(state) WHERE state != 'old';

CREATE TABLE waiting(              -- memories to be embedded with the next model, or with the current one
  memory INTEGER PRIMARY KEY
) STRICT;

-- Indexes for filters that select few memories.
CREATE INDEX memories_by_updated ON memories(updated_at);
CREATE INDEX memories_by_kind ON memories(kind) WHERE kind IS NOT NULL;
CREATE INDEX memories_by_author ON memories(author) WHERE author IS NOT NULL;
CREATE INDEX memories_by_source ON memories(source) WHERE source IS NOT NULL;
CREATE INDEX memories_pinned ON memories(created_at, id) WHERE pinned = 1;
CREATE INDEX memories_superseded ON memories(memory) WHERE superseded_by IS NOT NULL;
