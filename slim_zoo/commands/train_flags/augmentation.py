"""Augmentation past the recipe of the preprocessing: none of it by default."""

from absl import flags

from slim_zoo import diagnostics
from slim_zoo.commands import common_flags

FLAGS = flags.FLAGS

_PICTURED = 6


def define() -> None:
  """Defines the flags of this group."""
  flags.DEFINE_integer('rand_augment_layers', 0,
                       'RandAugment: operations that are drawn for each image; 2 is'
                       ' usual, 0 is none.', lower_bound=0, upper_bound=14)
  flags.DEFINE_float('rand_augment_magnitude', 9,
                     'RandAugment: how strong each operation is. 10 is as strong as'
                     ' AutoAugment can be; large networks take more.',
                     lower_bound=0, upper_bound=30)
  flags.DEFINE_float('random_erasing_probability', 0.0,
                     'Share of the images of which a box becomes noise; 0.25 to 0.5'
                     ' are usual.', lower_bound=0, upper_bound=1)
  flags.DEFINE_float('mixup_alpha', 0.0,
                     'Blends each image and its label with another of the batch, by a'
                     ' share from Beta(alpha, alpha); 0.1 to 0.4 are usual, 0 is off.',
                     lower_bound=0)
  flags.DEFINE_float('cutmix_alpha', 0.0,
                     'Puts a box of another image of the batch into each image, the'
                     ' share from Beta(alpha, alpha); 1 is usual, 0 is off. With'
                     ' --mixup_alpha too each batch draws one of the two.',
                     lower_bound=0)


def check() -> None:
  """Refuses flags that make no sense."""
  if FLAGS['rand_augment_magnitude'].present and not FLAGS.rand_augment_layers:
    raise diagnostics.UserError(
        f'--rand_augment_magnitude={FLAGS.rand_augment_magnitude:g} has no effect'
        ' without --rand_augment_layers: give it too, such as'
        ' --rand_augment_layers=2')
  for name in ('mixup_alpha', 'cutmix_alpha'):
    if FLAGS[name].value and FLAGS.batch_size == 1:
      raise diagnostics.UserError(
          f'--{name}={FLAGS[name].value:g} with --batch_size=1: there is no other'
          ' image to mix with; take 2 images or more')


def notes() -> list[str]:
  """Returns a line for every flag that changes nothing, or less than one expects."""
  if FLAGS.rand_augment_layers and FLAGS.use_grayscale:
    return ['the colour operation of RandAugment leaves gray images as they are'
            ' (--use_grayscale)']
  return []


def preprocessing_fn():
  """Returns the training preprocessing of the flags."""
  return _steps()[-1][1]


def mix():
  """Returns what mixes the images and targets of a batch, or None."""
  from slim_zoo.preprocessing import mixing
  return mixing.make_mixer(FLAGS.mixup_alpha, FLAGS.cutmix_alpha)


def _steps() -> list:
  """Returns (title, preprocessing_fn): the recipe, and with each addition."""
  from slim_zoo.preprocessing import augmentation
  recipe = common_flags.get_preprocessing_fn(is_training=True)
  layers = FLAGS.rand_augment_layers
  steps = [(f'{FLAGS.preprocessing_name or FLAGS.model_name} preprocessing', recipe)]
  if layers:
    steps.append((_rand_augment_in_words(), augmentation.augmented(
        recipe, layers, FLAGS.rand_augment_magnitude)))
  if FLAGS.random_erasing_probability:
    steps.append((_erasing_in_words(), augmentation.augmented(
        recipe, layers, FLAGS.rand_augment_magnitude,
        FLAGS.random_erasing_probability)))
  return steps


def _rand_augment_in_words():
  layers = FLAGS.rand_augment_layers
  return (f'RandAugment, {layers} operation{"s" if layers > 1 else ""} of magnitude'
          f' {FLAGS.rand_augment_magnitude:g}')


def _erasing_in_words():
  return f'random erasing of {FLAGS.random_erasing_probability:.0%} of the images'


def _mixers() -> list:
  """Returns (title, mix) of each way to mix batches."""
  from slim_zoo.preprocessing import mixing
  return [(f'{name} with alpha {alpha:g}', mixing.make_mixer(*alphas))
          for name, alpha, alphas in (
              ('mixup', FLAGS.mixup_alpha, (FLAGS.mixup_alpha, 0)),
              ('cutmix', FLAGS.cutmix_alpha, (0, FLAGS.cutmix_alpha))) if alpha]


def watchers(dataset, image_size: int, batches) -> list:
  """Returns what draws the augmentation for TensorBoard; call it after the graph."""
  steps, mixers = _steps(), _mixers()
  if (len(steps) == 1 and not mixers) or not FLAGS.save_summaries_secs or FLAGS.task:
    return []
  from slim_zoo.datasets import batch_labels, pipeline
  from slim_zoo.preprocessing import display
  from slim_zoo.training import augmentation_pictures, sample_predictions
  samples = sample_predictions.choose(
      batches.files, dataset.num_samples, _PICTURED, FLAGS.labels_offset,
      n_hot=batch_labels.is_n_hot(dataset))
  if not samples:
    return []
  name = FLAGS.preprocessing_name or FLAGS.model_name
  return [augmentation_pictures.AugmentationPictures(
      dataset, samples,
      [(title, pipeline.preprocess_with(preprocessing_fn, image_size, seed=0))
       for title, preprocessing_fn in steps], mixers,
      lambda images: display.displayable(images, name), FLAGS.save_summaries_secs)]


def rows() -> list[tuple[str, str]]:
  """Returns the lines of the banner that are of this group."""
  steps = []
  if FLAGS.rand_augment_layers:
    steps.append(_rand_augment_in_words())
  if FLAGS.random_erasing_probability:
    steps.append(_erasing_in_words())
  titles = [title for title, _ in _mixers()]
  if titles:
    steps.append(' or '.join(titles))
  return [('augmentation', steps)] if steps else []
