"""The graph of a run is written beside its steps, and no step waits for it."""

import pytest

from slim_zoo.tf_compat import tf
from slim_zoo.training.callbacks import graph_files


class Writer:
  """Keeps what a FileWriter would write."""

  graph = None

  def add_graph(self, graph):
    self.graph = graph


@pytest.mark.parametrize('writer', [Writer(), None], ids=['writer', 'none'])
def test_the_graph_is_written_behind_the_first_step(writer, tmp_path):
  tf.constant(1, name='alone')
  files = graph_files.GraphFiles(str(tmp_path))
  with tf.Session() as session:
    files.begin(session, 0, writer)
    assert not list(tmp_path.iterdir())
    files.after_step(session, 1)
    files.end(session, 1)
  assert 'name: "alone"' in (tmp_path / graph_files.TEXT_NAME).read_text()
  assert writer is None or writer.graph is session.graph


def test_a_graph_that_cannot_be_written_ends_no_run(tmp_path, capsys):
  (tmp_path / 'file').touch()
  writer = Writer()
  files = graph_files.GraphFiles(str(tmp_path / 'file'))
  with tf.Session() as session:
    files.begin(session, 0, writer)
    files.after_step(session, 1)
    files.end(session, 1)
  assert 'the graph is not written' in capsys.readouterr().out
  assert writer.graph is session.graph
