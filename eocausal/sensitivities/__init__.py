"""How strong what was not seen would have to be, and tests that an estimate must pass."""
