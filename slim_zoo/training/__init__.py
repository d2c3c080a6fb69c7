"""Training: graph, losses, updates, the loop and its callbacks."""
