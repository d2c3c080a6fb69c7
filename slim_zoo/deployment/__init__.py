"""Where training runs: clones, replicas, their devices and their gradients.

Takes a function that builds a network and its losses, and an optimizer; knows
nothing of networks, data or flags.
"""
