"""Atomic writes, staging folders and downloads."""
