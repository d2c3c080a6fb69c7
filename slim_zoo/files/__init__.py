"""Whole files and folders, downloads."""
