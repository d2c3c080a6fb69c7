"""Measurements that anyone can repeat; not part of the test suite."""
