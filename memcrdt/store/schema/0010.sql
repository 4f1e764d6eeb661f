-- The device that an imported memory came from, as its file says.

ALTER TABLE memories ADD COLUMN imported_from TEXT;
