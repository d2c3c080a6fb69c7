"""Times Keras 3's applications, see `benchmarks.peers`.

Keras needs eager mode, which this project turns off, so nothing of the project's graph
code is imported here. Measured are predict_on_batch and train_on_batch, which compile
their step; with "jit_compile" in the task XLA compiles it, else Keras decides. Frozen
is the model as one function with constant weights.
"""

import os

from benchmarks.peers import reports

_MODELS = {'resnet_v1_50': 'ResNet50', 'resnet_v2_50': 'ResNet50V2', 'vgg_16': 'VGG16',
           'inception_v3': 'InceptionV3', 'mobilenet_v2': 'MobileNetV2'}


def measure(task) -> dict:
  """Returns the times of an application of Keras."""
  run, versions = make_run(task)
  return {'seconds': reports.seconds(run, task), **versions}


def make_run(task, policy: str = 'float32'):
  """Returns a function that runs an application once, and facts of it.

  Args:
    task: see `benchmarks.peers`.
    policy: of Keras for the types of layers, such as 'mixed_bfloat16'.
  """
  if task['network'] not in _MODELS:
    raise reports.UnavailableError(f"keras.applications has no {task['network']}")
  os.environ.update(KERAS_BACKEND='tensorflow', TF_CPP_MIN_LOG_LEVEL='2')
  import keras
  import tensorflow as tf

  keras.config.set_dtype_policy(policy)
  model = getattr(keras.applications, _MODELS[task['network']])(weights=None)
  size, classes = model.input_shape[1], model.output_shape[-1]
  images = tf.random.uniform([task['batch_size'], size, size, 3], -1, 1)
  labels = tf.random.uniform([task['batch_size']], maxval=classes, dtype=tf.int64)
  model.compile(
      optimizer=keras.optimizers.SGD(1e-4, momentum=0.9),
      loss='sparse_categorical_crossentropy',
      jit_compile=task.get('jit_compile', 'auto'))
  run = {'step': lambda: model.train_on_batch(images, labels),
         'forward': lambda: model.predict_on_batch(images),
         'frozen': lambda: frozen(images)[0].numpy()}[task['what']]
  frozen = _frozen(model, images, task) if task['what'] == 'frozen' else None
  return run, {'keras': keras.__version__, 'tensorflow': tf.__version__,
               'jit_compile': bool(model.jit_compile)}


def _frozen(model, images, task):
  """Returns the model as a function with constant weights."""
  import tensorflow as tf
  from tensorflow.python.framework import convert_to_constants
  function = tf.function(lambda batch: model(batch, training=False),
                         jit_compile=task.get('jit_compile'))
  return convert_to_constants.convert_variables_to_constants_v2(
      function.get_concrete_function(tf.TensorSpec(images.shape, images.dtype)))


if __name__ == '__main__':
  reports.print_result(measure)
