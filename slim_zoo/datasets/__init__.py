"""Data sets: what records mean, how they are read, and what writes them."""
