"""Optical flow and middle frames, learned from moving photographs."""
