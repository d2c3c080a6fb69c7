"""The tables of networks and data sets, without TensorFlow.

One row per network and per data set is all that the rest of the project knows
them by. The tables import nothing heavy, so a script can answer a misspelt
name before it pays for importing TensorFlow.
"""
