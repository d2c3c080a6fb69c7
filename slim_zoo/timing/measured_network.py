"""Builds networks for timing: ops and a session to run them.

Images that do not come from records are variables. With constants the runtime could
compute the whole network once, and fed images are copied each time.
"""

import collections
import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterator

from slim_zoo.catalog import complexity, networks
from slim_zoo.deployment import (
    graph_rewrite,
    model_deploy,
    session_configs,
    session_settings,
)
from slim_zoo.inference import inference_graph
from slim_zoo.nets import complexity as counting
from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import tf
from slim_zoo.training import losses
from slim_zoo.training.updates import learning_rates, updates

# The backward pass has two products for each product of the forward pass: for the
# gradient of the input and of the weights. The images need no gradient, so this is 3 to
# 5% too much for networks with large first layers (CifarNet, AlexNet), else at most 1%.
PASSES = {'forward': 1, 'forward_backward': 3, 'step': 3}
WEIGHT_DECAY = 4e-5

# The ops and tensors to run, by name. They are not grouped: TensorFlow prunes ops
# without other effects, and XLA also prunes named ops whose value is not fetched.
Fetches = dict[str, list]

Batch = collections.namedtuple('Batch', ('images', 'labels'))


@dataclasses.dataclass(frozen=True)
class Setting:
  """A network and the options of its execution.

  Attributes:
    name: name of the network.
    batch_size: images of each clone.
    image_size: height and width; None: the network's own.
    data_format: 'NHWC', or 'NCHW' for a network that computes channels first.
    num_clones: number of clones, each on its own GPU, logical GPU or logical CPU.
    num_classes: number of logits; None: as in the published weights.
    channels: channels of the images; None: as in the published weights.
    xla: whether XLA compiles the parts that it can.
    precision: 'float32', 'bfloat16' or 'float16'.
    casts: whether 16 bits are casts in the graph, not a rewrite by the session.
    session: memory of GPUs, threads; with as many GPUs as clones.
  """

  name: str
  batch_size: int
  image_size: int | None = None
  data_format: str = 'NHWC'
  num_clones: int = 1
  num_classes: int | None = None
  channels: int | None = None
  xla: bool = False
  precision: str = 'float32'
  casts: bool = False
  session: session_settings.SessionSettings = session_settings.DEFAULTS

  @property
  def classes(self) -> int:
    """The number of logits."""
    return self.num_classes or networks.get_network(self.name).num_classes

  def image_shape(self) -> tuple[int, ...]:
    """Returns the shape of one image, or clip."""
    row = networks.get_network(self.name)
    size = self.image_size or nets_factory.networks_map[self.name].default_image_size
    frames = () if row.frames is None else (row.frames,)
    channels = self.channels or row.channels
    return (*frames, size, size, channels)

  def network_fn(self, weight_decay: float = 0.0, is_training: bool = False):
    """Returns the network's function, see `nets_factory.get_network_fn`."""
    options = {}
    if self.data_format in nets_factory.data_formats(self.name):
      options['data_format'] = self.data_format
    if self.casts:
      options['compute_dtype'] = tf.as_dtype(self.precision)
    return nets_factory.get_network_fn(
        self.name, self.classes, weight_decay, is_training, **options)

  def multiply_adds(self) -> int:
    """Returns the multiply-adds of one image, stored or counted."""
    shape = self.image_shape()
    stored = complexity.load().get(self.name)
    if stored and (stored.input_shape, stored.num_classes) == (shape, self.classes):
      return stored.multiply_adds
    with tf.Graph().as_default() as graph:
      images = tf.placeholder(tf.float32, [1, *shape])
      logits, _ = nets_factory.get_network_fn(self.name, self.classes)(images)
      return counting.count_multiply_adds(graph, [logits])


def synthetic_batches(setting: Setting) -> Callable[[], Batch]:
  """Returns next_batch(): the same random images and labels in every run."""
  def next_batch():
    shape = [setting.batch_size, *setting.image_shape()]
    images = tf.Variable(tf.random.uniform(shape, -1, 1, seed=1), trainable=False,
                         collections=[tf.GraphKeys.LOCAL_VARIABLES],
                         use_resource=False)
    labels = tf.Variable(
        tf.random.uniform([setting.batch_size], maxval=setting.classes, dtype=tf.int64,
                          seed=2),
        trainable=False, collections=[tf.GraphKeys.LOCAL_VARIABLES],
        use_resource=False)
    return Batch(images.read_value(), labels.read_value())
  return next_batch


def deployment(setting: Setting) -> model_deploy.DeploymentConfig:
  """Returns the devices of the clones: the default device, or one of each's own."""
  count = setting.num_clones
  kind = 'GPU' if tf.config.list_physical_devices('GPU') else 'CPU'
  devices = [''] if count == 1 else [f'/device:{kind}:{i}' for i in range(count)]
  # As in training: each GPU has its own copy, and clones on CPUs share the variables.
  return model_deploy.DeploymentConfig(
      count, clone_devices=devices,
      variables_on_clones=count > 1 and kind == 'GPU')


def training_operations(setting: Setting, next_batch: Callable) -> Fetches:
  """Builds a training step with momentum, as the training command does.

  Returns:
    {'forward', 'forward_backward', 'step'}: each includes the one before it.
  """
  network_fn = setting.network_fn(WEIGHT_DECAY, is_training=True)
  recipe = losses.Recipe(setting.classes)
  config, gradients = deployment(setting), []

  class Optimizer(tf.train.MomentumOptimizer):
    def apply_gradients(self, grads_and_vars, *args, **kwargs):
      grads_and_vars = list(grads_and_vars)
      gradients.extend(gradient for gradient, _ in grads_and_vars)
      return super().apply_gradients(grads_and_vars, *args, **kwargs)

  def build_clone():
    batch = next_batch()
    logits, end_points = network_fn(batch.images)
    recipe.add(logits, end_points, batch.labels)
    return batch, logits, end_points

  with tf.device(config.variables_device()):
    tf.train.get_or_create_global_step()
  clones = model_deploy.create_clones(config, build_clone)
  # A small rate, because labels are random and the number of steps is not limited.
  update = updates.make_train_op(
      clones, config, learning_rates.Schedule('fixed', 1e-4),
      lambda rate: Optimizer(rate, 0.9),
      updates.UpdateOptions(scales_loss=setting.precision == 'float16'))
  return {
      'forward': [clone.outputs[1] for clone in clones],
      # Fetching gradients from a GPU would copy them.
      'forward_backward': [update.total_loss, *(
          gradients if setting.xla else [tensor.op for tensor in gradients])],
      'step': [update.train_op]}


def evaluation_operations(setting: Setting, next_batch: Callable) -> Fetches:
  """Builds the forward pass in evaluation mode; returns {'forward'}."""
  network_fn = setting.network_fn()

  def build_clone():
    return network_fn(next_batch().images)[0]

  clones = model_deploy.create_clones(deployment(setting), build_clone)
  return {'forward': [clone.outputs for clone in clones]}


def random_checkpoint(setting: Setting, folder: str) -> str:
  """Writes a checkpoint of random weights to a folder; returns its prefix."""
  with tf.Graph().as_default(), tf.Session() as session:
    images = tf.placeholder(tf.float32, [None, *setting.image_shape()])
    nets_factory.get_network_fn(setting.name, setting.classes)(images)
    session.run(tf.global_variables_initializer())
    # Additions of constant zeros, the initial biases, would be optimized away, and so
    # would the kernels that fuse biases and convolutions.
    session.run([tf.assign(variable, tf.random.uniform(variable.shape, 0.5, 1.5))
                 for variable in tf.global_variables() if variable.shape.rank == 1])
    return tf.train.Saver().save(
        session, f'{folder}/model.ckpt', write_meta_graph=False, write_state=False)


def frozen_operations(setting: Setting, next_batch: Callable) -> Fetches:
  """Builds the forward pass with the weights in the graph; returns {'forward'}.

  The weights are random and pass through a checkpoint, like trained ones.
  """
  row = networks.get_image_network(setting.name)
  with tempfile.TemporaryDirectory() as folder:
    frozen = inference_graph.build(
        setting.name, setting.classes, random_checkpoint(setting, folder),
        setting.image_size, setting.channels or row.channels)
  clones = model_deploy.create_clones(
      deployment(setting), lambda: frozen.attach(next_batch().images)[0])
  return {'forward': [clone.outputs for clone in clones]}


@contextlib.contextmanager
def session(setting: Setting, *initializers: tf.Operation,
            is_frozen: bool = False) -> Iterator[tf.Session]:
  """Opens a session on the default graph, with its variables initialized.

  Args:
    setting: has the number of devices, and the precision.
    *initializers: run after those of the variables.
    is_frozen: whether the weights are constants. There are no casts then.
  """
  if is_frozen:
    config = graph_rewrite.frozen_config(
        setting.session, setting.precision, setting.num_clones)
  else:
    config = session_configs.session_config(
        setting.session, num_cpus=setting.num_clones)
    if not setting.casts:
      graph_rewrite.set_precision(config, setting.precision)
  with tf.Session(config=config) as opened:
    opened.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    for initializer in initializers:
      opened.run(initializer)
    yield opened


def kernels(opened: tf.Session, fetches: list) -> list[str]:
  """Runs fetches; returns the types of all ops that were executed."""
  metadata = tf.RunMetadata()
  opened.run(fetches, options=tf.RunOptions(output_partition_graphs=True),
             run_metadata=metadata)
  return [node.op for part in metadata.partition_graphs for node in part.node]
