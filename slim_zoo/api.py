"""The Python interface: functions that take the flags of the commands as arguments.

  import slim_zoo
  result = slim_zoo.train(model_name='lenet', dataset_name='digits',
                          dataset_dir='data/digits', train_dir='runs/lenet',
                          max_number_of_steps=1000)
  slim_zoo.evaluate(checkpoint_path='runs/lenet', dataset_name='digits',
                    dataset_dir='data/digits', eval_dir='runs/lenet/eval').accuracy

All of them raise `UserError`, a ValueError, if an option, the data or the checkpoint
cannot be used. Its text is the one line that the command prints; it says what to do.

The first call turns TensorFlow's eager mode off for the whole process: slim needs graph
mode. Run code for TensorFlow 2 in another process. The functions can be called several
times in one process, in any order and in any thread.
"""

import os
from collections.abc import Callable
from inspect import Parameter, Signature, signature

# Importing TensorFlow takes seconds, so each function first checks its options.
from slim_zoo import start_up
from slim_zoo.config.adopted import adopt_run_facts
from slim_zoo.config.classification import ClassifyConfig, find_images, image_paths
from slim_zoo.config.clusters import adopt_cluster, adopt_evaluation_cluster
from slim_zoo.config.evaluation import EvaluateConfig
from slim_zoo.config.export import ExportConfig
from slim_zoo.config.inspection import InspectConfig
from slim_zoo.config.options import Config, options_of
from slim_zoo.config.probing import ProbeConfig
from slim_zoo.config.robustness import RobustnessConfig
from slim_zoo.config.training import TrainConfig
from slim_zoo.config.weights import WeightsConfig
from slim_zoo.diagnostics import UserError


def _arguments_of(config: type[Config]) -> Callable:
  """Returns a decorator: it makes the options of a config the signature of a function.

  Editors and help() then show the names and the defaults.
  """
  options = [option for group in config.groups().values()
             for option in options_of(group).values()]

  def with_signature(function):
    named = [parameter for parameter in signature(function).parameters.values()
             if parameter.kind != Parameter.VAR_KEYWORD]
    function.__signature__ = Signature([*named, *(
        Parameter(option.name, Parameter.KEYWORD_ONLY, default=option.default)
        for option in options)])
    return function

  return with_signature


@_arguments_of(TrainConfig)
def train(*, callbacks=(), **options):
  """Trains a network; the arguments are those of `slim-zoo train --help`.

  XLA is a setting of the process: only the first call can turn it on. In the main
  thread, Ctrl-C and SIGTERM save a checkpoint and raise the error that ends the run.

  Args:
    callbacks: objects of `slim_zoo.training.callbacks.callback.Callback`, which are
      called between the steps and after validations.
    **options: `model_name='lenet'`, `train_dir='runs/lenet'` and so on.

  Returns:
    The `slim_zoo.tasks.train.TrainResult`; with `find_learning_rate=True` the
    `slim_zoo.tasks.rate_finder.FoundRate`.

  Raises:
    UserError: an option, the data or the checkpoint does not fit, or the run failed.
  """
  config = TrainConfig.from_options(options)
  if callbacks and (config.run.smoke or config.run.find_learning_rate):
    raise UserError('callbacks have no effect with smoke or find_learning_rate: leave'
                    ' them out')
  config.precision.set_environment()
  if config.run.smoke:
    start_up.load_without_notes(config.devices.settings)
    from slim_zoo.tasks import smoke
    return smoke.smoke_test(config)
  config, note = adopt_run_facts(adopt_cluster(config, os.environ))
  if note:
    print(f'note: {note}', flush=True)
  config.check()
  config.check_folders()
  config.distribution.set_environment()
  start_up.load_without_notes(config.devices.settings)
  if config.run.find_learning_rate:
    from slim_zoo.tasks import rate_finder
    return rate_finder.find(config)
  from slim_zoo.tasks import train as task
  return task.train(config, lambda seed: _call('train', {**options, 'seed': seed}),
                    callbacks)


@_arguments_of(EvaluateConfig)
def evaluate(**options):
  """Evaluates a checkpoint; the arguments are those of `slim-zoo eval --help`.

  Args:
    **options: `checkpoint_path='runs/lenet'`, `dataset_name='digits'` and so on.

  Returns:
    The `slim_zoo.tasks.evaluate.EvaluationResult`: accuracy, counts, numbers of each
    class, the folder of the report. With `watch=True`, the result of the last
    checkpoint.

  Raises:
    UserError: an option, the data or the checkpoint does not fit.
  """
  config = adopt_evaluation_cluster(EvaluateConfig.from_options(options), os.environ)
  config.check()
  config.check_folders()
  config.server.set_environment()
  start_up.load_without_notes(config.devices.settings)
  from slim_zoo.tasks import evaluate as task
  return task.evaluate(config, _call('evaluate', options))


@_arguments_of(ClassifyConfig)
def classify(images, **options):
  """Classifies image files; the arguments are those of `slim-zoo classify --help`.

  Args:
    images: a path, or several: files, folders with all images below them, patterns.
    **options: `checkpoint_path='runs/lenet'`, `top_k=3` and so on.

  Returns:
    A list of `slim_zoo.tasks.classify.ClassifiedImage`, one for each file, in order:
    its most probable classes with names and probabilities, or why it was skipped.

  Raises:
    UserError: an option or the checkpoint does not fit, a file does not exist, or no
      file could be classified.
  """
  config = ClassifyConfig.from_options(options)
  paths = image_paths(images)
  config.check()
  files = find_images(paths)
  config.check_folders()
  start_up.load_without_notes(config.devices.settings)
  from slim_zoo.tasks import classify as task
  return list(task.classify(config, files))


@_arguments_of(ExportConfig)
def export(**options):
  """Exports a checkpoint; the arguments are those of `slim-zoo export --help`.

  Args:
    **options: `checkpoint_path='runs/lenet'`, `export_dir='exports/lenet'`,
      `format=['saved_model', 'tflite']` and so on.

  Returns:
    The `slim_zoo.tasks.export.ExportResult`: the files, and the comparison of the
    logits of each with those of the checkpoint.

  Raises:
    UserError: an option, the checkpoint or the images do not fit; or a format could not
      be written or its logits differ too much. The other formats are written.
  """
  config = ExportConfig.from_options(options)
  config.check()
  start_up.load_without_notes(config.devices.settings)
  from slim_zoo.tasks import export as task
  return task.export(config)


@_arguments_of(InspectConfig)
def inspect(**options):
  """Inspects a checkpoint; the arguments are those of `slim-zoo inspect --help`.

  Args:
    **options: `checkpoint_path='runs/lenet'` and so on.

  Returns:
    The `slim_zoo.tasks.inspect.CheckpointFacts`: network, classes, image size,
    variables of the training, whether all values are finite, and commands for it.

  Raises:
    UserError: there is no checkpoint, or it is damaged.
  """
  config = InspectConfig.from_options(options)
  if config.checkpoint.json:
    raise UserError('--json is for the command: leave it out, the values() of the'
                    ' result are the same JSON object')
  config.check()
  start_up.load_without_notes()
  from slim_zoo.tasks import inspect as task
  return task.inspect(config)


@_arguments_of(ProbeConfig)
def probe(**options):
  """Compares the features of networks; arguments of `slim-zoo probe --help`.

  Args:
    **options: `checkpoint_path=['published:resnet_v1_50', 'runs/pets']`,
      `dataset_name='pets'` and so on.

  Returns:
    A list of `slim_zoo.tasks.probe.ProbeResult`, the most accurate first: accuracies
    with intervals, and the difference to the first.

  Raises:
    UserError: an option, the data or a checkpoint does not fit, or scikit-learn is not
      installed.
  """
  config = ProbeConfig.from_options(options)
  if 'format' in options:
    raise UserError('format is for the command: leave it out, the values() of the'
                    ' results are the JSON objects')
  config.check()
  config.check_folders()
  start_up.load_without_notes(config.devices.settings)
  from slim_zoo.tasks import probe as task
  return task.probe(config)


@_arguments_of(RobustnessConfig)
def robustness(**options):
  """Evaluates on corrupted images; arguments of `slim-zoo robustness --help`.

  Args:
    **options: `checkpoint_path='runs/pets'`, `dataset_name='pets'`,
      `output_dir='runs/pets/robustness'` and so on.

  Returns:
    The `slim_zoo.tasks.robustness.RobustnessResult`: `accuracy` on the images as they
    are, `mean_accuracy` on corrupted ones, and exact `counts` of each corruption.

  Raises:
    UserError: an option, the data or the checkpoint does not fit.
  """
  config = RobustnessConfig.from_options(options)
  config.check()
  config.check_folders()
  start_up.load_without_notes(config.devices.settings)
  from slim_zoo.tasks import robustness as task
  return task.test(config, _call('robustness', options))


@_arguments_of(WeightsConfig)
def weights(**options):
  """Downloads a published checkpoint; `slim-zoo weights --list` shows all.

  Every function takes `checkpoint_path='published:NAME'` and downloads it by itself.

  Args:
    **options: `get='mobilenet_v1_1.0_224'`, and `framework='keras'` or 'timm' for the
      weights of another framework, which are not the published ones.

  Returns:
    The `slim_zoo.tasks.weights.FoundWeights`: `checkpoint`, `facts` (network, image
    size, classes, preprocessing, accuracy), `is_published`.

  Raises:
    UserError: there is no such checkpoint, no address has it, or the cache cannot be
      written.
  """
  config = WeightsConfig.from_options(options)
  if config.weights.list:
    raise UserError('list is for the command: leave it out,'
                    ' slim_zoo.catalog.published.PUBLISHED has the rows')
  config.check()
  start_up.load_without_notes()
  from slim_zoo.tasks import weights as task
  return task.get(config, os.environ)


def _call(function, options):
  """Returns the Python code of a call, for the run card and the report."""
  values = {name: os.fspath(value) if hasattr(value, '__fspath__') else value
            for name, value in options.items()}
  arguments = ', '.join(f'{name}={value!r}' for name, value in values.items())
  return f'slim_zoo.{function}({arguments})'
