"""The catalog of models is in memcrdt.search.embedders.catalog."""
