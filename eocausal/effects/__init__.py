"""Average and conditional effects on a frozen design."""
