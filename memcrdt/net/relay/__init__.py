"""The relay: a host of the user's where two devices meet that cannot reach each other."""
