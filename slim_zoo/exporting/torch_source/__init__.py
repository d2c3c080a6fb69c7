"""Writes frozen networks as PyTorch source; needs no PyTorch.

`operations` translates a graph to `steps`, with `layers` and `windows`. `blocks` groups
the steps by scopes, `classes` writes a class for equal blocks, `forward` its method,
and `helpers` the rest of the file.
"""
