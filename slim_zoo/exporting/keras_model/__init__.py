"""Translates a frozen graph to the layers of a Keras model."""
