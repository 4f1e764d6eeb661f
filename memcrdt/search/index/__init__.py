"""The indexes over the views: full text, vectors and their compact codes."""
