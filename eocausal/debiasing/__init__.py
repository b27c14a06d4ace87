"""Predictions of outcomes corrected with a sample in which outcomes were measured."""
