"""Inference graphs: frozen weights, folded batch norm."""
