"""Image files: listing, checking, decoding."""
