"""Configs: options, their ranges, and values that follow from them."""

import ast
import pathlib

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.__main__ import COMMANDS
from slim_zoo.commands import option_flags
from slim_zoo.config import options
from slim_zoo.config.averaging import AverageConfig
from slim_zoo.config.benchmark import BenchmarkConfig
from slim_zoo.config.classification import ClassifyConfig
from slim_zoo.config.clusters import adopt_cluster
from slim_zoo.config.conversion import ConvertImagesConfig, DownloadConfig
from slim_zoo.config.converted_weights import ConvertWeightsConfig
from slim_zoo.config.evaluation import EvaluateConfig
from slim_zoo.config.export import ExportConfig
from slim_zoo.config.export_graph import ExportGraphConfig
from slim_zoo.config.inspection import InspectConfig
from slim_zoo.config.listing import CurvesConfig, NetworksConfig
from slim_zoo.config.probing import ProbeConfig
from slim_zoo.config.robustness import RobustnessConfig
from slim_zoo.config.serving import ServeConfig
from slim_zoo.config.training import TrainConfig
from slim_zoo.config.weights import WeightsConfig
from tests.conftest import ROOT

# The config of each command, by its module.
CONFIGS = {'train': TrainConfig, 'eval': EvaluateConfig, 'classify': ClassifyConfig,
           'export': ExportConfig, 'export_inference_graph': ExportGraphConfig,
           'inspect': InspectConfig, 'benchmark': BenchmarkConfig,
           'networks': NetworksConfig, 'curves': CurvesConfig,
           'convert_images': ConvertImagesConfig, 'download': DownloadConfig,
           'convert_weights': ConvertWeightsConfig, 'weights': WeightsConfig,
           'probe': ProbeConfig, 'average': AverageConfig, 'serve': ServeConfig,
           'robustness': RobustnessConfig}
# Defaults of the established training script.
ESTABLISHED = {
    'master': '', 'train_dir': '/tmp/tfmodel/', 'warmup_epochs': 0, 'num_clones': 1,
    'clone_on_cpu': False, 'worker_replicas': 1, 'num_ps_tasks': 0, 'num_readers': 4,
    'num_preprocessing_threads': 4, 'log_every_n_steps': 10,
    'save_summaries_secs': 600, 'save_interval_secs': 600, 'task': 0,
    'weight_decay': 0.00004, 'optimizer': 'rmsprop', 'adadelta_rho': 0.95,
    'adagrad_initial_accumulator_value': 0.1, 'adam_beta1': 0.9, 'adam_beta2': 0.999,
    'opt_epsilon': 1.0, 'ftrl_learning_rate_power': -0.5,
    'ftrl_initial_accumulator_value': 0.1, 'ftrl_l1': 0, 'ftrl_l2': 0, 'momentum': 0.9,
    'rmsprop_momentum': 0.9, 'rmsprop_decay': 0.9, 'quantize_delay': -1,
    'learning_rate_decay_type': 'exponential', 'learning_rate': 0.01,
    'end_learning_rate': 0.0001, 'label_smoothing': 0,
    'learning_rate_decay_factor': 0.94, 'num_epochs_per_decay': 2.0,
    'sync_replicas': False, 'moving_average_decay': None,
    'dataset_name': 'imagenet', 'dataset_split_name': 'train', 'dataset_dir': None,
    'labels_offset': 0, 'model_name': 'inception_v3', 'preprocessing_name': None,
    'batch_size': 32, 'train_image_size': None, 'max_number_of_steps': None,
    'use_grayscale': False, 'checkpoint_path': None, 'checkpoint_exclude_scopes': None,
    'trainable_scopes': None, 'ignore_missing_vars': False}


def test_established_options_have_their_defaults():
  values = TrainConfig.from_options({}).values()
  assert {name: values[name] for name in ESTABLISHED} == ESTABLISHED


@pytest.mark.parametrize('config', CONFIGS.values())
def test_each_option_belongs_to_one_group_and_has_a_help_text(config):
  groups = config.groups().values()
  names = [name for group in groups for name in options.options_of(group)]
  assert len(names) == len(set(names))
  for group in groups:
    for option in options.options_of(group).values():
      assert option.help.rstrip().endswith('.'), option.name


@pytest.mark.parametrize(('given', 'of_worker', 'of_all', 'of_schedule'), [
    ({}, 10, 10, 10),
    ({'num_clones': 2}, 20, 20, 10),
    ({'num_clones': 2, 'accumulate_steps': 3}, 60, 60, 30),
    ({'worker_replicas': 4, 'num_ps_tasks': 1}, 10, 10, 10),
    ({'worker_replicas': 4, 'num_ps_tasks': 1, 'num_clones': 2, 'accumulate_steps': 3},
     60, 60, 30),
    ({'worker_replicas': 4, 'num_ps_tasks': 1, 'sync_replicas': True}, 10, 40, 40),
    ({'worker_replicas': 4, 'num_ps_tasks': 1, 'sync_replicas': True,
      'replicas_to_aggregate': 3}, 10, 30, 30),
    ({'num_clones': 2, 'epochs_are': 'global'}, 20, 20, 20),
])
def test_images_of_a_step(given, of_worker, of_all, of_schedule):
  config = TrainConfig.from_options({'batch_size': 10, **given})
  assert (config.images_per_worker_step, config.images_per_step,
          config.images_per_schedule_step) == (of_worker, of_all, of_schedule)
  assert config.steps_per_epoch(1000) == 1000 // of_all
  assert config.validate_every_steps(1000) == round(1000 / of_all)


@pytest.mark.parametrize(('given', 'batch_size', 'accumulate_steps'), [
    ({'global_batch_size': 64}, 32, 2),
    ({'global_batch_size': 32}, 32, 1),
    ({'global_batch_size': 8}, 8, 1),
    ({'global_batch_size': 64, 'num_clones': 2}, 32, 1),
    ({'global_batch_size': 66, 'batch_size': 20}, 11, 6),
    ({'global_batch_size': 64, 'batch_size': 20}, 16, 4),
    ({'global_batch_size': 64, 'cluster': 'a:1,b:1'}, 32, 1),
    ({'global_batch_size': 64, 'cluster': 'a:1,b:1,c:1,d:1', 'num_clones': 2}, 8, 1),
    ({'global_batch_size': 64, 'worker_hosts': 'a:1,b:1', 'ps_hosts': 'c:1'}, 32, 2),
    ({'global_batch_size': 64, 'worker_hosts': 'a:1,b:1', 'ps_hosts': 'c:1',
      'sync_replicas': True}, 32, 1),
])
def test_a_global_batch_is_divided(given, batch_size, accumulate_steps):
  config = adopt_cluster(TrainConfig.from_options(given), {})
  assert config.images_per_step == given['global_batch_size']
  assert (config.data.batch_size, config.optimizer.accumulate_steps) == (
      batch_size, accumulate_steps)


@pytest.mark.parametrize(('given', 'words'), [
    ({'global_batch_size': 64, 'num_clones': 3}, 'choose 63 or 66'),
    ({'global_batch_size': 2, 'num_clones': 3}, 'choose 3'),
    ({'global_batch_size': 64, 'accumulate_steps': 2}, '--accumulate_steps=2'),
])
def test_a_global_batch_that_cannot_be_divided(given, words):
  with pytest.raises(diagnostics.UserError, match=words):
    adopt_cluster(TrainConfig.from_options(given), {})


@pytest.mark.parametrize(('given', 'words'), [
    ({'sync_replicas': True}, '--sync_replicas=True has no effect with one worker'),
    ({'sync_batch_norm': True}, '--sync_batch_norm=True has no effect with one clone'),
])
def test_an_option_without_effect_is_named(given, words):
  config = adopt_cluster(TrainConfig.from_options(given), {})
  assert any(words in line for line in config.notes()), config.notes()


@pytest.mark.parametrize('given', [
    {'sync_replicas': True, 'replicas_to_aggregate': 2},
    {'sync_batch_norm': True, 'num_clones': 2},
])
def test_an_option_with_effect_is_not_named(given):
  config = adopt_cluster(TrainConfig.from_options(given), {})
  assert 'has no effect' not in ' '.join(config.notes())


@pytest.mark.parametrize(('given', 'words'), [
    ({'modle_name': 'lenet'}, "no option 'modle_name'; did you mean 'model_name'?"),
    ({'batch_size': 0}, '--batch_size=0: expected a number of 1 or more'),
    ({'batch_size': '32'}, "--batch_size='32': expected a whole number"),
    ({'batch_size': float('inf')}, '--batch_size=inf: expected a whole number'),
    ({'momentum': float('nan')}, '--momentum=nan: expected a finite number'),
    ({'momentum': float('inf')}, '--momentum=inf: expected a finite number'),
    ({'validation_share': float('nan')}, '--validation_share=nan: expected a finite'),
    ({'batch_size': 1.5}, '--batch_size=1.5: expected a whole number'),
    ({'batch_size': True}, '--batch_size=True: expected a whole number'),
    ({'batch_size': None}, '--batch_size=None: expected a value such as 32'),
    ({'learning_rate': float('nan')}, '--learning_rate=nan: expected a finite number'),
    ({'label_smoothing': 2}, '--label_smoothing=2.0: expected a number from 0 to 1'),
    ({'optimizer': 'adm'}, "did you mean 'adam'?"),
    ({'xla': 1}, '--xla=1: expected True or False'),
    ({'model_name': 3}, '--model_name=3: expected a text'),
])
def test_a_wrong_value_is_one_line(given, words):
  with pytest.raises(diagnostics.UserError) as error:
    TrainConfig.from_options(given)
  assert words in str(error.value)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(('name', 'text', 'words'), [
    ('max_number_of_steps', 'abc', 'a number of 1 or more'),
    ('batch_size', '1e3', 'a number of 1 or more'),
    ('learning_rate', '0.1%', 'a '),
    ('momentum', 'x', 'a finite number'), ('momentum', 'nan', 'a finite number'),
    ('gpu_memory_fraction', '50%', 'a number from 0.01 to 1'),
    ('quantize_delay', '-2', 'a number of -1 or more'),
    ('sample_predictions', '101', 'a number from 0 to 100'),
])
def test_a_wrong_number_says_which_numbers_a_flag_takes(name, text, words):
  option, = [options.options_of(group)[name] for group in TrainConfig.groups().values()
             if name in options.options_of(group)]
  with pytest.raises(ValueError, match=f'^expected {words}'):
    option_flags.NumberParser(option).parse(text)


def test_values_take_the_type_of_their_option():
  config = TrainConfig.from_options({
      'train_dir': pathlib.Path('runs/a'), 'learning_rate': 1, 'batch_size': 8.0,
      'trainable_scopes': ['a/b', 'c'], 'seed': np.int64(3),
      'momentum': np.float32(0.5)})
  assert (config.run.train_dir, config.initialization.trainable) == (
      'runs/a', ('a/b', 'c'))
  assert isinstance(config.learning_rate.learning_rate, float)
  assert isinstance(config.data.batch_size, int)
  assert (type(config.reproducibility.seed), config.optimizer.momentum) == (int, 0.5)
  assert config.user_options == {
      'train_dir', 'learning_rate', 'batch_size', 'trainable_scopes', 'seed',
      'momentum'}


def test_a_config_cannot_be_changed():
  config = TrainConfig.from_options({})
  with pytest.raises(AttributeError):
    config.data.batch_size = 3


def test_every_command_has_a_config():
  assert set(CONFIGS) == {module for module, _ in COMMANDS.values()}


@pytest.mark.parametrize('name', CONFIGS)
def test_commands_read_flags_in_one_function(name):
  path = ROOT / 'slim_zoo' / 'commands' / f'{name}.py'
  tree = ast.parse(path.read_text())
  names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | {
      node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
  assert not names & {'FLAGS', 'FlagValues'}
  assert {'option_flags', 'given_options'} <= names


PAGE = ROOT / 'docs' / 'python_api.md'


def table_of_arguments():
  """Returns the table of the page on the Python interface."""
  rows = ['| function | part of its config | arguments |', '|---|---|---|']
  for function, command in (('train', 'train'), ('evaluate', 'eval'),
                            ('classify', 'classify'), ('export', 'export'),
                            ('inspect', 'inspect'), ('probe', 'probe'),
                            ('robustness', 'robustness'),
                            ('weights', 'weights')):
    for field, group in CONFIGS[command].groups().items():
      names = ', '.join(f'`{name}`' for name in options.options_of(group))
      rows.append(f'| `{function}` | {field.replace("_", " ")} | {names} |')
  return '\n'.join(rows) + '\n'


def page_with_table():
  before, _, rest = PAGE.read_text().partition('<!-- arguments -->\n')
  end = rest[rest.index('<!-- end -->'):]
  return f'{before}<!-- arguments -->\n{table_of_arguments()}{end}'


def test_the_page_of_the_python_interface_lists_all_arguments():
  """After a change of options, `python -m tests.config_test` writes the table."""
  assert PAGE.read_text() == page_with_table()


if __name__ == '__main__':
  PAGE.write_text(page_with_table())
