"""Times of networks: forward passes, training steps, and what bounds them."""
