"""Networks trained on digits, in floats and for 8 bits, and their 8-bit files.

The digits are scikit-learn's: 1,442 to train with, 355 to test with.
"""

import dataclasses
import os

import numpy as np

from benchmarks import shares
from slim_zoo.catalog import networks
from slim_zoo.checkpoints import quantization, values
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.datasets import digits
from slim_zoo.deployment import graph_rewrite, session_configs
from slim_zoo.exporting import parity, pixel_graph, to_tflite
from slim_zoo.inference import inference_graph
from slim_zoo.nets import nets_factory, normalization
from slim_zoo.tf_compat import slim, tf

CALIBRATION_IMAGES = 100
# Runs are short: batch norm must know the statistics of the last steps.
_BATCH_NORM_DECAY = 0.9
_WEIGHT_DECAY = 4e-5
_MOST_SHIFTED = 2  # Pixels, of training images.
_EVALUATED_AT_ONCE = 71


@dataclasses.dataclass(frozen=True)
class Images:
  """Images and their classes.

  Attributes:
    pixels: uint8 [images, height, width, channels].
    classes: int64 [images].
  """

  pixels: np.ndarray
  classes: np.ndarray


@dataclasses.dataclass(frozen=True)
class Training:
  """A training run.

  Attributes:
    steps: number of steps.
    batch_size: images of a step.
    learning_rate: of the first step; it falls to a tenth.
    seed: of the weights and of the order of the images.
    quantize: whether it rounds to 8 bits.
    start: the checkpoint to begin from; None: random weights.
  """

  steps: int
  batch_size: int = 32
  learning_rate: float = 1e-3
  seed: int = 0
  quantize: bool = False
  start: str | None = None


def network(name: str, image_size: int) -> TrainedNetwork:
  """Returns a network for digits, without a checkpoint."""
  channels = networks.get_image_network(name).channels
  # vgg preprocessing cuts images of such a size out of larger ones.
  family = 'lenet' if channels == 1 else 'inception'
  return TrainedNetwork('', name, len(digits.CLASS_NAMES), image_size, channels, family,
                        class_names=digits.CLASS_NAMES)


def load(trained: TrainedNetwork) -> dict[str, Images]:
  """Returns the images of train and test, of the size of the network."""
  pictures, classes = digits.load_images()
  splits = {}
  for split, indices in digits.split_indices(classes).items():
    files = [digits.encode(pictures[index]) for index in indices]
    splits[split] = Images(parity.read_pixels(trained, files), classes[indices])
  return splits


def calibration(images: Images) -> np.ndarray:
  """Returns images to calibrate with: the same number of each class."""
  each = CALIBRATION_IMAGES // len(digits.CLASS_NAMES)
  chosen = np.concatenate([np.flatnonzero(images.classes == number)[:each]
                           for number in range(len(digits.CLASS_NAMES))])
  return images.pixels[chosen]


def train(trained: TrainedNetwork, images: Images, training: Training, path: str
          ) -> TrainedNetwork:
  """Trains, and writes a checkpoint.

  Args:
    trained: the network.
    images: to train with.
    training: how.
    path: the prefix of the checkpoint.

  Returns:
    The network with the checkpoint.
  """
  random = np.random.default_rng(training.seed)
  network_fn = nets_factory.get_network_fn(
      trained.model_name, trained.num_classes, _WEIGHT_DECAY, is_training=True,
      quantize=training.quantize)
  with tf.Graph().as_default(), tf.Session() as session:
    tf.set_random_seed(training.seed)
    pixels = tf.placeholder(
        tf.uint8, [training.batch_size, *images.pixels.shape[1:]])
    classes = tf.placeholder(tf.int64, [training.batch_size])
    rate = tf.placeholder(tf.float32, [])
    with normalization.batch_statistics(_BATCH_NORM_DECAY):
      logits, _ = network_fn(pixel_graph.scaled(pixels, trained))
    tf.losses.sparse_softmax_cross_entropy(classes, logits)
    step = slim.learning.create_train_op(
        tf.losses.get_total_loss(), tf.train.AdamOptimizer(rate, epsilon=1e-4))
    session.run(tf.global_variables_initializer())
    if training.start:
      there = values.shapes_of(training.start)
      tf.train.Saver([variable for variable in slim.get_model_variables()
                      if variable.op.name in there]).restore(session, training.start)
    for number in range(training.steps):
      chosen = random.permutation(len(images.pixels))[:training.batch_size]
      session.run(step, {
          pixels: _shifted(images.pixels[chosen], random),
          classes: images.classes[chosen],
          rate: training.learning_rate * 0.1 ** (number / training.steps)})
    tf.train.Saver(slim.get_model_variables()).save(
        session, path, write_meta_graph=False, write_state=False)
  return dataclasses.replace(
      trained, checkpoint=path, quantized=quantization.find(values.shapes_of(path)))


def _shifted(pixels, random):
  """Returns images, each shifted by a pixel or two; black comes in."""
  most = _MOST_SHIFTED
  sides = ((0, 0), (most, most), (most, most), (0, 0))
  height, width = pixels.shape[1:3]
  padded = np.pad(pixels, sides)
  return np.stack([image[top:top + height, left:left + width] for image, (top, left)
                   in zip(padded, random.integers(0, 2 * most + 1, [len(pixels), 2]),
                          strict=True)])


def logits_of_graph(trained: TrainedNetwork, pixels: np.ndarray,
                    dtype: str = graph_rewrite.FLOAT32) -> np.ndarray:
  """Returns the logits of a checkpoint, float32 [images, classes]; a quantized rounds.

  Args:
    trained: the network.
    pixels: uint8 [images, height, width, channels].
    dtype: 'float32', or 'bfloat16' for layers that compute in this type.
  """
  graph = inference_graph.of_network(trained)
  config = graph_rewrite.set_precision(session_configs.session_config(), dtype)
  with tf.Graph().as_default(), tf.Session(config=config) as session:
    images = tf.placeholder(tf.uint8, [None, *pixels.shape[1:]])
    logits, _ = graph.attach(pixel_graph.scaled(images, trained))
    return np.concatenate([
        session.run(logits, {images: pixels[begin:begin + _EVALUATED_AT_ONCE]})
        for begin in range(0, len(pixels), _EVALUATED_AT_ONCE)])


@dataclasses.dataclass(frozen=True)
class FileAnswers:
  """The answers of an 8-bit file.

  Attributes:
    probabilities: uint8 [images, classes].
    logits: float64 [images, classes], what the 8 bits before the softmax stand for.
    step: the distance of two neighbouring logits.
  """

  probabilities: np.ndarray
  logits: np.ndarray
  step: float


def export(trained: TrainedNetwork, path: str, images: Images) -> None:
  """Writes the 8-bit file; of a network without ranges it is calibrated on images."""
  to_tflite.write(path, 'tflite_int8', trained, inference_graph.of_network(trained),
                  calibration(images))


def answers_of_file(path: str, pixels: np.ndarray,
                    resolver: tf.lite.experimental.OpResolverType | None = None
                    ) -> FileAnswers:
  """Runs an 8-bit file on images.

  Args:
    path: of the file.
    pixels: uint8 [images, height, width, channels].
    resolver: the kernels to compute with; None: the usual ones, XNNPACK where it can.
  """
  types = tf.lite.experimental.OpResolverType

  def start(resolver):
    interpreter = tf.lite.Interpreter(
        path, experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    return interpreter

  try:
    interpreter = start(resolver or types.AUTO)
  except RuntimeError:  # XNNPACK takes no integer convolutions in groups.
    interpreter = start(types.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
  (input_,), (output,) = (
      interpreter.get_input_details(), interpreter.get_output_details())
  softmax, = (operation for operation in interpreter._get_ops_details()
              if operation['op_name'] == 'SOFTMAX')
  logits = next(details for details in interpreter.get_tensor_details()
                if details['index'] == softmax['inputs'][0])
  scale, zero_point = logits['quantization']
  found = []
  for image in pixels:
    interpreter.set_tensor(input_['index'], image[np.newaxis])
    interpreter.invoke()
    found.append([interpreter.get_tensor(details['index']).copy()
                  for details in (output, logits)])
  probabilities, values_of_logits = (
      np.concatenate(parts) for parts in zip(*found, strict=True))
  return FileAnswers(
      probabilities, (values_of_logits.astype(float) - zero_point) * scale, scale)


def compare(network_: str, image_size: int, steps: int, quantized_steps: int,
            batch_size: int, learning_rate: float, seed: int, folder: os.PathLike
            ) -> dict:
  """Trains a network in floats and then for 8 bits, and measures both 8-bit files.

  Args:
    network_: its name.
    image_size: height and width of the images.
    steps: training steps in floats.
    quantized_steps: training steps that round, after these.
    batch_size: images of a step.
    learning_rate: of the first step in floats; of the first that rounds a fifth.
    seed: of the run.
    folder: for checkpoints and files.

  Returns:
    'right', for each kind of answer one character for each test image: 1 if its top-1
    is right, else 0; 'agreement', of the top-1 of the second file with its
    checkpoint; 'steps', how far its logits are off, in steps of the output: the
    largest difference, and the share that is within two.
  """
  trained = network(network_, image_size)
  splits = load(trained)
  test = splits['test']
  in_folder = lambda name: os.path.join(folder, name)
  floats = train(trained, splits['train'], Training(
      steps, batch_size, learning_rate, seed), in_folder('floats.ckpt'))
  aware = train(trained, splits['train'], Training(
      quantized_steps, batch_size, learning_rate / 5, seed + 1, True,
      floats.checkpoint), in_folder('aware.ckpt'))
  logits = {'floats': logits_of_graph(floats, test.pixels),
            'aware_graph': logits_of_graph(aware, test.pixels)}
  files = {}
  for name, of in (('after', floats), ('aware', aware)):
    export(of, in_folder(f'{name}.tflite'), splits['train'])
    files[name] = answers_of_file(in_folder(f'{name}.tflite'), test.pixels)
  scores = logits | {name: answers.probabilities for name, answers in files.items()}
  right = {name: shares.characters(scores_.argmax(1) == test.classes)
           for name, scores_ in scores.items()}
  aware_file, expected = files['aware'], logits['aware_graph']
  off = np.abs(aware_file.logits - expected) / aware_file.step
  return {'right': right,
          'agreement': float(np.mean(
              aware_file.logits.argmax(1) == expected.argmax(1))),
          'steps': [float(off.max()), float(np.mean(off <= 2.01))]}
