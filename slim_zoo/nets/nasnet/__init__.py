"""Networks of searched cells: NASNet-A and PNASNet-5."""
