"""Specifications: a study written down in YAML, checked, with every mistake found at its line."""
