"""Pure data: ids, limits, records, and registers with the rule by which they merge. No I/O, no clock, no randomness."""
