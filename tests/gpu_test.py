"""What only a GPU can show. Without one, the CPU stands in for it where it can.

Each case is a process of its own: the suite hides GPUs from its own processes, and the
first session of a process decides on the memory of a GPU.
"""

import os
import subprocess
import sys
import tempfile

import pytest

from slim_zoo.deployment import unused_gpus
from tests import scripts
from tests.conftest import ROOT, VISIBLE_GPUS

# What the user has hidden stays hidden.
NAME = None if VISIBLE_GPUS in ('', '-1') else unused_gpus.driver()
needs_gpu = pytest.mark.skipif(NAME is None, reason='no NVIDIA GPU on this machine')
DEVICES = ['CPU', pytest.param('GPU', marks=needs_gpu)]

START = """
import os, sys
import numpy as np
from slim_zoo import start_up
from slim_zoo.deployment.session_settings import SessionSettings
settings = SessionSettings(num_gpus={num_gpus})
start_up.load_tensorflow(settings)
from slim_zoo.tf_compat import tf
from slim_zoo.timing import measured_network
from slim_zoo.timing.measured_network import Setting
gpus = tf.config.list_physical_devices('GPU')
assert ({device!r} == 'GPU') == bool(gpus), gpus
"""


def run(device, program, num_gpus=1, start=START, **environment):
  """Runs a program on a device in a process of its own; returns what it prints."""
  program = start.format(num_gpus=num_gpus, device=device) + program
  if device == 'CPU' and not scripts.may_have_gpu():
    with tempfile.NamedTemporaryFile('w', suffix='.py') as file:
      file.write(f'import sys\nsys.path.insert(0, {str(ROOT)!r})\n{program}')
      file.flush()
      done = scripts.run_in(ROOT, [sys.executable, file.name])
    assert done.returncode == 0, done.stderr
    return done.stdout.split()
  hidden = {} if VISIBLE_GPUS is None else {'CUDA_VISIBLE_DEVICES': VISIBLE_GPUS}
  if device == 'CPU':
    hidden = {'CUDA_VISIBLE_DEVICES': '-1'}
  own = {name: value for name, value in os.environ.items()
         if name != 'CUDA_VISIBLE_DEVICES'}
  done = subprocess.run(
      [sys.executable, '-c', program], cwd=ROOT, text=True, capture_output=True,
      check=False, timeout=scripts.TIMEOUT_SECS, env={**own, **hidden, **environment})
  assert done.returncode == 0, done.stderr
  return done.stdout.split()


# One step from the same weights: the loss, and the change of a variable.
STEP = """
setting = Setting('{network}', 4, image_size={size}, precision='{precision}',
                  casts={casts}, num_clones={clones}, session=settings)
with tf.Graph().as_default():
  tf.set_random_seed(1)
  steps = measured_network.training_operations(
      setting, measured_network.synthetic_batches(setting))
  placed = {{op.device for op in tf.get_default_graph().get_operations()
             if op.type == 'Conv2D'}}
  with measured_network.session(setting) as session:
    random = np.random.default_rng(3)
    for variable in tf.trainable_variables():
      if variable.shape.rank > 1:
        fans = np.prod(variable.shape.as_list()[:-1])
        variable.load(random.normal(size=variable.shape.as_list())
                      / np.sqrt(fans), session)
    loss = steps['forward_backward'][0]
    value = session.run([loss, *steps['step']])[0]
    print(float(value), len(placed), np.isfinite(value))
"""


def one_step(device, network='lenet', size=28, precision='float32', clones=1):
  return run(device, STEP.format(network=network, size=size, precision=precision,
                                 casts=precision != 'float32',
                                 clones=clones), clones,
             # TensorFloat-32 has ten bits.
             NVIDIA_TF32_OVERRIDE='0')


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize(('network', 'size'), [('lenet', 28), pytest.param(
    'mobilenet_v2', 64, marks=needs_gpu)])
def test_a_train_step_is_that_of_the_cpu(device, network, size):
  value, expected = (float(one_step(where, network, size)[0])
                     for where in (device, 'CPU'))
  assert value == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize('device', DEVICES)
def test_clones_have_devices_of_their_own(device):
  _, places, is_finite = one_step(device, clones=2)
  assert (places, is_finite) == ('2', 'True')


@needs_gpu
@pytest.mark.parametrize('precision', ['float16', 'bfloat16'])
def test_a_step_in_16_bits(precision):
  loss, _, is_finite = one_step('GPU', precision=precision)
  assert is_finite == 'True'
  assert float(loss) == pytest.approx(float(one_step('CPU')[0]), rel=0.1)


MEMORY = """
from slim_zoo.deployment import session_configs
from slim_zoo.deployment.session_settings import SessionSettings
from slim_zoo.tf_compat import tf
before = session_configs.free_mib()
session_configs.open_devices(SessionSettings(allow_growth={growth}))
with tf.Session() as session:
  session.run(tf.matmul(tf.ones([64, 64]), tf.ones([64, 64])))
  print(before - session_configs.free_mib())
"""


@needs_gpu
@pytest.mark.parametrize('growth', [True, False])
def test_memory_is_reserved_when_it_is_needed_or_at_once(growth):
  taken = run('GPU', MEMORY.format(growth=growth), start='',
              TF_FORCE_GPU_ALLOW_GROWTH='')
  assert (int(taken[0]) < 4096) == growth
