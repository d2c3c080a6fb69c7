"""`python -m slim_zoo.contrib`: programs for TensorFlow 1, unchanged."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from slim_zoo.contrib import program
from slim_zoo.contrib.hparam import HParams
from slim_zoo.tf_compat import tf
from tests import scripts
from tests.conftest import ROOT

PROGRAMS = ROOT / 'tests' / 'data' / 'tf1_programs'


def run(program, *arguments):
  """Runs a program of the folder; returns its CompletedProcess."""
  return scripts.run_module('slim_zoo.contrib', PROGRAMS / program, *arguments)


def run_text(folder, text, *arguments):
  """Runs a program of one text."""
  path = folder / 'their_script.py'
  path.write_text(text)
  return scripts.run_module('slim_zoo.contrib', path, *arguments)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """Returns the folders of records and checkpoints, and what train.py printed."""
  data, runs = (tmp_path_factory.mktemp(name) for name in ('data', 'run'))
  done = run('train.py', f'--dataset_dir={data}', f'--train_dir={runs}')
  assert done.returncode == 0, done.stderr
  return data, runs, done


def test_slim_learning_train_trains_and_saves(trained):
  _, runs, done = trained
  assert 'Finished training. Last batch loss:' in done.stdout
  assert done.stderr == ''
  assert tf.train.latest_checkpoint(str(runs)) == f'{runs}/model.ckpt-40'


def test_slim_evaluation_finds_what_was_learned(trained, tmp_path):
  data, runs, _ = trained
  done = run('evaluate.py', f'--dataset_dir={data}', f'--checkpoint_dir={runs}',
             f'--eval_dir={tmp_path}')
  assert done.returncode == 0, done.stderr
  once, loop = done.stdout.splitlines()
  assert float(once.split()[1]) > 0.7
  assert loop.split()[-1] == once.split()[1]
  assert done.stderr == ''


def test_lines_that_a_program_asks_for_are_shown_once(tmp_path):
  done = run_text(tmp_path, '''
import tensorflow as tf


def main(_):
  tf.logging.set_verbosity(tf.logging.INFO)
  tf.logging.info('one line')


tf.app.run()
''')
  assert (done.returncode, done.stdout) == (0, '')
  assert done.stderr == 'INFO:tensorflow:one line\n'


def test_fine_tuning_from_a_checkpoint(trained, tmp_path):
  data, runs, _ = trained
  done = run('fine_tune.py', '--dataset_dir', data, '--checkpoint_dir', runs,
             '--train_dir', tmp_path)
  assert (done.returncode, done.stderr) == (0, '')
  assert done.stdout == 'loss falls: True\n'
  assert (tmp_path / 'tuned.ckpt-30.index').exists()


def test_networks_and_clones_of_this_project(trained, tmp_path):
  done = run('clones.py', f'--dataset_dir={trained[0]}', f'--train_dir={tmp_path}')
  assert (done.returncode, done.stderr) == (0, '')
  assert done.stdout == 'loss True variables True True\n'


def test_dilated_residual_network():
  done = run('atrous.py')
  assert (done.returncode, done.stderr) == (0, '')
  assert done.stdout.splitlines() == [
      'features [2, 9, 9, 32] 32', 'published [2, 5]', 'learns True True']


def test_layers_hparams_and_exit_code(tmp_path):
  done = run('layers_and_hparams.py', tmp_path, '--hparams=rate=0.2,sizes=[3,4]')
  assert done.stderr == ''
  assert done.stdout.splitlines() == [
      'flag rate=0.2,sizes=[3,4]',
      'hparams {"depth": 4, "name": "small", "rate": 0.2, "sizes": [3, 4],'
      ' "verbose": false}',
      'step 1 index [1, -1] batch [0, 1] (2, 5, 3)', 'parameters True',
      'variables True True', 'iterated True',
      f"[3, 1, 2] False ['{tmp_path}', '--hparams=rate=0.2,sizes=[3,4]']"]
  assert done.returncode == 3


def test_quantization_aware_training(tmp_path):
  done = run('quantize.py', tmp_path)
  assert (done.returncode, done.stderr) == (0, '')
  assert done.stdout == 'ranges 3 finite True\n'


def test_quantization_of_a_graph_is_that_of_a_network(tmp_path):
  """Names of variables, and what evaluation computes from the same values."""
  done = run_text(tmp_path, f'''
import sys
sys.path.insert(0, {str(PROGRAMS)!r})
import numpy as np
import tensorflow as tf
import quadrants
from slim_zoo.nets.quantization import fake_quantization

pixels = np.random.RandomState(0).uniform(-1, 1, (8, 16, 16, 1)).astype(np.float32)
values, outputs = {{}}, []
for is_training in (True, False):
  for of_graph in (True, False):
    with tf.Graph().as_default(), tf.Session() as sess:
      tf.set_random_seed(3)
      def network(images):
        return quadrants.network(images, is_training=is_training)
      images = tf.constant(pixels)
      if of_graph:
        logits, _ = network(images)
        reader = tf.abs(logits)
        if is_training:
          tf.contrib.quantize.create_training_graph()
        else:
          tf.contrib.quantize.create_eval_graph()
      else:
        logits, _ = fake_quantization.build(
            network, images, is_training, fake_quantization.Quantization())
        reader = tf.abs(logits)
      made = {{variable.op.name: variable for variable in tf.global_variables()}}
      if is_training:
        sess.run(tf.global_variables_initializer())
        for _ in range(3):
          sess.run(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
        values[of_graph] = sess.run(made)
      else:
        for name, variable in made.items():
          variable.load(values[True][name], sess)
        outputs.append(sess.run(reader))
print(sorted(values[True]) == sorted(values[False]), len(values[True]),
      np.array_equal(*outputs), np.ptp(outputs[0]) > 0.01)
''')
  assert (done.returncode, done.stderr) == (0, '')
  assert done.stdout == 'True 34 True True\n'


def test_old_tests_run_by_pytest_and_as_a_module(tmp_path):
  shutil.copytree(PROGRAMS, tmp_path / 'project')
  folder = tmp_path / 'project' / 'old_tests'
  done = scripts.run_module('slim_zoo.contrib', '-m', 'pytest', '-q', '-p',
                            'no:cacheprovider', folder)
  assert done.returncode == 0, done.stdout
  # tf.test.TestCase has a test of its own, which is skipped.
  assert '3 passed' in done.stdout
  # A package of slim's name, whose folder is on the path only when pytest is there.
  (tmp_path / 'project' / 'nets').mkdir()
  (tmp_path / 'project' / 'nets' / '__init__.py').write_text('')
  (tmp_path / 'project' / 'nets' / 'vgg.py').write_text('VALUE = 3\n')
  (tmp_path / 'project' / 'nets' / 'vgg_test.py').write_text(
      'from nets import vgg\n\n\ndef test_own():\n  assert vgg.VALUE == 3\n')
  (folder / 'quadrants_test.py').write_text('def test_fails():\n  assert False\n')
  done = scripts.run_module('slim_zoo.contrib', '-m', 'pytest', '-q', '-p',
                            'no:cacheprovider', tmp_path / 'project')
  assert done.returncode == 1
  assert '1 failed, 1 passed' in done.stdout


def test_a_new_process_has_no_noise(tmp_path):
  """Nothing is imported before, in contrast to the other tests."""
  (tmp_path / 'beside.py').write_text('VALUE = 7\n')
  (tmp_path / 'their_script.py').write_text(
      'import os, sys\n'
      'import tensorflow as tf\n'
      'import tensorflow.contrib.slim as slim\n'
      'import beside\n'
      'images = tf.placeholder(tf.float32, [None, 8, 8, 3])\n'
      'with slim.arg_scope([slim.conv2d], normalizer_fn=slim.batch_norm):\n'
      '  net = slim.conv2d(images, 4, [3, 3])\n'
      'with tf.Session() as sess:\n'
      '  sess.run(tf.global_variables_initializer())\n'
      '  print(sess.run(net, {images: [[[[1.0] * 3] * 8] * 8]}).shape, beside.VALUE)\n'
      'print(__name__, sys.argv[1:], sys.modules["__main__"].beside is beside)\n'
      'sys.exit(5)\n')
  done = run_anew('their_script.py', '--flag=1', cwd=tmp_path)
  assert done.stdout.splitlines() == [
      '(1, 8, 8, 4) 7', "__main__ ['--flag=1'] True"]
  assert (done.returncode, done.stderr) == (5, '')


def run_anew(*arguments, cwd):
  """Runs the command in a process that begins with nothing imported."""
  return subprocess.run(
      [sys.executable, '-m', 'slim_zoo.contrib', *arguments], cwd=cwd, text=True,
      capture_output=True, check=False, timeout=scripts.TIMEOUT_SECS,
      env={**os.environ, 'PYTHONPATH': str(ROOT)})


# What a program says, and words of the one line that answers it.
MISSING = {
    'tf.contrib.tpu.TPUEstimator': ('tf.contrib.tpu', 'slim.learning.train'),
    'tf.contrib.image.rotate': ('tf.contrib.image', 'ImageProjectiveTransformV3'),
    'tf.contrib.layers.embed_sequence': ('embedding_lookup',),
    'tf.contrib.layers.conv2': ("no 'conv2'", "did you mean 'conv2d'?"),
    'tf.contrib.slim.fully_conected': ("did you mean 'fully_connected'?",),
    'tf.contrib.layer': ("did you mean 'layers'?",),
    'tf.estimator.RunConfig': ('tf.estimator', '2.16'),
    'tf.pack': ('use tf.stack',),
    'tf.train.SummaryWriter': ('use tf.summary.FileWriter',),
    'tf.train.AdamOptimiser': ("did you mean 'AdamOptimizer'?",),
    'tf.nosuch': ("tf has no 'nosuch' in this TensorFlow: docs/",),
    'tf.placehoder': ("did you mean 'placeholder'?",),
}
MISSING_IMPORTS = {
    'from tensorflow.contrib import tpu': ('tf.contrib.tpu',),
    'from tensorflow.contrib import sllim': ("did you mean 'slim'?",),
    'import tensorflow.contrib.seq2seq as seq2seq': ('tf.contrib.seq2seq',),
    'from tensorflow.contrib.layers import conv2': ("did you mean 'conv2d'?",),
    'from tensorflow.contrib.slim.nets import inception_v4': ('from nets import',),
    'from tensorflow.contrib.layers.python.layers.layers import conv2': (
        "did you mean 'conv2d'?",),
    'from tensorflow.examples.tutorials.mnist import input_data': (
        'slim-zoo download --dataset_name=mnist',),
    'from tensorflow.python.ops import mathops': ("did you mean 'math_ops'?",),
    'from tensorflow.python.ops.math_ops import reduce_sun': (
        "did you mean 'reduce_sum'?",),
    'from tensorflow.python.estimator import run_config': ('2.16',),
}


@pytest.mark.parametrize(('code', 'words'), (MISSING | MISSING_IMPORTS).items())
def test_a_missing_name_is_one_line_with_the_replacement(tmp_path, code, words):
  done = run_text(
      tmp_path, f'import tensorflow as tf\n\n\ndef build():\n  {code}\n\n\nbuild()\n')
  line = scripts.answer(done, 'their_script.py, line 5: ', *words, code=1)
  assert line.count(os.sep + 'their_script.py') == 1


def test_missing_names_can_be_caught(tmp_path):
  done = run_text(tmp_path, '''
import tensorflow as tf
print(hasattr(tf.contrib, 'tpu'), hasattr(tf, 'estimators'), hasattr(tf, 'contrib'))
for name in ('contrib.tpu', 'examples.tutorials', 'contrib.layers.nothing'):
  try:
    __import__('tensorflow.' + name)
  except ImportError as error:
    print(type(error).__name__)
try:
  from tensorflow.contrib import estimator
except ImportError:
  print('none')
''')
  assert (done.returncode, done.stderr) == (0, '')
  assert done.stdout.split() == ['False', 'False', 'True', *3 * ['MissingModuleError'],
                                 'none']


def test_errors_of_the_program_have_its_own_traceback(tmp_path):
  done = run_text(tmp_path, 'import tensorflow as tf\ntf.constant(1) + {}\n')
  lines = done.stderr.splitlines()
  assert done.returncode == 1
  assert lines[0] == 'Traceback (most recent call last):'
  assert 'their_script.py", line 2' in lines[1]
  assert 'slim_zoo' not in done.stderr
  done = run_text(tmp_path, 'x = = 1\n')
  assert 'SyntaxError' in done.stderr
  assert 'their_script.py", line 1' in done.stderr


WALK = '''
import importlib
import tensorflow as tf
from slim_zoo.contrib import gone, importing, names


def is_there(name):
  value = tf
  try:
    for part in name.split('.'):
      value = getattr(value, part)
  except AttributeError:
    return False
  return True


for name in [*names.MODULES, *names.PARTS, *names.OTHER_NAMES]:
  module = importlib.import_module('tensorflow.' + name)
  if not is_there(name):
    print('no attribute', name)
for module, rows in names.NAMES.items():
  for name in rows:
    if not is_there(f'{module}.{name}'):
      print('no attribute', module, name)
for name in gone.GONE:
  if is_there(name):
    print('not gone', name)
for name in """@COMMON""".split():
  if not is_there(name):
    print('missing', name)
import tensorflow.compat.v1 as tf1
import tensorflow.compat.v2 as tf2
from tensorflow.python.ops import array_ops
from tensorflow.keras import backend
from tensorflow.keras.layers import Dense
from tensorflow.train import Saver
from tensorflow.contrib.framework import arg_scope
from tensorflow.contrib.framework.python.ops import variables
from tensorflow.contrib.layers import *
print(conv2d is tf.contrib.slim.conv2d, tf1.Session is tf.Session,
      tf2.function is not None, array_ops is not None,
      Dense is tf.keras.layers.Dense, Saver is tf.train.Saver,
      tf.contrib.framework.arg_scope is arg_scope is tf.contrib.slim.arg_scope)
'''
# Names that image models of that time read.
COMMON = '''
Session placeholder app.flags app.run flags.FLAGS gfile.GFile logging.info
summary.FileWriter python_io.TFRecordWriter train.batch train.shuffle_batch
train.string_input_producer train.Coordinator train.start_queue_runners
train.Supervisor train.MonitoredTrainingSession train.ExponentialMovingAverage
TFRecordReader WholeFileReader FixedLenFeature VarLenFeature layers.conv2d
layers.dense layers.batch_normalization nn.rnn_cell.LSTMCell keras.layers.Conv2D
losses.softmax_cross_entropy metrics.mean_iou image.resize_bilinear GraphDef ConfigProto
contrib.slim.arg_scope contrib.slim.conv2d contrib.slim.separable_conv2d
contrib.slim.conv2d_transpose contrib.slim.batch_norm contrib.slim.get_model_variables
contrib.slim.get_variables_to_restore contrib.slim.assign_from_checkpoint_fn
contrib.slim.learning.train contrib.slim.evaluation.evaluate_once contrib.slim.queues
contrib.slim.evaluation.evaluation_loop contrib.slim.losses.get_total_loss
contrib.slim.dataset.Dataset contrib.slim.dataset_data_provider.DatasetDataProvider
contrib.slim.prefetch_queue.prefetch_queue contrib.slim.tfexample_decoder.Image
contrib.slim.nets.resnet_v1.resnet_v1_50 contrib.slim.nets.vgg.vgg_16
contrib.slim.nets.inception.inception_v3_arg_scope contrib.slim.xavier_initializer
contrib.slim.variance_scaling_initializer contrib.slim.summaries contrib.slim.utils
contrib.slim.model_analyzer.analyze_vars contrib.slim.one_hot_encoding
contrib.layers.batch_norm contrib.layers.xavier_initializer_conv2d contrib.layers.stack
contrib.layers.l1_l2_regularizer contrib.layers.apply_regularization
contrib.layers.instance_norm contrib.layers.group_norm contrib.layers.summarize_tensor
contrib.layers.summarize_collection contrib.layers.optimize_loss
contrib.framework.nest.flatten contrib.framework.get_global_step
contrib.framework.assign_from_checkpoint contrib.framework.get_variables_by_name
contrib.framework.filter_variables contrib.framework.model_variable
contrib.framework.VariableDeviceChooser contrib.framework.load_variable
contrib.training.create_train_op contrib.training.evaluate_repeatedly
contrib.training.SummaryAtEndHook contrib.training.StopAfterNEvalsHook
contrib.training.wait_for_new_checkpoint contrib.metrics.streaming_mean_iou
contrib.metrics.aggregate_metric_map contrib.metrics.streaming_auc
contrib.losses.metric_learning.triplet_semihard_loss contrib.data.map_and_batch
contrib.losses.python.metric_learning.metric_loss_ops.npairs_loss
contrib.data.parallel_interleave contrib.lookup.HashTable contrib.rnn.GRUCell
contrib.quantize.experimental_create_training_graph contrib.util.make_tensor_proto
'''


def test_every_row_of_the_tables_is_right(tmp_path):
  done = run_text(tmp_path, WALK.replace('@COMMON', COMMON))
  assert (done.returncode, done.stderr) == (0, '')
  assert done.stdout == 'True True True True True True True\n'


def test_packages_of_the_program_come_before_slims(tmp_path):
  (tmp_path / 'datasets').mkdir()
  (tmp_path / 'datasets' / '__init__.py').write_text('')
  (tmp_path / 'datasets' / 'dataset_factory.py').write_text('OWN = True\n')
  done = run_text(tmp_path, '''
from datasets import dataset_factory
from nets import nets_factory
from preprocessing import preprocessing_factory
import tensorflow as tf
print(dataset_factory.OWN, nets_factory.__name__)
images = tf.zeros([1, 32, 32, 3])
logits, _ = nets_factory.get_network_fn('cifarnet', 5)(images)
print(logits.shape[1].value)
''')
  assert (done.returncode, done.stderr) == (0, '')
  assert done.stdout.split() == ['True', 'slim_zoo.nets.nets_factory', '5']


@pytest.mark.parametrize(('arguments', 'words'), [
    ((), ('usage',)),
    (('-m',), ('-m without a module',)),
    (('--steps=3', 'train.py'), ("'--steps=3' is not a program",)),
    (('trian.py',), ("no program 'trian.py'", "did you mean 'train.py'?")),
    (('nowhere/x.py',), ("no program 'nowhere/x.py'",)),
])
def test_wrong_command_lines_are_refused(arguments, words, monkeypatch, capsys):
  monkeypatch.chdir(PROGRAMS)
  assert program.main(list(arguments)) == 2
  output = capsys.readouterr().err
  assert all(word in output for word in words)
  assert 'usage' in words or output.count('\n') == 1


def test_help(capsys):
  assert program.main(['--help']) == 0
  assert capsys.readouterr().out.startswith('usage: python -m slim_zoo.contrib')


def test_hparams_keep_their_types():
  hparams = HParams(steps=3, rate=0.5, name='a', sizes=[1, 2], on=True, fn=None)
  hparams.parse('steps=4, rate=1,name=b c,sizes=[5],on=false')
  assert hparams.values() == {
      'steps': 4, 'rate': 1.0, 'name': 'b c', 'sizes': [5], 'on': False, 'fn': None}
  hparams.parse('sizes[0]=9').override_from_dict({'steps': 7})
  assert (hparams.sizes, hparams.steps, hparams.get('none', 2)) == ([9], 7, 2)
  assert HParams(steps=0, sizes=[0]).parse_json(
      '{"steps": 2, "sizes": [3]}').to_json() == '{"steps": 2, "sizes": [3]}'
  hparams.del_hparam('steps')
  assert 'steps' not in hparams
  assert 'rate' in hparams


@pytest.mark.parametrize(('text', 'answer'), [
    ('steps=x', "'steps' is 'x': expected int"),
    ('steps=1.5', "'steps' is '1.5': expected int"),
    ('on=maybe', 'expected bool'),
    ('stepz=1', "unknown hyperparameter 'stepz'"),
    ('steps=1,steps=2', 'given twice'),
    ('steps', 'expected name=value'),
    ('steps=[1]', 'expected one value'),
    ('sizes=1', 'expected a list'),
])
def test_wrong_hparams_are_refused(text, answer):
  with pytest.raises(ValueError, match=re.escape(answer)):
    HParams(steps=3, sizes=[1], on=True).parse(text)


def test_hparams_refuse_other_types_and_used_names():
  hparams = HParams(steps=3)
  with pytest.raises(ValueError, match='expected int'):
    hparams.set_hparam('steps', 0.5)
  with pytest.raises(KeyError):
    hparams.set_hparam('stepz', 1)
  for name in ('steps', 'parse'):
    with pytest.raises(ValueError, match='choose another name'):
      hparams.add_hparam(name, 1)
