"""Exact numbers of an evaluation and the report that shows them.

`predictions` collects what a network says of each image, `metrics` derives every
number, `panels` and `figures` draw them, `report` writes the folder. These need
NumPy, Pillow and matplotlib only; what is known of TensorFlow stands beside them.
"""
