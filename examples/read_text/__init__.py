"""Reads lines of handwritten digits: TextScanner on a backbone of the zoo.

Wan et al. 2020, TextScanner: Reading characters in order for robust scene text
recognition, arXiv 1912.12422. docs/read_text.md describes it.
"""
