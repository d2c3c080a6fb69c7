"""The start of a command: fast, without TensorFlow's notes, with every other line."""

import os
import signal
import subprocess
import sys

import pytest

from slim_zoo import start_up
from tests.conftest import ROOT

# TensorFlow is loaded before, by the command, or by a user's program.
BEFORE = ('', 'import tf_slim', 'import tensorflow')
TRAIN_A_STEP = """
import sys
before = set(sys.modules)
from slim_zoo import start_up
start_up.load_tensorflow()
from slim_zoo.deployment import computation
from slim_zoo.tf_compat import slim, tf
net = slim.conv2d(tf.ones([2, 8, 8, 3]), 4, 3, normalizer_fn=slim.batch_norm)
net = slim.fully_connected(slim.flatten(slim.max_pool2d(net, 2)), 2)
loss = tf.losses.softmax_cross_entropy([[0, 1], [1, 0]], net)
train_op = slim.learning.create_train_op(loss, tf.train.AdamOptimizer())
with tf.Session() as session:
  session.run(tf.global_variables_initializer())
  print(session.run(train_op) > 0)
for dtype in {dtypes}:
  print(computation.seconds_of_steps([getattr(tf, dtype)])[0] > 0)
import gc
import tensorflow
print(not {{'keras', 'sklearn'}} & (set(sys.modules) - before), gc.isenabled())
print(tensorflow.keras.layers.Dense is not None)
"""


def run(program, **options):
  return subprocess.run([sys.executable, '-c', program], cwd=ROOT, text=True,
                        capture_output=True, check=False, **options)


@pytest.mark.parametrize('before', BEFORE)
def test_a_command_loads_and_trains_without_a_note(before):
  # Only the command is to write no notes on types.
  dtypes = () if before else ('float16', 'bfloat16')
  done = run(f'{before}\n{TRAIN_A_STEP.format(dtypes=dtypes)}')
  # Keras and scikit-learn are not loaded, but can be.
  assert done.stdout.split() == ['True'] * (4 + len(dtypes)), done.stderr
  if not before:
    assert not [line for line in done.stderr.splitlines()
                if not line.startswith('note: TensorFlow')]


def test_notes_are_removed_and_other_lines_pass(capfd):
  with start_up.without_notes():
    os.write(2, b'I0000 cudart_stub.cc:31] Could not find cuda drivers\nfirst\n')
  os.write(2, b'second\n')
  assert capfd.readouterr().err == 'first\nsecond\n'


@pytest.mark.parametrize(('end', 'code'), [
    ('os.abort()', -signal.SIGABRT), ('os.kill(os.getpid(), 9)', -signal.SIGKILL),
    ('raise SystemExit(3)', 3)])
def test_the_last_words_of_a_crash_reach_the_terminal(end, code):
  done = run(f"""
import os
from slim_zoo import start_up
with start_up.without_notes():
  os.write(2, b'E0000 cuda_dnn.cc:1] x\\nfatal: the stack is broken')
  {end}
""")
  assert (done.returncode, done.stderr) == (code, 'fatal: the stack is broken')


def test_a_process_without_stderr_starts():
  done = run("""
import os
os.close(2)
from slim_zoo import start_up
with start_up.without_notes():
  print('started')
""")
  assert (done.returncode, done.stdout) == (0, 'started\n')


def test_modules_are_not_imported_inside_and_can_be_afterwards():
  done = run("""
from slim_zoo import start_up
with start_up._without_modules(['colorsys', 'os']):
  import os
  try:
    import colorsys
  except ImportError:
    print('not now')
import colorsys
print('now')
""")
  assert done.stdout.split('\n')[:2] == ['not now', 'now'], done.stderr
