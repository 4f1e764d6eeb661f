"""Two devices come to trust each other by a short code that a person carries from one to the other."""
