"""simdata."""
