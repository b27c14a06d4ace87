"""Out-of-fold predictions of outcome and treatment."""
