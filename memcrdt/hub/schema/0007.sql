-- As memcrdt/store/schema/0017.sql. The vectors that are here stay float32, because a hub may have millions.

ALTER TABLE models ADD COLUMN element_bytes integer NOT NULL DEFAULT 4 CHECK(element_bytes IN (1, 2, 4));
UPDATE models SET element_bytes = 1 WHERE second = 1;
