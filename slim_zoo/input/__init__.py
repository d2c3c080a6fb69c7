"""Records to batches: reading, decoding, order, shuffling, caches."""
