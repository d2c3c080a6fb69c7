"""Turns images of class folders, lists or other files into TFRecords to train on.

  slim-zoo convert-images --image_dir=photos --dataset_dir=data/pets \\
      --dataset_name=pets

photos/cat/*.jpg and photos/dog/*.png become the classes cat and dog. Folders with
names of splits, such as train and validation, or Training and Testing, with class
folders in them, are kept as splits; a split without class folders is skipped. An
ambiguous layout is refused: --split_folders and --class_folders decide.

A list names paths and classes, as CSV or as JSON lines:

  slim-zoo convert-images --image_list=photos/labels.csv --dataset_dir=data/pets \\
      --dataset_name=pets

Tar shards of webdataset, Parquet files, and data sets of Hugging Face:

  slim-zoo convert-images --source='pets-{000..009}.tar' --dataset_dir=data/pets \\
      --dataset_name=pets

Folders named after classes of ImageNet, such as those of ImageNet-R:

  slim-zoo convert-images --image_dir=imagenet-r --classes_of=imagenet \\
      --dataset_dir=data/imagenet_r --dataset_name=imagenet_r

Folders of images and masks:

  slim-zoo convert-images --segmentation --image_dir=scenes \\
      --dataset_dir=data/scenes --dataset_name=scenes

scenes/images/a.jpg and scenes/masks/a.png become an image with the class of each pixel.

Every image is decoded; what cannot be used is listed in refused.txt with the reason.
The exit code is 3 if anything was refused.
"""

from slim_zoo import diagnostics, start_up
from slim_zoo.commands import option_flags, running
from slim_zoo.config.conversion import ConvertImagesConfig
from slim_zoo.dataset_building import (
  image_folder,
  image_list,
  mask_folder,
  packed_images,
)
from slim_zoo.images import image_check

option_flags.define(ConvertImagesConfig)


def main(unused_argv):
  """Converts, says what was done, and fails if anything was refused."""
  config = ConvertImagesConfig.from_options(
      option_flags.given_options(ConvertImagesConfig))
  if (times := option_flags.times_given('source')) > 1:
    raise diagnostics.UserError(
        f"--source is given {times} times: put the pattern in"
        " quotes, so that the shell does not expand it: --source='{000..009}.tar'")
  config.check()
  options = config.images
  # Without a session: threads of TensorFlow would be lost in forked workers.
  start_up.import_tensorflow()
  # Published results on the classes of another data set are of images as they are.
  storing = image_check.Storing(
      options.max_side, options.jpeg_quality, upright=not options.classes_of)
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
    packed = packed_images.PackedImages(
        options.source, options.multi_label, options.label_separator,
        options.image_column, options.label_column, config.class_names(),
        options.split_folders) if options.source else None
    report = image_folder.convert(
        *common, options.split_folders, options.class_folders, storing, listed, packed,
        options.classes_of)
  print('\n'.join(report.lines()), flush=True)
  if not options.allow_refused:
    report.check_nothing_refused()


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main)
