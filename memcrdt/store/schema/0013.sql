-- The rules by which the words of full text are folded (memcrdt/search/folding.py). Full text of other rules is written again
-- when the store is opened.

ALTER TABLE indexed ADD COLUMN folding INTEGER NOT NULL DEFAULT 0;
