"""Writes the graph of a network, without weights, as a GraphDef.

  slim-zoo export-inference-graph --model_name=inception_v3 \\
      --output_file=/tmp/inception_v3.pb

The placeholder 'input' takes preprocessed float32 images. TensorFlow's freeze_graph
adds the weights of a checkpoint:

  python -m tensorflow.python.tools.freeze_graph --input_graph=/tmp/inception_v3.pb \\
      --input_binary=true --input_checkpoint=/tmp/train/model.ckpt-1000 \\
      --output_node_names=InceptionV3/Predictions/Reshape_1 \\
      --output_graph=/tmp/inception_v3_frozen.pb

slim-zoo export writes a graph with weights, preprocessing and labels, and checks its
numbers.
"""

import os

from absl import flags

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.catalog import networks
from slim_zoo.commands import path_flags, running, start_up

FLAGS = flags.FLAGS

# --- The network.
flags.DEFINE_string('model_name', 'inception_v3', 'Name of the network.')
flags.DEFINE_boolean('is_training', False,
                     'Write the graph of training: batch norm by the statistics of the'
                     ' batch, dropout on.')
flags.DEFINE_boolean('quantize', False,
                     'Not supported: the quantization rewriter went with tf.contrib.'
                     ' slim-zoo export --format=tflite_int8 quantizes.')

# --- Its classes.
flags.DEFINE_string('dataset_name', 'imagenet',
                    'Data set that says how many classes there are.')
path_flags.DEFINE_path('dataset_dir', '',
                       'Folder of the data set; needed for one that a converter wrote.')
flags.DEFINE_integer('labels_offset', 0,
                     'Taken off the number of classes: 1 leaves out the background'
                     ' class of ImageNet, which VGG and ResNet v1 do not have.',
                     lower_bound=0)

flags.DEFINE_integer('num_classes', None,
                     'Number of logits, in place of what the data set says.',
                     lower_bound=1)

# --- Its images.
flags.DEFINE_integer('image_size', None,
                     'Height and width of the images; by default those of the'
                     ' network.', lower_bound=1)
flags.DEFINE_integer('batch_size', None,
                     'Images at a time; by default any number.', lower_bound=1)
flags.DEFINE_string('preprocessing_name', None,
                    'Preprocessing of the training; by default that of the network.'
                    ' It says how many channels the network gets of gray images.')
flags.DEFINE_boolean('use_grayscale', False, 'The images have one gray channel.')
flags.DEFINE_boolean('is_video_model', False,
                     'The network takes clips [batch, frames, height, width,'
                     ' channels].')
flags.DEFINE_integer('num_frames', None,
                     'With --is_video_model: the frames of a clip.', lower_bound=1)

# --- Where the graph goes.
path_flags.DEFINE_path('output_file', '', 'File to write.')
flags.DEFINE_boolean('write_text_graphdef', False,
                     'Write the GraphDef as text, to be read by people.')


def check_flags() -> None:
  """Refuses flags that make no sense, before any work.

  Raises:
    UserError: the first thing that is wrong.
  """
  if not FLAGS.output_file:
    raise diagnostics.UserError(
        'no --output_file: name the file to write, such as graph.pb')
  if os.path.isdir(FLAGS.output_file):
    raise diagnostics.UserError(
        f"--output_file='{FLAGS.output_file}' is a folder: name a file in it")
  if FLAGS.quantize:
    raise diagnostics.UserError(
        '--quantize is not supported: the quantization rewriter went with'
        ' tf.contrib; slim-zoo export --format=tflite_int8 quantizes a checkpoint')
  row = networks.get_network(FLAGS.model_name)
  if FLAGS.preprocessing_name:
    networks.check_preprocessing(FLAGS.preprocessing_name)
  if FLAGS.image_size:
    networks.check_image_size(
        FLAGS.model_name, FLAGS.image_size, FLAGS.is_training, flag='image_size')
  for flag in ('dataset_name', 'labels_offset'):
    if FLAGS.num_classes and FLAGS[flag].present:
      raise diagnostics.UserError(
          f'--num_classes={FLAGS.num_classes} and --{flag} both say how many classes'
          ' there are: leave out one of them')
  if FLAGS.is_video_model and not FLAGS.num_frames:
    raise diagnostics.UserError(
        '--is_video_model needs --num_frames, the frames of a clip')
  if FLAGS.num_frames and not FLAGS.is_video_model:
    raise diagnostics.UserError('--num_frames has no effect without --is_video_model')
  if FLAGS.is_video_model != (row.frames is not None):
    raise diagnostics.UserError(
        f"'{FLAGS.model_name}' is a video network: add --is_video_model and"
        f' --num_frames={row.frames}' if row.frames else
        f"'{FLAGS.model_name}' takes single images: leave out --is_video_model")


def export() -> None:
  """Builds the graph and writes it."""
  spec = dataset_catalog.find_dataset(FLAGS.dataset_name, FLAGS.dataset_dir or None)
  spec.check_labels_offset(FLAGS.labels_offset)
  channels = networks.channels_after(
      FLAGS.preprocessing_name or FLAGS.model_name, spec.channels, FLAGS.use_grayscale)
  start_up.load_tensorflow()
  from slim_zoo.inference import network_graph
  from slim_zoo.tf_compat import tf
  network = network_graph.build(
      FLAGS.model_name, FLAGS.num_classes or spec.num_classes - FLAGS.labels_offset,
      channels, FLAGS.image_size, FLAGS.batch_size, FLAGS.num_frames,
      FLAGS.is_training)
  folder, name = os.path.split(os.path.abspath(FLAGS.output_file))
  os.makedirs(folder, exist_ok=True)
  tf.io.write_graph(
      network.graph.as_graph_def(), folder, name, FLAGS.write_text_graphdef)
  print(f"wrote {FLAGS.output_file}: {FLAGS.model_name}, images at"
        f" '{network.images.op.name}' {network.images.shape.as_list()}")
  print(f"  logits         '{network.logits.op.name}' {network.logits.shape.as_list()}")
  if network.probabilities is not None:
    print(f"  probabilities  '{network.probabilities.op.name}'")


def main(unused_argv):
  """Checks the flags, then exports."""
  check_flags()
  export()


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main)
