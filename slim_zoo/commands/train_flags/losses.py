"""The losses: what is minimized."""

import math

from absl import flags

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.catalog import losses as loss_catalog
from slim_zoo.catalog import networks
from slim_zoo.commands import train_flags

FLAGS = flags.FLAGS

_COUNTED = ('inverse_frequency', 'effective_number')


def define() -> None:
  """Defines the flags of this group."""
  flags.DEFINE_string('loss', 'softmax',
                      'softmax, softmax_focal, sigmoid or sigmoid_focal; or a sum of'
                      ' several with their weights, such as'
                      ' softmax:1,softmax_focal:0.5. Sigmoids are for images of several'
                      ' classes, or of none.')
  flags.DEFINE_float('weight_decay', 0.00004, 'L2 penalty on the weights.',
                     lower_bound=0)
  flags.DEFINE_float('label_smoothing', 0.0,
                     'Share of each target that is spread over all classes.',
                     lower_bound=0, upper_bound=1)
  flags.DEFINE_float('focal_gamma', 2.0,
                     'Focal losses: how much less counts what the network is sure of.'
                     ' 0 is cross entropy.', lower_bound=0)
  flags.DEFINE_float('focal_alpha', None,
                     'sigmoid_focal: the weight of true classes, against 1 - alpha of'
                     ' the others; 0.25 is usual. By default both weigh 1.',
                     lower_bound=0, upper_bound=1)
  flags.DEFINE_string('class_weights', 'none',
                      'Weights of the classes in the loss. inverse_frequency and'
                      ' effective_number are counted from the records; or one number'
                      ' for each class, separated by commas.')
  flags.DEFINE_float('effective_number_beta', 0.999,
                     'Of --class_weights=effective_number: how far it goes, from 0, all'
                     ' classes alike, to just below 1, inverse frequency. 0.9 to 0.9999'
                     ' are usual.', lower_bound=0)
  flags.DEFINE_float('auxiliary_loss_weight', 0.4,
                     'Weight of the same loss of the auxiliary head, for networks that'
                     ' have one.', lower_bound=0)


def check() -> None:
  """Refuses flags that make no sense; the data set's name has been checked."""
  names = [name for name, _ in _terms()]
  spec = _spec()
  loss_catalog.check(_terms(), spec.name, spec.multi_label)
  for flag, users in (('focal_gamma', loss_catalog.FOCAL),
                      ('focal_alpha', ('sigmoid_focal',))):
    if FLAGS[flag].present and not set(users) & set(names):
      raise diagnostics.UserError(
          f'--{flag}={FLAGS[flag].value:g} has no effect with --loss={FLAGS.loss}: it'
          f' is for {" and ".join(users)}')
  if FLAGS['effective_number_beta'].present and (
      FLAGS.class_weights != 'effective_number'):
    raise diagnostics.UserError(
        f'--effective_number_beta={FLAGS.effective_number_beta:g} has no effect with'
        f' --class_weights={FLAGS.class_weights}: it is for effective_number')
  if FLAGS.effective_number_beta >= 1:
    raise diagnostics.UserError(
        f'--effective_number_beta={FLAGS.effective_number_beta:g}: expected 0 or more'
        ' and less than 1')
  if FLAGS.class_weights not in ('none', *_COUNTED):
    _given_weights(spec.num_classes - FLAGS.labels_offset)


def notes() -> list[str]:
  """Returns a line for every flag that changes nothing."""
  heads = networks.get_network(FLAGS.model_name).head_scopes
  return train_flags.notes_of_flags_without_effect(
      {} if len(heads) > 1 else
      {'auxiliary_loss_weight': f'{FLAGS.model_name}, which has no auxiliary head'})


def _terms():
  return loss_catalog.parse(FLAGS.loss)


def _spec():
  return dataset_catalog.find_dataset(FLAGS.dataset_name, FLAGS.dataset_dir)


def _given_weights(num_classes: int) -> list[float]:
  """Returns the numbers of --class_weights, one for each class."""
  parts = train_flags.comma_separated(FLAGS.class_weights)
  try:
    weights = [float(part) for part in parts]
  except ValueError:
    raise diagnostics.unknown_name(
        '--class_weights', FLAGS.class_weights,
        ['none', *_COUNTED, 'numbers such as 1,2.5,1']) from None
  if len(weights) != num_classes or not any(weights) or not all(
      0 <= weight < math.inf for weight in weights):
    raise diagnostics.UserError(
        f'--class_weights={FLAGS.class_weights}: expected {num_classes} numbers from 0'
        f' on, one for each class, not all of them 0')
  return weights


def recipe(num_classes: int, batches):
  """Returns what is minimized, `losses.Recipe`; may count the labels of the input."""
  from slim_zoo.training import losses
  return losses.Recipe(
      num_classes, _terms(), FLAGS.label_smoothing, FLAGS.focal_gamma,
      FLAGS.focal_alpha, _class_weights(num_classes, batches),
      FLAGS.auxiliary_loss_weight)


def _class_weights(num_classes, batches):
  if FLAGS.class_weights == 'none':
    return None
  if FLAGS.class_weights not in _COUNTED:
    return _given_weights(num_classes)
  from slim_zoo.datasets import label_counts
  from slim_zoo.training import class_weights
  counts = label_counts.count(
      batches.files, _spec(), FLAGS.labels_offset, batches.part)
  if FLAGS.class_weights == 'inverse_frequency':
    return class_weights.inverse_frequency(counts).tolist()
  return class_weights.effective_number(counts, FLAGS.effective_number_beta).tolist()


def facts(loss) -> dict:
  """Returns what the run card says of a recipe."""
  weights = loss.class_weights
  return {'loss': loss_catalog.describe(loss.terms),
          **({} if weights is None else {'class_weights': list(weights)})}


def rows(loss, dataset) -> list[tuple[str, str]]:
  """Returns the lines of the banner that are of this group."""
  text = loss_catalog.describe(loss.terms)
  if loss.label_smoothing:
    text += f', label smoothing {loss.label_smoothing:g}'
  if any(name in loss_catalog.FOCAL for name, _ in loss.terms):
    text += f', gamma {loss.gamma:g}'
    text += '' if loss.alpha is None else f', alpha {loss.alpha:g}'
  return [('loss', text), *_weight_rows(loss.class_weights, dataset)]


def _weight_rows(weights, dataset):
  if weights is None:
    return []
  names = dataset.labels_to_names or {}
  name = lambda index: names.get(
      index + FLAGS.labels_offset, str(index + FLAGS.labels_offset))
  order = sorted(range(len(weights)), key=lambda index: (weights[index], index))
  least, most = order[0], order[-1]
  origin = (f', {FLAGS.class_weights}' if FLAGS.class_weights in _COUNTED else '')
  lines = [f'{weights[least]:.3g} ({name(least)}) to {weights[most]:.3g}'
           f' ({name(most)}){origin}']
  absent = [name(index) for index in order if not weights[index]]
  if absent:
    lines.append(f'{len(absent)} weigh nothing ({", ".join(absent[:5])}'
                 f'{", ..." if len(absent) > 5 else ""})')
  return [('class weights', lines)]
