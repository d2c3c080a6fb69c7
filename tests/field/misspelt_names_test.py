"""Names of other programs and misspelt ones: the answer names what was meant."""

import functools
import re

import pytest

from slim_zoo import diagnostics
from slim_zoo.catalog import networks
from slim_zoo.checkpoints import variable_scopes
from slim_zoo.config import misspelt_options
from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import slim, tf
from tests import scripts

TRAIN, EVAL = 'train_image_classifier', 'eval_image_classifier'


@pytest.mark.parametrize(('script', 'typed', 'meant'), [
    (TRAIN, 'max_steps', 'max_number_of_steps'),
    (TRAIN, 'steps', 'max_number_of_steps'),
    (TRAIN, 'max-number-of-steps', 'max_number_of_steps'),
    (TRAIN, 'number_of_steps', 'max_number_of_steps'),
    (TRAIN, 'epochs', 'max_number_of_steps'), (TRAIN, 'lr', 'learning_rate'),
    (TRAIN, 'LearningRate', 'learning_rate'), (TRAIN, 'learning-rate', 'learning_rate'),
    (TRAIN, 'batchsize', 'batch_size'), (TRAIN, 'num_gpus', 'num_clones'),
    (TRAIN, 'data_dir', 'dataset_dir'), (TRAIN, 'datasetdir', 'dataset_dir'),
    (TRAIN, 'logdir', 'train_dir'), (TRAIN, 'log-dir', 'train_dir'),
    (TRAIN, 'model', 'model_name'), (TRAIN, 'modelname', 'model_name'),
    (TRAIN, 'image_size', 'train_image_size'), (TRAIN, 'ckpt', 'checkpoint_path'),
    (TRAIN, 'exclude_scopes', 'checkpoint_exclude_scopes'),
    (TRAIN, 'num_classes', 'dataset_name'), (TRAIN, 'weigth_decay', 'weight_decay'),
    (TRAIN, 'split_name', 'dataset_split_name'),
    (TRAIN, 'preprocessing', 'preprocessing_name'),
    (TRAIN, 'save_interval', 'save_interval_secs'),
    (TRAIN, 'alsologtostdrr', 'alsologtostderr'), (TRAIN, 'qqqq', None),
    (EVAL, 'max_steps', 'max_num_batches'), (EVAL, 'checkpoint_dir', 'checkpoint_path'),
    (EVAL, 'logdir', 'eval_dir'), (EVAL, 'image_size', 'eval_image_size'),
    ('export', 'output_dir', 'export_dir'),
    ('classify', 'labels', 'labels_file'),
    ('convert-images', 'image_dri', 'image_dir')])
def test_the_flag_that_is_meant(script, typed, meant):
  assert misspelt_options.nearest(
      typed, flags_of(script), ['alsologtostderr', 'logtostderr', 'log_dir', 'v']
  ) == meant


@functools.cache
def flags_of(script):
  """Returns the flags of a script, from its --help."""
  return re.findall(r'^  --(?:\[no\])?(\w+)', scripts.run(script, '--help').stdout,
                    re.MULTILINE)


@pytest.mark.parametrize(('typed', 'end'), [
    ('max_steps', "; did you mean 'max_number_of_steps'? (--help lists them all)"),
    ('alsologtostdrr', "; did you mean 'alsologtostderr'? (--help lists them all)"),
    ('qqqq', ' (--help lists them all)')])
def test_the_script_says_it_in_one_line(typed, end):
  line = scripts.answer(scripts.run(TRAIN, f'--{typed}=1'), code=2)
  assert line == f'train_image_classifier.py: no flag --{typed}{end}'


def test_own_flags_come_before_those_of_absl():
  assert misspelt_options.nearest('log_dirs', ['train_dir'], ['log_dir']) == 'log_dir'
  assert misspelt_options.nearest('logdir', ['train_dir'], ['log_dir']) == 'train_dir'
  assert misspelt_options.nearest('max_steps', ['max_number_of_steps', 'master'],
                                ['only_check_args']) == 'max_number_of_steps'


@pytest.mark.parametrize(('network', 'size', 'typed', 'meant'), [
    ('lenet', 28, 'LeNet/logits', 'LeNet/fc4'),
    ('lenet', 28, 'LeNet/Logits', 'LeNet/fc4'),
    ('lenet', 28, 'lenet/fc8', 'LeNet/fc4'), ('lenet', 28, 'LeNet/fc5', 'LeNet/fc4'),
    ('lenet', 28, 'logits', 'LeNet/fc4'), ('lenet', 28, 'head', 'LeNet/fc4'),
    ('lenet', 28, 'LeNet/Predictions', 'LeNet/fc4'),
    ('lenet', 28, 'LeNet/cnv1', 'LeNet/conv1'),
    ('cifarnet', 32, 'CifarNet/fc5', 'CifarNet/logits'),
    ('resnet_v1_50', 64, 'resnet_v1_50/fc', 'resnet_v1_50/logits'),
    ('mobilenet_v1_025', 64, 'MobilenetV1/fc', 'MobilenetV1/Logits')])
def test_the_scope_of_the_head(network, size, typed, meant):
  channels = networks.NETWORKS[network].channels
  nets_factory.get_network_fn(network, 10)(tf.zeros([1, size, size, channels]))
  for flag in ('checkpoint_exclude_scopes', 'trainable_scopes'):
    with pytest.raises(diagnostics.UserError) as raised:
      variable_scopes.check(flag, [typed], slim.get_model_variables())
    assert f"scope '{typed}' matches no variable" in str(raised.value)
    assert f"; did you mean '{meant}'" in str(raised.value)


def test_a_head_of_several_scopes_is_named_whole():
  names = ['InceptionV3/Logits/Conv2d_1c_1x1', 'InceptionV3/AuxLogits/Conv2d_2b_1x1',
           'InceptionV3/Conv2d_1a_3x3']
  variables = [tf.get_variable(f'{name}/weights', [1]) for name in names]
  with pytest.raises(diagnostics.UserError, match=r'Logits,InceptionV3/.*, the'):
    variable_scopes.check('trainable_scopes', ['InceptionV3/fc'], variables)
