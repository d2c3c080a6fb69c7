"""Converts frozen graphs and SavedModels of networks of the zoo to checkpoints."""
