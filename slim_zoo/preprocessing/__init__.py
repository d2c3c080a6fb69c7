"""One image in, one network-ready image out, for training and evaluation."""
