-- The cost of a shard, and an index of the shards that take new memories: choosing one must not cost more with more
-- shards. Older versions did not count memory. The estimate is corrected when the shard is folded.

ALTER TABLE shards ADD COLUMN memory INTEGER NOT NULL DEFAULT 0;   -- bytes that its document takes, at most (crdt/scan.py)
ALTER TABLE shards ADD COLUMN is_full INTEGER NOT NULL DEFAULT 0;  -- 1: it takes no new memories (store/log.py)
UPDATE shards SET memory = 2048 * registers + bytes,
  is_full = births >= 256 OR registers >= 4096 OR bytes >= 1048576 OR length(state_vector) > 9 * 1024;
CREATE INDEX shards_open ON shards(space, number) WHERE NOT is_full;

-- Older versions could be led to make shards with numbers that no device accepts, 1048576 and more. What they hold was
-- never sent. They get the lowest free numbers, so that it is.
CREATE TEMP TABLE renumbered AS
  WITH RECURSIVE
    numbers(number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM numbers WHERE number < (SELECT count(*) FROM shards)),
    refused AS (
      SELECT shard, space, row_number() OVER (PARTITION BY space ORDER BY number) AS place
      FROM shards WHERE number >= 1048576),
    free AS (
      SELECT s.space, n.number, row_number() OVER (PARTITION BY s.space ORDER BY n.number) AS place
      FROM (SELECT DISTINCT space FROM refused) s CROSS JOIN numbers n
      WHERE NOT EXISTS(SELECT 1 FROM shards t WHERE t.space = s.space AND t.number = n.number))
  SELECT shard, free.number FROM refused JOIN free USING(space, place);
UPDATE shards SET number = (SELECT number FROM renumbered r WHERE r.shard = shards.shard)
WHERE shard IN (SELECT shard FROM renumbered);
DROP TABLE renumbered;
