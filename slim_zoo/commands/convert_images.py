"""Turns a folder of class folders of images into TFRecords to train on.

  slim-zoo convert-images --image_dir=photos --dataset_dir=data/pets \\
      --dataset_name=pets

photos/cat/*.jpg and photos/dog/*.png become the classes cat and dog. Folders with
names of splits, such as train and validation, or Training and Testing, with class
folders in them, are kept as splits; a split without class folders is skipped. An
ambiguous layout is refused: --split_folders and --class_folders decide.

Every image is decoded; what cannot be used is listed in refused.txt with the reason.
The exit code is 3 if anything was refused.
"""


from absl import flags

from slim_zoo import diagnostics
from slim_zoo.commands import path_flags, running
from slim_zoo.dataset_building import folder_layout, image_folder
from slim_zoo.images import image_check

FLAGS = flags.FLAGS

path_flags.DEFINE_path('image_dir', None,
                       'The folder that holds one folder of images for each class.'
                       ' JPEG and PNG are stored byte for byte; BMP, GIF, TIFF, WebP'
                       ' and odd kinds of JPEG and PNG are encoded anew.',
                       takes_bytes=True)
path_flags.DEFINE_path('dataset_dir', None, 'The folder to write the TFRecords to. An'
                       ' earlier conversion of the same name is replaced.')
flags.DEFINE_string('dataset_name', None, 'The name of the data set, to be used as'
                    ' --dataset_name in training and evaluation.')
flags.DEFINE_float('validation_share', 0.1, 'The part of the images that goes to the'
                   ' split validation, drawn by file name: an image stays in its split'
                   ' when others come. Each class keeps at least one image to train on.'
                   ' Unused where image_dir has folders for splits.')
flags.DEFINE_enum('split_folders', 'auto', folder_layout.SPLIT_CHOICES,
                  'Whether the folders in image_dir are splits (yes) or classes (no);'
                  ' auto: they are splits if all have names of splits, or an'
                  ' error if it is not clear.')
flags.DEFINE_enum('class_folders', 'auto', folder_layout.CLASS_CHOICES,
                  'Which folders are classes, where there are several levels: those at'
                  ' the top, with all below them, or the deepest, which hold the'
                  ' images; auto: the top, or an error if both are likely.')
flags.DEFINE_integer('max_side', None, 'Scale larger images down, so that the longest'
                     ' side has so many pixels. Photographs of 12 megapixels train many'
                     ' times faster with 640, which is enough for networks of 224 to'
                     ' 331 pixels.')
flags.DEFINE_integer('jpeg_quality', 95, 'Quality, 1 to 100, of JPEGs that are encoded'
                     ' anew because they are scaled down, turned upright or of an odd'
                     ' kind.')
flags.DEFINE_integer('num_shards', None, 'How many files each split has; by default'
                     ' one for every 100 MB.')
flags.DEFINE_integer('num_workers', 0, 'How many images are decoded at the same time;'
                     ' 0: as many as the machine has cores.', lower_bound=0)
flags.DEFINE_bool('allow_refused', False, 'Exit with 0 even if images were refused.')


def check_flags() -> None:
  """Raises UserError unless all that is needed is named."""
  for name in ('image_dir', 'dataset_dir', 'dataset_name'):
    if not FLAGS[name].value:
      raise diagnostics.UserError(f'--{name} is missing: {FLAGS[name].help}')


def main(_):
  """Converts, says what was done, and fails if anything was refused."""
  check_flags()
  report = image_folder.convert(
      FLAGS.image_dir, FLAGS.dataset_dir, FLAGS.dataset_name,
      FLAGS.validation_share, FLAGS.num_shards, FLAGS.num_workers,
      FLAGS.split_folders, FLAGS.class_folders,
      image_check.Storing(FLAGS.max_side, FLAGS.jpeg_quality))
  print('\n'.join(report.lines()), flush=True)
  if not FLAGS.allow_refused:
    report.check_nothing_refused()


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main)
