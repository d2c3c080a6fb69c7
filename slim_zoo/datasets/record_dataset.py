"""Reads TFRecords in a folder as a `slim.dataset.Dataset`.

One builder reads every data set; modules such as flowers.py only define names.
"""

import glob
import os
from collections.abc import Callable

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as catalog
from slim_zoo.datasets import labels
from slim_zoo.images import image_decoding
from slim_zoo.tf_compat import slim, tf

_DESCRIPTIONS = {
    'image': 'The image, uint8 [height, width, {channels}].',
    'label': '{label_description}',
    'mask': 'The class of each pixel, uint8 [height, width]; 255: without a class.',
    'label_text': 'The name of the class, a string.',
    'object/bbox': 'Boxes [y_min, x_min, y_max, x_max] as parts of the image.',
    'object/label': 'The label of each box.',
}


def _decoder(spec: catalog.DatasetSpec, decodes_images: bool = True
             ) -> slim.tfexample_decoder.TFExampleDecoder:
  """Returns the decoder of a record, for PNG and JPEG, gray and colour.

  Args:
    spec: the data set.
    decodes_images: whether to decode the item 'image'; otherwise it is a string.
  """
  if spec.masks:
    return _decoder_of_masks(spec, decodes_images)
  default = {} if spec.default_label is None else {'default_value': spec.default_label}
  label = (tf.VarLenFeature(tf.int64) if spec.multi_label else
           tf.FixedLenFeature([], tf.int64, **default))
  features = {
      spec.image_feature: tf.FixedLenFeature([], tf.string),
      spec.label_feature: label,
  }
  handlers = slim.tfexample_decoder
  items = {
      'image': (image_decoding.ImageHandler(spec.image_feature, spec.channels)
                if decodes_images else handlers.Tensor(spec.image_feature)),
      'label': (_n_hot_labels(spec) if spec.n_hot else
                handlers.Tensor(spec.label_feature)),
  }
  if spec.text_labels:
    features['image/class/text'] = tf.FixedLenFeature(
        [], tf.string, default_value='')
    items['label_text'] = handlers.Tensor('image/class/text')
  if spec.bounding_boxes:
    sides = ('ymin', 'xmin', 'ymax', 'xmax')
    for side in sides:
      features[f'image/object/bbox/{side}'] = tf.VarLenFeature(tf.float32)
    features['image/object/bbox/label'] = tf.VarLenFeature(tf.int64)
    items['object/bbox'] = handlers.BoundingBox(sides, 'image/object/bbox/')
    items['object/label'] = handlers.Tensor('image/object/bbox/label')
  return handlers.TFExampleDecoder(features, items)


def _decoder_of_masks(spec, decodes_images):
  """Returns the decoder of a record with the items 'image' and 'mask'."""
  handlers = slim.tfexample_decoder
  decode_mask = lambda tensors: tf.squeeze(
      image_decoding.decode(tensors[catalog.MASK_FEATURE], 1), 2)
  return handlers.TFExampleDecoder(
      {name: tf.FixedLenFeature([], tf.string)
       for name in (spec.image_feature, catalog.MASK_FEATURE)},
      {'image': (image_decoding.ImageHandler(spec.image_feature, spec.channels)
                 if decodes_images else handlers.Tensor(spec.image_feature)),
       'mask': handlers.ItemHandlerCallback([catalog.MASK_FEATURE], decode_mask)})


def _n_hot_labels(spec: catalog.DatasetSpec):
  """Returns the handler that converts a vector of 0 and 1 to labels."""
  def to_labels(tensors):
    vector = tf.sparse_tensor_to_dense(tensors[spec.label_feature])
    is_vector = tf.equal(tf.size(vector), spec.num_classes) & tf.reduce_all(
        tf.equal(vector, 0) | tf.equal(vector, 1))
    with tf.control_dependencies([tf.Assert(is_vector, ['the label is not N-hot'])]):
      return tf.where_v2(tf.equal(vector, 1))[:, 0]

  return slim.tfexample_decoder.ItemHandlerCallback([spec.label_feature], to_labels)


def _class_names(spec, dataset_dir):
  """Returns class names by label, or None."""
  if spec.class_names is not None:
    return dict(enumerate(spec.class_names))
  if not labels.has_labels(dataset_dir):
    return None
  names = labels.read_label_file(dataset_dir)
  if names and max(names) >= spec.num_classes:
    raise diagnostics.UserError(
        f"'{os.path.join(dataset_dir, labels.LABELS_FILENAME)}' names a class"
        f' {max(names)}, but the {spec.num_classes} classes of {spec.name} are 0 to'
        f' {spec.num_classes - 1}: is this the folder of another data set? Records of'
        ' your own need a name of their own, in a dataset.json such as'
        ' slim-zoo convert-images writes')
  return names


def read_dataset(name: str, split_name: str, dataset_dir: str,
                 file_pattern: str | None = None, reader: type | None = None,
                 with_names: bool = True) -> slim.dataset.Dataset:
  """Returns a split of a data set.

  Args:
    name: a data set of the catalog, or of the dataset.json in `dataset_dir`.
    split_name: one of its splits.
    dataset_dir: folder of its record files. '' does not look for files, to get only
      the properties of the data set.
    file_pattern: glob pattern instead of the data set's; %s or {} is replaced by the
      split's name.
    reader: reads the files; the default is tf.TFRecordReader.
    with_names: whether to read class names, if they exist.

  Returns:
    A Dataset with the items 'image' (uint8 [height, width, channels]) and 'label'
    (int64 [], or [labels] if multi_label), or 'mask' (uint8 [height, width]) in place
    of the label; and, if the records have them, 'label_text' (string []), 'object/bbox'
    (float32 [boxes, 4]) and 'object/label' (int64 [boxes]).
    `encoded_decoder` returns the same items, but 'image' as the bytes of its file.
    `channels` is the number of channels, labels_to_names a dict, or None without a
    labels.txt. multi_label: whether images have any number of labels.

  Raises:
    UserError: the data set, split, folder or files do not exist.
  """
  spec = catalog.find_dataset(name, dataset_dir)
  if dataset_dir == '':
    files = [file_pattern or spec.pattern(split_name)]
  else:
    # Escaped, because slim treats each as a pattern.
    files = [glob.escape(path) for path in catalog.split_files(
        spec, split_name, dataset_dir, file_pattern)]
  decoder = _decoder(spec)
  return slim.dataset.Dataset(
      data_sources=files,
      reader=reader or tf.TFRecordReader,
      decoder=decoder,
      encoded_decoder=_decoder(spec, decodes_images=False),
      channels=spec.channels,
      num_samples=spec.splits[split_name],
      items_to_descriptions={
          item: _DESCRIPTIONS[item].format(
              channels=spec.channels, label_description=spec.label_description)
          for item in decoder.list_items()},
      num_classes=spec.num_classes,
      multi_label=spec.multi_label,
      n_hot=spec.n_hot,
      masks=spec.masks,
      image_feature=spec.image_feature,
      label_feature=spec.label_feature,
      labels_to_names=(
          _class_names(spec, dataset_dir) if dataset_dir and with_names else None))


def split_reader(name: str) -> Callable[..., slim.dataset.Dataset]:
  """Returns the `get_split` of a data set of the catalog."""
  def get_split(split_name, dataset_dir, file_pattern=None, reader=None):
    return read_dataset(name, split_name, dataset_dir, file_pattern, reader)

  get_split.__doc__ = (
      f'Returns a split of {name}; arguments and errors are those of'
      ' `record_dataset.read_dataset`.')
  return get_split
