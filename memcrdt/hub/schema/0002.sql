-- The number of writes that changed no memory: peers, members, settings. With the number of the last log row, it tells
-- the other processes of the hub that there is something new.
INSERT INTO sqlite_sequence VALUES ('writes', 0);
