"""Turns images in class folders, or of a list, into TFRecords to train on.

  slim-zoo convert-images --image_dir=photos --dataset_dir=data/pets \\
      --dataset_name=pets

photos/cat/*.jpg and photos/dog/*.png become the classes cat and dog. Folders with
names of splits, such as train and validation, or Training and Testing, with class
folders in them, are kept as splits; a split without class folders is skipped. An
ambiguous layout is refused: --split_folders and --class_folders decide.

A list names paths and classes, as CSV or as JSON lines:

  slim-zoo convert-images --image_list=photos/labels.csv --dataset_dir=data/pets \\
      --dataset_name=pets

Folders of images and masks:

  slim-zoo convert-images --segmentation --image_dir=scenes \\
      --dataset_dir=data/scenes --dataset_name=scenes

scenes/images/a.jpg and scenes/masks/a.png become an image with the class of each pixel.

Every image is decoded; what cannot be used is listed in refused.txt with the reason.
The exit code is 3 if anything was refused.
"""

from slim_zoo import start_up
from slim_zoo.commands import option_flags, running
from slim_zoo.config.conversion import ConvertImagesConfig
from slim_zoo.dataset_building import image_folder, image_list, mask_folder
from slim_zoo.images import image_check

option_flags.define(ConvertImagesConfig)


def main(unused_argv):
  """Converts, says what was done, and fails if anything was refused."""
  config = ConvertImagesConfig.from_options(
      option_flags.given_options(ConvertImagesConfig))
  config.check()
  options = config.images
  # Without a session: threads of TensorFlow would be lost in forked workers.
  start_up.import_tensorflow()
  storing = image_check.Storing(options.max_side, options.jpeg_quality)
  common = (options.image_dir, options.dataset_dir, options.dataset_name,
            options.validation_share, options.num_shards, options.num_workers)
  if options.has_masks:
    report = mask_folder.convert(*common, config.class_names(), storing)
  else:
    listed = image_list.ImageList(
        options.image_list, options.multi_label, options.label_separator,
        image_list.Columns(
            options.path_column, options.label_column, options.split_column)
    ) if options.image_list else None
    report = image_folder.convert(
        *common, options.split_folders, options.class_folders, storing, listed)
  print('\n'.join(report.lines()), flush=True)
  if not options.allow_refused:
    report.check_nothing_refused()


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main)
