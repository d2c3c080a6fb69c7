"""Training: what turns a network and images into a run that learns."""
