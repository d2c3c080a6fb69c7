"""Trained networks taken out: inference graphs and the formats made from them."""
