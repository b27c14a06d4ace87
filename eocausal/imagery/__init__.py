"""From rasters or arrays to chips: square windows around units, with what is valid in them."""
