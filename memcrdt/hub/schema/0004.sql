-- Which process of the hub is connected to a device, or dials it. A lease ends by itself if its process is killed.
CREATE TABLE leases(
  device    text PRIMARY KEY,
  process   text NOT NULL,
  connected integer NOT NULL,
  until     timestamptz NOT NULL   -- by the clock of the database, which all processes share
);
