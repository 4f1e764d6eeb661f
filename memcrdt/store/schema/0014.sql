-- Tokens with several rights: those that were not read-only could also forget.

ALTER TABLE tokens ADD COLUMN rights TEXT NOT NULL DEFAULT '["read"]';  -- JSON list
UPDATE tokens SET rights = '["read", "write", "forget"]' WHERE NOT read_only;
ALTER TABLE tokens DROP COLUMN read_only;
