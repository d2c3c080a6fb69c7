"""Conversion of weights from and to other frameworks, with numeric checks."""
