"""How networks are computed: flags and checks that several commands share."""

import sys

from absl import flags

from slim_zoo.commands import option_flags
from slim_zoo.config.precision import Precision

FLAGS = flags.FLAGS


def define_computation_flags() -> None:
  """Defines how networks are computed."""
  option_flags.define_groups([Precision])


def precision() -> Precision:
  """Returns how the flags say that networks are computed."""
  return Precision(FLAGS.mixed_precision, FLAGS.xla, FLAGS.data_format)


def show_unused_gpus() -> None:
  """Says on stderr why no GPU is used, where the machine has one."""
  from slim_zoo.deployment import unused_gpus
  for line in unused_gpus.notes():
    print(f'note: {line}', file=sys.stderr, flush=True)


def check_data_format(model_name: str, device: str = '') -> None:
  """Tries on a device whether it computes a network in --data_format.

  Args:
    model_name: of the network.
    device: '' for TensorFlow's choice.

  Raises:
    UserError: it does not.
  """
  from slim_zoo.deployment import computation
  from slim_zoo.nets import nets_factory
  from slim_zoo.tf_compat import tf
  computation.check_data_format(
      FLAGS.data_format, model_name,
      FLAGS.data_format in nets_factory.data_formats(model_name),
      tf.as_dtype(precision().dtype), device)
