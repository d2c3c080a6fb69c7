"""Export formats and their checks against the network."""
