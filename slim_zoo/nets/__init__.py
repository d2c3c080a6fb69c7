"""Networks: a batch of images in, (logits, end_points) out."""
