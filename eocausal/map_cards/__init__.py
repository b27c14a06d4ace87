"""Map cards: how a published map is corrected, in a file that travels with it."""
