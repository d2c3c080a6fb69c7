"""A SavedModel of a segmentation network, for images of any size."""

import dataclasses
import json
import math
import os
import shutil
from collections.abc import Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.checkpoints.segmentation_network import SegmentationNetwork
from slim_zoo.datasets import labels
from slim_zoo.exporting import formats
from slim_zoo.files import owners
from slim_zoo.images import image_decoding
from slim_zoo.inference import mask_predictor, segmentation_graph
from slim_zoo.preprocessing import mask_preprocessing
from slim_zoo.tf_compat import tf

# The signature of pixels, and its input and outputs.
SIGNATURE = 'masks'
IMAGES, CLASSES, PROBABILITIES = 'images', 'classes', 'probabilities'
BYTES_INPUT = 'image_bytes'
# The suffix of an export before its check.
_UNCHECKED = '.unchecked'
_FILE = 'saved_model.pb'
# The labels, and a file that only models of segmentation have.
_EXTRA, _FACTS = 'assets.extra', 'segmentation.json'
# Where two classes are equally likely, the last digits decide.
LEAST_AGREEMENT = 0.999


@dataclasses.dataclass(frozen=True)
class Parity:
  """How an export compares with its checkpoint.

  Attributes:
    agreement: the smallest share of pixels of an image with the same class.
    num_images: how many images were compared.
  """

  agreement: float
  num_images: int

  @property
  def passed(self) -> bool:
    """Whether the export is within the tolerance."""
    return self.agreement >= LEAST_AGREEMENT

  def __str__(self):
    share = 'all' if self.agreement == 1 else (
        f'{math.floor(self.agreement * 1e4) / 1e4:.2%} or more of the')
    images = 'image' if self.num_images == 1 else 'images'
    return (f'the same class at {share} pixels of each image, {self.num_images}'
            f' {images}')


def is_one(folder: str) -> bool:
  """Returns whether a SavedModel is of a segmentation network.

  Args:
    folder: of the SavedModel.
  """
  return os.path.isfile(os.path.join(folder, _EXTRA, _FACTS))


def export(folder: str, network: SegmentationNetwork, images: Sequence[bytes]
           ) -> tuple[str, Parity | None]:
  """Writes the SavedModel and checks it; one that is off is removed.

  Args:
    folder: of the exports. A SavedModel in it is replaced.
    network: with the names of its classes.
    images: JPEG or PNG files to compare on; none: the export is not checked.

  Returns:
    (the path, how it compares; None if unchecked).

  Raises:
    UserError: something else has its name, or another process writes it now.
  """
  path = os.path.join(folder, formats.FORMATS['saved_model'].file)
  if os.path.lexists(path) and not os.path.isfile(os.path.join(path, _FILE)):
    raise diagnostics.UserError(
        f"'{path}' exists and is not a SavedModel: move it, or name another"
        ' --export_dir')
  os.makedirs(os.path.dirname(path), exist_ok=True)
  unchecked = path + _UNCHECKED
  with owners.writing(path, '--export_dir'):
    shutil.rmtree(unchecked, ignore_errors=True)
    try:
      _write(unchecked, network)
      parity = Parity(_agreement(unchecked, network, images), len(images)) if (
          images) else None
      if parity is None or parity.passed:
        shutil.rmtree(path, ignore_errors=True)
        os.replace(unchecked, path)
    finally:
      shutil.rmtree(unchecked, ignore_errors=True)
  return path, parity


def _write(folder, network):
  """Writes a SavedModel with two signatures, and its labels.

    serving_default  'image_bytes', strings [batch]: JPEG or PNG files of one size.
    masks            'images', uint8 [batch, height, width, channels]: pixels.

  Each gives 'classes', uint8 [batch, height, width], and 'probabilities', float32 of
  the same shape, the probability of the class.
  """
  frozen = segmentation_graph.of_network(network)
  channels, signatures = network.decoded_channels, {}
  with tf.Graph().as_default() as graph, tf.Session(graph=graph) as session:
    classify = frozen.sharing_weights()
    encoded = tf.placeholder(tf.string, [None], BYTES_INPUT)
    pixels = tf.placeholder(tf.uint8, [None, None, None, channels], 'pixels')
    decoded = tf.map_fn(lambda data: image_decoding.decode(data, channels), encoded,
                        fn_output_signature=tf.uint8)
    decoded.set_shape([None, None, None, channels])
    for name, alias, placeholder, images in (
        ('serving_default', BYTES_INPUT, encoded, decoded),
        (SIGNATURE, IMAGES, pixels, pixels)):
      with tf.name_scope(name):
        signatures[name] = tf.saved_model.predict_signature_def(
            {alias: placeholder}, _answers(images, network, classify))
    builder = tf.saved_model.Builder(folder)
    builder.add_meta_graph_and_variables(
        session, [tf.saved_model.SERVING], signatures, strip_default_attrs=True)
    builder.save()
  extra = os.path.join(folder, _EXTRA)
  os.makedirs(extra)
  labels.write_label_file(dict(enumerate(network.class_names)), extra)
  with open(os.path.join(extra, _FACTS), 'w', encoding='utf-8') as file:
    json.dump({'backbone': network.model_name, 'strides': network.strides,
               'classes': network.num_classes}, file)


def _answers(images, network, classify):
  """Returns the outputs by name for pixels, uint8 [batch, height, width, channels]."""
  def prepare(image):
    return mask_preprocessing.for_network(
        image, network.preprocessing_name, network.stride, network.smallest,
        network.use_grayscale)

  prepared = tf.map_fn(prepare, images, fn_output_signature=tf.float32)
  prepared.set_shape([None, None, None, network.channels])
  size = tf.shape(images)[1:3]
  classes, probabilities = (values[:, :size[0], :size[1]] for values in (
      mask_predictor.predict(prepared, classify)))
  return {CLASSES: tf.identity(classes, CLASSES),
          PROBABILITIES: tf.identity(probabilities, PROBABILITIES)}


def _agreement(folder, network, images):
  """Returns the smallest share of pixels with the class of the checkpoint."""
  shares = []
  with (mask_predictor.MaskPredictor(network) as predictor,
        tf.Session(graph=tf.Graph()) as session, session.graph.as_default()):
    decoded = image_decoding.decode(
        encoded := tf.placeholder(tf.string, []), network.decoded_channels)
    signatures = tf.saved_model.load(
        session, [tf.saved_model.SERVING], folder).signature_def
    for data in images:
      pixels = session.run(decoded, {encoded: data})
      wanted = predictor.predict(pixels)[0]
      for name, alias, value in (('serving_default', BYTES_INPUT, [data]),
                                 (SIGNATURE, IMAGES, pixels[np.newaxis])):
        signature = signatures[name]
        found = session.run(signature.outputs[CLASSES].name,
                            {signature.inputs[alias].name: value})
        shares.append(np.mean(found[0] == wanted))
  return float(min(shares))
