"""TensorFlow for this project: versions, moved names, graph mode."""

import threading

import pytest

from slim_zoo import tf_compat
from slim_zoo.tf_compat import slim, tf

FITTING = ((2, 21), (2, 21), (1, 1))


def test_tested_versions_pass_in_silence():
  assert tf_compat._check_versions(*FITTING) is None
  assert tf_compat._check_versions((2, 15), (2, 15), (1, 1)) is None


@pytest.mark.parametrize('tf_keras', [(2, 21), (2, 22)])
def test_newer_tensorflow_runs_with_a_note(tf_keras):
  note = tf_compat._check_versions((2, 22), tf_keras, (1, 1))
  assert 'TensorFlow 2.22 is newer than 2.21' in note
  assert '\n' not in note


@pytest.mark.parametrize(('versions', 'answer'), [
    ((None, None, None), 'TensorFlow is not installed'),
    (((1, 15), None, (1, 1)), 'TensorFlow 1.15 does not fit, 2.15 to 2.21 do'),
    (((2, 22), (2, 20), (1, 1)), 'there is tf-keras 2.20'),
    (((2, 22), (2, 23), (1, 1)), 'there is tf-keras 2.23'),
    (((2, 20), (2, 20), None), 'tf-slim is not installed'),
    (((2, 20), None, (1, 1)), 'there is no tf-keras'),
    (((2, 20), (2, 18), (1, 1)), 'there is tf-keras 2.18'),
])
def test_what_does_not_fit_is_one_line_with_the_install_command(versions, answer):
  with pytest.raises(ImportError) as caught:
    tf_compat._check_versions(*versions)
  message = str(caught.value)
  assert answer in message
  assert 'pip install "tensorflow==2.' in message
  assert '\n' not in message


def test_eager_mode_is_off_in_other_threads():
  modes = []
  thread = threading.Thread(target=lambda: modes.append(tf.executing_eagerly()))
  thread.start()
  thread.join()
  assert modes == [False]


def test_only_absent_names_are_restored(monkeypatch):
  from tensorflow.python.ops import array_ops, control_flow_ops
  own = object()
  monkeypatch.setattr(array_ops, 'stack', own, raising=False)
  monkeypatch.delattr(control_flow_ops, 'cond', raising=False)
  tf_compat._restore_moved_names(tf)
  assert array_ops.stack is own
  assert control_flow_ops.cond is tf.cond


@pytest.mark.parametrize('fused', [None, False])
def test_batch_norm_normalizes_and_updates(fused):
  inputs = tf.random.normal([64, 2, 2, 3], mean=5.0, stddev=2.0, seed=1)
  outputs = slim.batch_norm(inputs, is_training=True, decay=0.5, fused=fused)
  updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
  assert [variable.op.name for variable in tf.global_variables()] == [
      'BatchNorm/beta', 'BatchNorm/moving_mean', 'BatchNorm/moving_variance']
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    assert abs(session.run(outputs).mean()) < 1e-4
    session.run(updates)
    assert session.run(slim.get_variables('BatchNorm/moving_mean')[0]).mean() > 2
