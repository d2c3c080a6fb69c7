"""The rows of `benchmarks.training_options`: what is trained with each option.

The learning rate of MobileNet was chosen without the options, on the validation split.
Other rates, the steps and the strengths of the options are usual ones, not tuned.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

# A placeholder in the options of a row: the checkpoint that its start trains.
START = '{start}'

_FEW = (10,) * 10
_UNEVEN = (60, 44, 32, 23, 17, 12, 9, 7, 5, 4)
_LENET = {'model_name': 'lenet', 'optimizer': 'adam', 'opt_epsilon': 1e-8,
          'learning_rate': 1e-3, 'learning_rate_decay_type': 'cosine',
          'end_learning_rate': 1e-5, 'max_number_of_steps': 200, 'batch_size': 20}
_MOBILENET = {**_LENET, 'model_name': 'mobilenet_v1_025', 'train_image_size': 32,
              'preprocessing_name': 'cifarnet', 'learning_rate': 0.01,
              'max_number_of_steps': 300}
_FIXED = {'learning_rate_decay_type': 'fixed'}
_NEW_STATISTICS = {'recalibrate_batch_norm': True}


@dataclasses.dataclass(frozen=True)
class Row:
  """An option and its runs.

  Attributes:
    title: of the option, for the table.
    train: options of both runs.
    with_option: options that the second run has besides.
    without_option: options that the first run has besides.
    counts: training images of each class.
    chosen: the digits.
    evaluate: options of both evaluations.
    evaluate_with: options that the second evaluation has besides; then there is only
      one run.
    averages_last: number of checkpoints at the end of the one run that are averaged for
      the second evaluation; 0: none.
    start: what is trained before, as `benchmarks.peers.training_option` names it.
    note: a sentence on the row for the page.
  """

  title: str
  train: Mapping[str, Any]
  with_option: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  without_option: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  counts: tuple[int, ...] = _FEW
  chosen: tuple[int, ...] = tuple(range(10))
  evaluate: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  evaluate_with: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  averages_last: int = 0
  start: str | None = None
  note: str = ''


ROWS = {
    'distillation': Row(
        '`--teacher` (distillation)', {**_MOBILENET, 'max_number_of_steps': 500},
        {'teacher': START}, evaluate=_NEW_STATISTICS, start='teacher',
        note='The teacher is a LeNet that was trained on all 1,442 training images;'
             ' both runs of a pair use 100 of them.'),
    'balance_sampling': Row(
        '`--balance=sampling`', _LENET, {'balance': 'sampling'}, counts=_UNEVEN),
    'balance_weights': Row(
        '`--balance=weights`', _LENET, {'balance': 'weights'}, counts=_UNEVEN),
    'average': Row(
        '`slim-zoo average`, last 5 checkpoints', {**_MOBILENET, **_FIXED},
        evaluate=_NEW_STATISTICS, averages_last=5,
        note='`slim-zoo average` is compared with the last weights of the same run.'),
    'moving_averages': Row(
        '`--moving_average_decay=0.98`',
        {**_LENET, **_FIXED, 'moving_average_decay': 0.98},
        evaluate_with={'moving_average_decay': 0.98},
        note='The moving averages are compared with the weights of the same run.'),
    'mixing_off': Row(
        '`--mixing_off_epochs`, a fifth of the run',
        {**_LENET, 'mixup_alpha': 0.4, 'cutmix_alpha': 1.0},
        {'mixing_off_epochs': 8}),
    'layer_decay': Row(
        '`--layer_decay=0.8`',
        {**_MOBILENET, 'checkpoint_path': START, 'checkpoint_exclude_scopes': 'auto',
         'learning_rate': 1e-3, 'max_number_of_steps': 150, 'batch_size': 16},
        {'layer_decay': 0.8}, counts=(5,) * 5, chosen=(5, 6, 7, 8, 9),
        evaluate=_NEW_STATISTICS, start='other_digits',
        note='For `--layer_decay`, a network that learned the digits 0 to 4 is'
             ' fine-tuned on the digits 5 to 9.'),
    'trivial_augment': Row(
        '`--trivial_augment`', _LENET, {'trivial_augment': True}),
    'cosine_restarts': Row(
        '`cosine_restarts` against one `cosine`',
        _LENET, {'learning_rate_decay_type': 'cosine_restarts',
                 'num_epochs_per_decay': 20}),
    'lamb': Row(
        '`--optimizer=lamb` against `adamw`',
        {**_LENET, 'batch_size': 100, 'weight_decay': 0.01, 'max_number_of_steps': 60},
        {'optimizer': 'lamb', 'learning_rate': 0.01, 'opt_epsilon': 1e-6},
        {'optimizer': 'adamw'}),
    'repeated_augmentation': Row(
        '`--repeated_augmentation=3`',
        {**_LENET, 'trivial_augment': True, 'batch_size': 21},
        {'repeated_augmentation': 3}),
    'five_crop': Row(
        # Crops of cifarnet preprocessing would be larger than these images.
        '`--tta=five_crop`', {**_MOBILENET, 'preprocessing_name': 'inception'},
        evaluate=_NEW_STATISTICS,
        evaluate_with={'tta': 'five_crop'},
        note='`--tta` is compared with one view and the same weights.'),
    'stochastic_depth': Row(
        '`--stochastic_depth=0.2`',
        {**_MOBILENET, 'model_name': 'mobilenet_v2_035'}, {'stochastic_depth': 0.2},
        evaluate=_NEW_STATISTICS),
}
