"""Networks trained on the user's own chips, through the library that holds them."""
