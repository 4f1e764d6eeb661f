"""What all faces share: which scopes a call means, what an answer shows, and problems with a code and a remedy."""
