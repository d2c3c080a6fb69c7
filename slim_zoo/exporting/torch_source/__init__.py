"""Writes frozen networks as source of PyTorch; needs no PyTorch."""
