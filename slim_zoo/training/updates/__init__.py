"""From losses to changed weights: learning rates, optimizers, checks."""
