"""Runs programs for TensorFlow 1 unchanged: `python -m slim_zoo.contrib program.py`.

`import tensorflow as tf` gives such a program the interface of version 1 in graph mode,
with the parts of `tf.contrib` that image models use. A program can also call `install`
itself, before it imports TensorFlow:

  from slim_zoo.contrib import install
  install()
  import tensorflow as tf

See docs/moving_from_tensorflow_1.md.
"""

from slim_zoo.contrib.importing import install

__all__ = ['install']
