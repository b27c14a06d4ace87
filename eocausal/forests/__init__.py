"""Honest forests, compiled: pure arrays that know nothing of designs."""
