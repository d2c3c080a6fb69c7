"""Configs: what a run does, as frozen dataclasses without TensorFlow.

Each field is one flag of a command and one argument of the Python API, with its
default, its help and its range. A config checks itself and derives values once.
"""
