"""Lists the images of folders that are named after the classes of ImageNet.

    imagenet-r/n01443537/1.jpg                     WordNet ids
    imagenetv2-matched-frequency-format-val/17/2.jpeg   numbers from 0
    imagenet-c/fog/3/n01443537/4.JPEG              the split fog_3

Labels are those of the records of ImageNet: 1 to 1000 in the order of the sorted
WordNet ids; 0 is the background. So networks that were trained on ImageNet can be
evaluated on images of some of its classes. Needs no TensorFlow.
"""

import os

from slim_zoo import diagnostics
from slim_zoo.catalog import imagenet_names
from slim_zoo.dataset_building import image_list
from slim_zoo.dataset_building.class_folders import ClassFolders, Source
from slim_zoo.images import folder_names, folder_tree, image_check
from slim_zoo.images.folder_names import TEST


def survey(image_dir: str) -> ClassFolders:
  """Returns the images of a folder; opens none of them.

  Each folder with images is a class. The path of its parent folder is the name of its
  split, with '_' in place of '/'. If all class folders have the same parent folder, the
  split is the one in the name of the parent folder, else test.

  Raises:
    UserError: the folder does not exist, or a folder of images is not named after a
      class.
    OSError: a folder cannot be read.
  """
  if not os.path.isdir(image_dir):
    raise diagnostics.UserError(
        f"image_dir '{image_dir}' does not exist: name the folder of the class folders")
  top, *_ = folder_tree.read(image_dir)
  folders = [folder for folder in top.below() if folder is not top and folder.images]
  if not folders:
    raise diagnostics.UserError(
        f"image_dir '{image_dir}' has no folders of images: expected one for each"
        ' class, named by its WordNet id, such as n01440764, or by its number')
  label_of = _labels([folder.name for folder in folders], image_dir)
  parents = {os.path.dirname(folder.path) for folder in folders}
  sources, outside, ignored = [], list(top.images), []
  for folder in folders:
    parent = os.path.dirname(folder.path)
    split = _split(image_dir, parent, len(parents) == 1)
    for path in folder.files:
      if image_check.has_image_suffix(path):
        sources.append(Source(path, label_of(folder.name), split))
      else:
        ignored.append(path)
  count = len({source.label for source in sources})
  notes = [f'classes are those of ImageNet: {count:,} of 1,000 have images',
           f'splits: {", ".join(dict.fromkeys(source.split for source in sources))};'
           ' --validation_share is not used']
  return ClassFolders(
      image_dir, tuple(imagenet_names.names(imagenet_names.WITH_BACKGROUND)), {},
      tuple(sorted(sources, key=lambda source: source.path)), tuple(sorted(outside)),
      tuple(sorted(ignored)), tuple(notes), image_dir, are_classes_fixed=True)


def _labels(names, image_dir):
  """Returns a function from the name of a folder to its label.

  Raises:
    UserError: a name is neither a WordNet id nor a number of a class.
  """
  count = imagenet_names.WITHOUT_BACKGROUND
  if all(name.isascii() and name.isdecimal() for name in names):
    wrong = next((name for name in names if int(name) >= count), None)
    if wrong is not None:
      raise diagnostics.UserError(
          f"the folder '{wrong}' in '{image_dir}' is not a class of ImageNet: expected"
          f' numbers from 0 to {count - 1}, or WordNet ids')
    return lambda name: int(name) + 1
  numbers = {name: label for label, name in enumerate(imagenet_names.wordnet_ids(), 1)}
  wrong = next((name for name in names if name not in numbers), None)
  if wrong is not None:
    raise diagnostics.UserError(
        f"the folder '{diagnostics.printable(wrong)}' in '{image_dir}' is not a class"
        f' of ImageNet{diagnostics.suggestion(wrong, numbers, 0.85)}: expected WordNet'
        f' ids such as n01440764, or numbers from 0 to {count - 1}')
  return numbers.__getitem__


def _split(image_dir, parent, is_only_one) -> str:
  """Returns the split of the class folders in a folder."""
  if is_only_one:
    split = folder_names.split_of(os.path.basename(parent))
    if split is None or split[1] or split[0] == folder_names.UNLABELLED:
      return TEST
    return folder_names.name_of_split(os.path.basename(parent), split[0])
  name = parent.replace('/', '_').replace(' ', '_') or TEST
  return image_list.split_name(f"'{image_dir}'", name)
