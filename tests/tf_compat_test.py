"""The door to TensorFlow: versions, moved names, graph mode, silence."""

import subprocess
import sys
import threading

import pytest

from slim_zoo import tf_compat
from slim_zoo.tf_compat import slim, tf
from tests.conftest import ROOT

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


@pytest.mark.parametrize('first', ['', 'import tf_slim; ', 'import tensorflow; '])
def test_importing_building_and_training_is_silent(first):
  program = first + '''
import sys
before = set(sys.modules)
from slim_zoo.tf_compat import slim, tf
net = slim.conv2d(tf.ones([2, 8, 8, 3]), 4, 3, normalizer_fn=slim.batch_norm)
net = slim.fully_connected(slim.flatten(slim.max_pool2d(net, 2)), 2)
loss = tf.losses.softmax_cross_entropy([[0, 1], [1, 0]], net)
train_op = slim.learning.create_train_op(loss, tf.train.AdamOptimizer())
with tf.Session() as session:
  session.run(tf.global_variables_initializer())
  print(session.run(train_op) > 0)
import tensorflow
import gc
print(not {'keras', 'sklearn'} & (set(sys.modules) - before), gc.isenabled())
print(tensorflow.keras.layers.Dense is not None)
'''
  done = subprocess.run([sys.executable, '-c', program], cwd=ROOT, text=True,
                        capture_output=True, check=False)
  # Keras and scikit-learn are for who asks for them.
  assert done.stdout.split() == ['True'] * 4, done.stderr
  if 'import tensorflow' not in first and 'tf_slim' not in first:
    # What came before the door is not ours to silence.
    assert not [line for line in done.stderr.splitlines()
                if not line.startswith('note: TensorFlow')]


def test_losses_find_scikit_learn_when_they_need_it():
  from tf_slim.losses import metric_learning
  assert metric_learning.HAS_SKLEARN
  assert metric_learning.metrics.v_measure_score([0, 1, 1], [2, 3, 3]) == 1


def test_native_noise_is_dropped_and_the_rest_passed_on(capfd):
  import os
  with tf_compat.without_start_up_noise():
    os.write(2, b'I0000 cudart_stub.cc:31] Could not find cuda drivers\nreal news\n')
  assert capfd.readouterr().err == 'real news\n'
