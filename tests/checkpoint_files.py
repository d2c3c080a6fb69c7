"""Small checkpoints for tests, and damage to them."""

import os

import numpy as np

from slim_zoo.tf_compat import tf


def write(prefix, values, version=tf.train.SaverDef.V2):
  """Writes a checkpoint that holds exactly `values`, by name; returns its prefix."""
  with tf.Graph().as_default(), tf.Session() as session:
    # The names of the graph do not matter: the saver writes those of the dict.
    variables = {name: tf.get_variable(f'v{number}', initializer=np.asarray(value))
                 for number, (name, value) in enumerate(sorted(values.items()))}
    session.run(tf.global_variables_initializer())
    return tf.train.Saver(variables, write_version=version).save(
        session, str(prefix), write_state=False, write_meta_graph=False)


def write_quickly(prefix, values):
  """Writes the checkpoint that `write` writes, without a variable for each value."""
  names, arrays = zip(*sorted(values.items()), strict=True)
  with tf.Graph().as_default(), tf.Session() as session:
    given = [tf.placeholder(tf.as_dtype(np.asarray(array).dtype)) for array in arrays]
    save = tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names,
                             shape_and_slices=[''] * len(names), tensors=given)
    session.run(save, dict(zip(given, arrays, strict=True)))
  return str(prefix)


def write_run(folder, steps, size=100):
  """Writes the checkpoints of a run at some steps, and its state file."""
  with tf.Graph().as_default(), tf.Session() as session:
    step = tf.train.get_or_create_global_step()
    weights = tf.get_variable('w', [size])
    saver = tf.train.Saver()
    for number in steps:
      session.run([step.assign(number), weights.assign([float(number)] * size)])
      saver.save(session, os.path.join(folder, 'model.ckpt'), number)


def values_of(prefix):
  """Returns the values of a checkpoint by name."""
  reader = tf.train.load_checkpoint(str(prefix))
  return {name: reader.get_tensor(name)
          for name in reader.get_variable_to_shape_map()}


def cut(path, size):
  """Leaves only the first bytes of a file."""
  with open(path, 'r+b') as file:
    file.truncate(size)


def data(prefix):
  """Returns the file with the values of a checkpoint."""
  return f'{prefix}.data-00000-of-00001'
