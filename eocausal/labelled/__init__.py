"""Studies in which outcomes were measured for some units and predicted for all."""
