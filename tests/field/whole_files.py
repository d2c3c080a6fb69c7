"""Checks that what a command left is whole: checkpoints, reports, events, records."""

import csv
import json
import pathlib
import re

from PIL import Image

from slim_zoo.evaluation import report_files
from slim_zoo.tf_compat import tf

# All that a training run may leave in its folder.
_OF_A_RUN = re.compile(
    r'checkpoint|graph\.pbtxt|run_card\.(json|md|flags)|validation\.json|best|hparams'
    r'|events\.out\.tfevents\..+|model\.ckpt-\d+\.(index|meta|data-00000-of-00001)')
_OF_A_BEST = re.compile(
    r'checkpoint|model\.ckpt(-again)?-\d+\.(index|meta|json|data-00000-of-00001)')


def whole_steps(folder: pathlib.Path) -> list[int]:
  """Returns the steps of the checkpoints that can be read to their last value."""
  steps = []
  for index in folder.glob('model.ckpt-*.index'):
    try:
      reader = tf.train.load_checkpoint(str(index.with_suffix('')))
      for name in reader.get_variable_to_shape_map():
        reader.get_tensor(name)
      steps.append(int(reader.get_tensor('global_step')))
    except (tf.errors.OpError, ValueError, RuntimeError, LookupError):
      continue
  return sorted(steps)


def check_json(path: pathlib.Path) -> dict | None:
  """Returns what a JSON file holds, None if there is none; fails if it is torn."""
  return json.loads(path.read_text(encoding='utf-8')) if path.exists() else None


def check_best(folder: pathlib.Path) -> dict | None:
  """Checks a folder best/: what its file `checkpoint` names is whole and of its step.

  Returns:
    What validation measured of that checkpoint; None if there is none yet.
  """
  state = tf.train.get_checkpoint_state(str(folder))
  if state is None:
    return None
  prefix = folder / pathlib.Path(state.model_checkpoint_path).name
  measured = check_json(prefix.with_name(prefix.name + '.json'))
  assert measured is not None, prefix
  step = int(prefix.name.rsplit('-', 1)[1])
  assert step in whole_steps(folder)
  assert measured['step'] == step
  return measured


def check_validation(train_dir: pathlib.Path, ended: bool) -> None:
  """Checks validation.json and best/ of a run, ended or killed.

  The best checkpoint is written after the file: of a killed run the last validation
  may be better.
  """
  history = check_json(train_dir / 'validation.json')
  measured = check_best(train_dir / 'best')
  if history is None:
    assert measured is None
    return
  results = history['findings'] if ended else history['findings'][:-1]
  steps = [result['step'] for result in results]
  assert steps == sorted(set(steps))
  if results:
    assert measured['score'] >= max(result['score'] for result in results)


def check_run_folder(train_dir: pathlib.Path) -> None:
  """Checks that an ended run has left nothing unfinished."""
  for folder, pattern in ((train_dir, _OF_A_RUN), (train_dir / 'best', _OF_A_BEST)):
    if folder.is_dir():
      left = [path.name for path in folder.iterdir()
              if not pattern.fullmatch(path.name)]
      assert not left, left


def check_report(folder: pathlib.Path) -> dict | None:
  """Checks an evaluation's report: complete, or without report.json.

  Returns:
    What report.json holds, or None.
  """
  report = check_json(folder / 'report.json')
  if report is None:
    return None
  with (folder / 'predictions.csv').open(encoding='utf-8', newline='') as file:
    assert len(list(csv.DictReader(file))) == report['num_images']
  with (folder / 'per_class.csv').open(encoding='utf-8', newline='') as file:
    assert len(list(csv.DictReader(file))) == report['num_classes']
  for name in report_files.NAMES:
    # images.png is in a report of masks, in place of the other pictures.
    if name.endswith('.png') and name != 'images.png':
      Image.open(folder / name).load()
  return report


def check_eval_folder(folder: pathlib.Path) -> None:
  """Checks that an ended evaluation has left nothing unfinished."""
  left = [path.name for path in folder.iterdir() if path.name != 'report'
          and not path.name.startswith('events.out.tfevents.')]
  left += [path.name for path in (folder / 'report').iterdir()
           if path.name not in report_files.NAMES]
  assert not left, left


def steps_with(tag: str, folder: pathlib.Path) -> list[int]:
  """Returns the steps at which the events of a folder have a value, in order.

  A killed process may leave a file that ends within a record.
  """
  steps = []
  for path in sorted(folder.glob('events.out.tfevents.*')):
    try:
      for event in tf.train.summary_iterator(str(path)):
        steps += [event.step for value in event.summary.value if value.tag == tag]
    except tf.errors.DataLossError:
      continue
  return steps


def count_records(*paths: pathlib.Path) -> int:
  """Returns how many whole records are in files."""
  count = 0
  for path in paths:
    try:
      for _ in tf.io.tf_record_iterator(str(path)):
        count += 1
    except tf.errors.OpError:  # It ends within a record, or is not a file of records.
      continue
  return count


def visible(folder: pathlib.Path) -> dict[str, bytes]:
  """Returns the files of a folder that are not hidden, by name."""
  if not folder.is_dir():
    return {}
  return {path.name: path.read_bytes() for path in sorted(folder.iterdir())
          if path.is_file() and not path.name.startswith('.')}
