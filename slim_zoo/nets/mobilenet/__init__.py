"""MobileNet V2, V3 and EdgeTPU: tables of operations and what reads them."""
