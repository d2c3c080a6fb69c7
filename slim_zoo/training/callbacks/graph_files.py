"""The graph of a run in its folder: as text, and for TensorBoard.

That takes seconds for a deep network, so a thread does so beside the steps that follow
the first one.
"""

import glob
import os
import threading

from slim_zoo.tf_compat import tf
from slim_zoo.training.callbacks.callback import Callback

TEXT_NAME = 'graph.pbtxt'


class GraphFiles(Callback):
  """Writes the graph, beginning behind the first step.

  Args:
    folder: for graph.pbtxt.
  """

  def __init__(self, folder: str):
    self._folder, self._writer, self._thread = folder, None, None

  def begin(self, session, step, writer):
    """Takes the writer."""
    self._writer = writer

  def after_step(self, session, step):
    """Begins to write, the first time."""
    if self._thread is None:
      self._thread = threading.Thread(target=self._write, args=(session.graph,))
      self._thread.start()

  def end(self, session, step):
    """Waits until all is written: the run is about to close the writer."""
    if self._thread is not None:
      self._thread.join()

  def _write(self, graph):
    try:
      self._remove_unfinished()
      graph_def = graph.as_graph_def(add_shapes=True)
      tf.io.write_graph(graph_def, self._folder, TEXT_NAME)
    except (OSError, tf.errors.OpError) as error:
      # A failed write must not end the run.
      print(f'the graph is not written: {error}', flush=True)
    if self._writer is not None:
      self._writer.add_graph(graph)

  def _remove_unfinished(self):
    """Removes what killed processes left of the text."""
    for path in glob.glob(os.path.join(glob.escape(self._folder), f'{TEXT_NAME}.tmp*')):
      os.remove(path)
