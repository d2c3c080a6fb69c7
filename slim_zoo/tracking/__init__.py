"""Trackers of experiments (MLflow, Weights & Biases): parameters, numbers, files."""
