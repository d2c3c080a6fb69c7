"""Data sets: their splits, features and labels."""
