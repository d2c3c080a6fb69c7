"""Trained networks put to use: image files in, predictions and pictures of them out."""
