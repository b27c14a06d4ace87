"""Is the design sound, and does a ranking find those who gain: balance, overlap, RATE."""
