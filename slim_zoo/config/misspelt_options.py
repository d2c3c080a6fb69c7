"""The option that a user means by another name: misspelt, or of another program."""

import difflib
from collections.abc import Iterable, Sequence

# Names that other programs use, and the options here; a command has some of them.
_OTHER_NAMES = (
    (('steps', 'max_steps', 'num_steps', 'train_steps', 'total_steps', 'iterations',
      'max_iter', 'num_iterations', 'epochs', 'num_epochs', 'max_epochs',
      'train_epochs'), ('max_number_of_steps', 'max_num_batches', 'num_batches')),
    (('lr', 'base_lr', 'learn_rate', 'initial_learning_rate', 'init_lr'),
     ('learning_rate',)),
    (('batch', 'bs', 'train_batch_size', 'eval_batch_size', 'images_per_gpu'),
     ('batch_size', 'batch_sizes')),
    (('gpu', 'gpus', 'num_gpu', 'num_gpus', 'ngpus', 'n_gpu'), ('num_clones',)),
    (('data', 'data_dir', 'data_path', 'input_dir', 'tfrecord_dir', 'records'),
     ('dataset_dir',)),
    (('logdir', 'log_dir', 'model_dir', 'output_dir', 'out_dir', 'save_dir', 'job_dir',
      'logs'),
     ('eval_dir', 'train_dir', 'export_dir', 'output_file', 'dataset_dir')),
    (('checkpoint', 'checkpoint_dir', 'checkpoints', 'ckpt', 'ckpt_dir', 'ckpt_path',
      'init_checkpoint', 'fine_tune_checkpoint', 'pretrained', 'pretrained_model',
      'weights', 'model_path', 'restore', 'train_dir'), ('checkpoint_path', 'source')),
    (('model', 'arch', 'architecture', 'backbone', 'net', 'network'),
     ('model_name', 'networks')),
    (('classes', 'num_classes'), ('dataset_name',)),
    (('split', 'subset'), ('dataset_split_name',)),
    (('image_size', 'img_size', 'imgsz', 'input_size', 'crop_size', 'resolution'),
     ('eval_image_size', 'train_image_size')),
    (('workers', 'num_workers', 'threads', 'num_threads', 'num_data_workers'),
     ('num_preprocessing_threads',)),
    (('amp', 'fp16', 'bf16', 'mixed_precision', 'dtype', 'half'), ('precision',)),
    (('per_process_gpu_memory_fraction', 'memory_fraction', 'gpu_memory',
      'gpu_fraction', 'gpu_mem_frac'), ('gpu_memory_fraction',)),
    (('growth', 'gpu_allow_growth', 'memory_growth', 'gpu_memory_growth'),
     ('allow_growth',)),
    (('num_inter_threads', 'inter_threads', 'inter_op_threads', 'inter_op'),
     ('inter_op_parallelism_threads',)),
    (('num_intra_threads', 'intra_threads', 'intra_op_threads', 'intra_op'),
     ('intra_op_parallelism_threads',)),
    (('opt', 'optim'), ('optimizer',)),
    (('wd', 'l2'), ('weight_decay',)),
    (('ema', 'ema_decay'), ('moving_average_decay',)),
    (('freeze', 'freeze_layers'), ('frozen_scopes',)),
    (('patience', 'early_stopping'), ('early_stop_patience',)),
    (('val_split', 'validation_split', 'val_share'), ('validation_share',)),
    (('label_file', 'labels', 'label_map', 'labels_path'), ('labels_file',)),
)
# Below this, two names have nothing in common. Words of a name: the least likeness.
_LEAST, _LEAST_OF_WORDS = 0.6, 0.8


def nearest(name: str, own: Iterable[str], others: Sequence[str] = ()) -> str | None:
  """Returns the option that `name` is likely to mean, or None.

  Args:
    name: what the user typed, without dashes.
    own: the options of the command.
    others: options that every command has, which few people mean.
  """
  name, own = name.lower().replace('-', '_'), sorted(own)
  for flag in own:
    if flag.replace('_', '') == name.replace('_', ''):
      return flag
  for names, targets in _OTHER_NAMES:
    meant = [flag for flag in targets if flag in own]
    if name in names and meant:
      return meant[0]
  for flags, least in ((others, _LEAST_OF_WORDS), (own, _LEAST)):
    best = max(flags, key=lambda flag: _likeness(name, flag), default=None)
    if best is not None and _likeness(name, best) >= least:
      return best
  return None


def _likeness(name, flag):
  """Returns how alike two names are, 0 to 1: by their letters or by their words."""
  words, of_flag = name.split('_'), flag.split('_')
  likenesses = [max(_ratio(word, other) for other in of_flag) for word in words]
  shared = sum(likeness for likeness in likenesses if likeness >= _LEAST_OF_WORDS)
  # All words of the name in a longer flag are worth more than similar letters.
  by_words = shared / len(words) * (0.7 + 0.3 * min(1, shared / len(of_flag)))
  return max(_ratio(name, flag), by_words)


def _ratio(one, other):
  return difflib.SequenceMatcher(None, one, other).ratio()
