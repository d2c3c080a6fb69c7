"""Checkpoints: finding them, comparing them with a graph, restoring them."""
