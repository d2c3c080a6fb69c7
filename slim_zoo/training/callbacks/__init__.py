"""The callbacks of the training loop: work between its steps."""
