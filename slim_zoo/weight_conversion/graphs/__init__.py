"""Frozen graphs and SavedModels of networks of the zoo, back to checkpoints."""
