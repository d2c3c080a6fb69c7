"""Weights to other frameworks and back: mapping tables, one engine, numeric checks."""
