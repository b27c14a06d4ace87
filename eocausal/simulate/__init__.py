"""Worlds with known truth, to test and to teach with."""
