-- The vectors of 0017.sql, once they are copied.

DROP TABLE vectors_before;
