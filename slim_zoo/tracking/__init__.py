"""Logs parameters, metrics and files of runs to MLflow and Weights & Biases."""
