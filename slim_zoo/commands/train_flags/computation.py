"""The computation: in how many bits, by which compiler, in which layout."""

from absl import flags

from slim_zoo import diagnostics
from slim_zoo.commands import common_flags

FLAGS = flags.FLAGS


def define() -> None:
  """Defines the flags of this group."""
  common_flags.define_computation_flags()


def check() -> None:
  """Refuses flags that make no sense."""
  if FLAGS.xla and FLAGS.master:
    raise diagnostics.UserError(
        f'--xla with --master={FLAGS.master}: a server in another process decides how'
        ' it compiles; leave one of them out')
  if not scales_loss():
    return
  for name in ('sync_replicas', 'num_ps_tasks'):
    if FLAGS[name].value:
      raise diagnostics.UserError(
          f'--mixed_precision=float16 with --{name}={FLAGS[name].value}: one loss scale'
          ' cannot serve several workers; take --mixed_precision=bfloat16, which needs'
          ' none')


def notes() -> list[str]:
  """Returns a line for every flag that changes nothing."""
  return []


def begin() -> None:
  """Sets what has to be set before TensorFlow is imported."""
  common_flags.let_xla_compile()


def scales_loss() -> bool:
  """Returns whether the loss is scaled, as float16 needs it."""
  return FLAGS.mixed_precision == 'float16'


def network_options() -> dict:
  """Returns what `nets_factory.get_network_fn` is given of this group.

  The network that trains, only: validation computes as eval_image_classifier.py does.
  """
  from slim_zoo.nets import nets_factory
  options = {'compute_dtype': common_flags.compute_dtype()}
  if FLAGS.data_format in nets_factory.data_formats(FLAGS.model_name):
    options['data_format'] = FLAGS.data_format
  return options


def check_devices(config) -> list[tuple[str, str]]:
  """Tries on the devices of a deployment what the flags ask for.

  Returns:
    Lines of the banner: notes of what is slow.

  Raises:
    UserError: they cannot do it.
  """
  if FLAGS.master:
    return []
  slow = common_flags.check_computation(config.clone_device(0))
  common_flags.check_data_format(FLAGS.model_name, config.clone_device(0))
  return [('note', line) for line in slow]


def watchers(training_graph) -> list:
  """Returns what tells of the loss scale."""
  from slim_zoo.training import loss_scaling
  if training_graph.scaling is None:
    return []
  return [loss_scaling.Report(training_graph.scaling)]


def facts() -> dict:
  """Returns what the run card says of this group."""
  return {'computation': {
      'mixed_precision': FLAGS.mixed_precision, 'xla': FLAGS.xla,
      'data_format': FLAGS.data_format}}


def rows() -> list[tuple[str, str]]:
  """Returns the lines of the banner that are of this group."""
  found = []
  if FLAGS.mixed_precision != 'none':
    scaled = ', the loss scaled' if scales_loss() else ''
    found.append(f'in {FLAGS.mixed_precision}{scaled}; variables, batch norm, loss and'
                 ' updates in float32')
  if FLAGS.xla:
    found.append('compiled by XLA, which takes its time in the first steps')
  if FLAGS.data_format != 'NHWC':
    found.append(f'images and features laid out as {FLAGS.data_format}')
  return [('computation', found)] if found else []
