"""Pairing: two devices establish trust by a short code that a user types on one and reads on the other."""
