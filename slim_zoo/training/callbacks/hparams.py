"""The row of a run in the HParams table of TensorBoard.

It is in a folder of its own, below that of the run: the table then has the results as
its columns, and not all curves of the run.
"""

import glob
import os
import time
from collections.abc import Callable, Mapping

from slim_zoo import diagnostics
from slim_zoo.tf_compat import tf
from slim_zoo.training import hparams_messages as messages
from slim_zoo.training import stopping
from slim_zoo.training.callbacks import summaries
from slim_zoo.training.callbacks.callback import Callback

FOLDER = 'hparams'
# Results of the run card that are columns of the table.
_NUMBERS = ('mean_loss', 'images_per_second')


class HParams(Callback):
  """Writes the parameters of a run, its results at every checkpoint, and its end.

  A continued run replaces its row. Use it as a context manager around the run card,
  which has the results.

  Args:
    train_dir: folder of the run.
    parameters: by name.
    results: returns those of the run card.
  """

  def __init__(self, train_dir: str,
               parameters: Mapping[str, bool | int | float | str],
               results: Callable[[], Mapping]):
    self._folder = os.path.join(train_dir, FOLDER)
    self._parameters, self._results = parameters, results
    self._writer, self._failed = None, False

  def __enter__(self):
    self._try(self._start)
    return self

  def __exit__(self, kind, error, trace):
    status = (messages.SUCCESS if error is None else
              messages.UNKNOWN if stopping.is_stop(error) else messages.FAILURE)
    self._try(self._write_results)
    self._try(lambda: self._add(messages.end(status, time.time())))
    self._try(self._close)

  def after_save(self, session, step, path):
    """Writes the results so far."""
    self._try(self._write_results)

  def _start(self):
    # TensorBoard shows the first parameters and the first end that it finds.
    for path in glob.glob(os.path.join(
        glob.escape(self._folder), 'events.out.tfevents.*')):
      os.remove(path)
    self._writer = tf.summary.FileWriter(self._folder)
    self._add(messages.start(self._parameters, time.time()))
    self._writer.flush()

  def _add(self, value):
    self._writer.add_summary(tf.Summary(value=[value]), 0)

  def _write_results(self):
    results = self._results()
    summaries.write_scalars(
        self._writer, columns(results), int(results.get('step', 0)))
    self._writer.flush()

  def _close(self):
    self._writer.close()

  def _try(self, action):
    """Runs an action; a disk that is full does not end the run."""
    if self._failed:
      return
    try:
      action()
    except (OSError, tf.errors.OpError) as error:
      self._failed = True
      why = (diagnostics.explain_os_error(error) if isinstance(error, OSError)
             else str(error).split('\n', maxsplit=1)[0])
      print(f'note: the row of the HParams table is not written: {why}', flush=True)


def columns(results: Mapping) -> dict[str, float]:
  """Returns the numbers of a run card's results that the table shows, by name."""
  numbers = {name: results[name] for name in _NUMBERS
             if isinstance(results.get(name), (int, float))}
  validation = results.get('validation')
  if not validation:
    return numbers
  measure, last = validation['measure'].replace(' ', '_'), validation['last']
  found = {f'last_{measure}': last['score'], 'validation_loss': last['loss']}
  if validation['best']:
    found[f'best_{measure}'] = validation['best']['score']
    found['best_step'] = validation['best']['step']
  return numbers | {name: value for name, value in found.items()
                    if isinstance(value, (int, float))}
