"""Folds, nuisance predictions, scores, variances and the result type that carries them."""
