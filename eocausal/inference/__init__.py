"""From influence values to standard errors and results."""
