"""From pixels to features: encoders, each a frozen configuration that is fitted to chips."""
