"""The tables of networks and data sets, without TensorFlow.

Each network and each data set is one row; the rest of the project reads these rows. The
tables import nothing heavy, so a command can report a mistyped name before it imports
TensorFlow.
"""
