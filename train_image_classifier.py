"""Trains an image classification network with slim on TFRecords.

  python train_image_classifier.py --dataset_name=digits --dataset_dir=data/digits \\
      --model_name=lenet --train_dir=runs/lenet --max_number_of_steps=1000

The same command goes on where the run stopped, by whatever it was stopped.
"""

import os

from absl import flags

import common_flags
import diagnostics

FLAGS = flags.FLAGS

# --- Where and on what the run happens.
flags.DEFINE_string('train_dir', '/tmp/tfmodel/',
                    'Folder for checkpoints and summaries; a run found there is'
                    ' resumed.')
flags.DEFINE_integer('num_clones', 1,
                     'Copies of the network, one per GPU; each takes --batch_size'
                     ' images a step.', lower_bound=1)
flags.DEFINE_boolean('clone_on_cpu', False,
                     'Run the clones on the CPU; a machine without a GPU does so'
                     ' anyway.')
flags.DEFINE_integer('num_readers', 4, 'Record files read at the same time.',
                     lower_bound=1)
flags.DEFINE_integer('log_every_n_steps', 10,
                     'Steps between progress lines; 0 prints none.', lower_bound=0)
flags.DEFINE_integer('save_summaries_secs', 600,
                     'Seconds between summaries for TensorBoard; 0 writes none.',
                     lower_bound=0)
flags.DEFINE_integer('save_interval_secs', 600,
                     'Seconds between checkpoints; 0 saves only at the end.',
                     lower_bound=0)
flags.DEFINE_integer('seed', None,
                     'Makes the order of images, augmentation and initial weights'
                     ' repeatable; by default each run draws its own.')

# --- Several machines.
flags.DEFINE_integer('worker_replicas', 1, 'Worker processes of the whole job.',
                     lower_bound=1)
flags.DEFINE_integer('num_ps_tasks', 0,
                     'Parameter servers; 0 keeps variables in the worker.',
                     lower_bound=0)
flags.DEFINE_integer('task', 0, 'Number of this worker; worker 0 is the chief.',
                     lower_bound=0)
flags.DEFINE_boolean('sync_replicas', False,
                     'Update with the gradients of several workers at once.')
flags.DEFINE_integer('replicas_to_aggregate', 1,
                     'With --sync_replicas: gradients gathered for an update.',
                     lower_bound=1)

# --- What is optimized, and how.
flags.DEFINE_float('weight_decay', 0.00004, 'L2 penalty on the weights.',
                   lower_bound=0)
flags.DEFINE_float('label_smoothing', 0.0,
                   'Share of each target that is spread over all classes.',
                   lower_bound=0, upper_bound=1)
flags.DEFINE_enum('optimizer', 'rmsprop',
                  ['adadelta', 'adagrad', 'adam', 'ftrl', 'momentum', 'sgd',
                   'rmsprop'], 'How gradients become updates.')
flags.DEFINE_float('adadelta_rho', 0.95, 'Decay rate of adadelta.')
flags.DEFINE_float('adagrad_initial_accumulator_value', 0.1,
                   'Start of the adagrad accumulators.')
flags.DEFINE_float('adam_beta1', 0.9, 'Decay of the first moment of adam.')
flags.DEFINE_float('adam_beta2', 0.999, 'Decay of the second moment of adam.')
flags.DEFINE_float('opt_epsilon', 1.0,
                   'Epsilon of adadelta, adam and rmsprop; for adam 1e-8 is usual.')
flags.DEFINE_float('ftrl_learning_rate_power', -0.5, 'Learning rate power of ftrl.')
flags.DEFINE_float('ftrl_initial_accumulator_value', 0.1,
                   'Start of the ftrl accumulators.')
flags.DEFINE_float('ftrl_l1', 0.0, 'L1 regularization of ftrl.')
flags.DEFINE_float('ftrl_l2', 0.0, 'L2 regularization of ftrl.')
flags.DEFINE_float('momentum', 0.9, 'Momentum of the momentum optimizer.')
flags.DEFINE_float('rmsprop_momentum', 0.9, 'Momentum of rmsprop.')
flags.DEFINE_float('rmsprop_decay', 0.9, 'Decay of the mean square of rmsprop.')
flags.DEFINE_float('moving_average_decay', None,
                   'Also keep moving averages of the variables, for evaluation.',
                   lower_bound=0, upper_bound=1)
flags.DEFINE_integer('quantize_delay', -1,
                     'Steps before quantization-aware training; only -1, never, is'
                     ' supported: its rewriter went with tf.contrib.')

# --- Learning rate.
flags.DEFINE_enum('learning_rate_decay_type', 'exponential',
                  ['fixed', 'exponential', 'polynomial'],
                  'How the learning rate falls.')
flags.DEFINE_float('learning_rate', 0.01, 'Initial learning rate.', lower_bound=0)
flags.DEFINE_float('end_learning_rate', 0.0001,
                   'Final learning rate of a polynomial decay.', lower_bound=0)
flags.DEFINE_float('learning_rate_decay_factor', 0.94,
                   'What an exponential decay multiplies by.', lower_bound=0)
flags.DEFINE_float('num_epochs_per_decay', 2.0,
                   'Epochs between decays, counted by the batches of one clone.',
                   lower_bound=1e-6)
flags.DEFINE_float('warmup_epochs', 0.0,
                   'Epochs over which the learning rate first rises to its start.',
                   lower_bound=0)

# --- Images and network.
common_flags.define_network_flags()
common_flags.define_dataset_flags(split_name='train', batch_size=32)
flags.DEFINE_integer('train_image_size', None,
                     'Height and width of the images; by default those of the'
                     ' network.', lower_bound=1)
flags.DEFINE_integer('max_number_of_steps', None,
                     'Global step to stop at; by default training never ends.',
                     lower_bound=1)

# --- Fine-tuning.
flags.DEFINE_string('checkpoint_path', None,
                    'Checkpoint, or folder of checkpoints, to begin from.')
flags.DEFINE_string('checkpoint_exclude_scopes', None,
                    'Scopes, separated by commas, that are not restored from it.')
flags.DEFINE_string('trainable_scopes', None,
                    'Scopes, separated by commas, to train; by default all.')
flags.DEFINE_boolean('ignore_missing_vars', False,
                     'Begin with what --checkpoint_path lacks at initial values.')


def check_flags() -> None:
  """Refuses flags that make no sense, before any work.

  Raises:
    UserError: the first thing that is wrong.
  """
  if FLAGS.quantize_delay != -1:
    raise diagnostics.UserError(
        f'--quantize_delay={FLAGS.quantize_delay}: quantization-aware training is'
        ' not supported, its rewriter went with tf.contrib; leave it at -1')
  if FLAGS.task >= FLAGS.worker_replicas:
    raise diagnostics.UserError(
        f'--task={FLAGS.task}: with --worker_replicas={FLAGS.worker_replicas} the'
        f' tasks are 0 to {FLAGS.worker_replicas - 1}')
  if FLAGS.worker_replicas > 1 and not FLAGS.num_ps_tasks:
    raise diagnostics.UserError(
        f'--worker_replicas={FLAGS.worker_replicas} needs --num_ps_tasks of 1 or'
        ' more, to share variables')
  if not FLAGS.checkpoint_path and FLAGS.checkpoint_exclude_scopes:
    raise diagnostics.UserError(
        '--checkpoint_exclude_scopes has no effect without --checkpoint_path')
  if not FLAGS.train_dir:
    raise diagnostics.UserError('--train_dir is empty: name a folder to write to')
  common_flags.check_names()


def make_train_dir() -> None:
  """Makes --train_dir and tries it: what is wrong with it is better said now."""
  os.makedirs(FLAGS.train_dir, exist_ok=True)
  probe = os.path.join(FLAGS.train_dir, f'.writable-{os.getpid()}')
  with open(probe, 'w') as file:
    file.write('x')
  os.remove(probe)


def _scopes(text):
  return [scope.strip() for scope in (text or '').split(',') if scope.strip()]


def _network(num_classes):
  """Returns the network's function and the size of the images it gets."""
  from nets import nets_factory
  network_fn = nets_factory.get_network_fn(
      FLAGS.model_name, num_classes, FLAGS.weight_decay, is_training=True)
  return network_fn, FLAGS.train_image_size or network_fn.default_image_size


def _deployment():
  """Returns where clones go: on GPUs, or on the CPU where there are none."""
  from deployment import model_deploy
  from tf_compat import tf
  gpus = len(tf.config.list_physical_devices('GPU'))
  if not FLAGS.clone_on_cpu and gpus and gpus < FLAGS.num_clones:
    raise diagnostics.UserError(
        f'--num_clones={FLAGS.num_clones}: this machine has {gpus} GPUs; a clone'
        ' needs one each, or all of them --clone_on_cpu')
  return model_deploy.DeploymentConfig(
      FLAGS.num_clones, FLAGS.clone_on_cpu or not gpus, FLAGS.task,
      FLAGS.worker_replicas, FLAGS.num_ps_tasks), gpus


def _input(dataset, image_size, step, config):
  """Returns the training input; a resumed run draws other images than before."""
  from datasets import pipeline
  from tf_compat import tf
  preprocessing_fn = common_flags.get_preprocessing_fn(is_training=True)
  seed = (int.from_bytes(os.urandom(3), 'big') if FLAGS.seed is None
          else FLAGS.seed) + step + FLAGS.task

  with tf.device(config.inputs_device()):
    return pipeline.training_input(
        dataset, pipeline.preprocess_with(preprocessing_fn, image_size, seed),
        FLAGS.batch_size, FLAGS.labels_offset, FLAGS.num_readers,
        FLAGS.num_preprocessing_threads, FLAGS.num_clones, seed,
        runs_here=not FLAGS.master)


def _schedule(num_images):
  """Returns the learning-rate schedule, in steps."""
  from training import learning_rates
  # As ever, an epoch of the schedule is one of a clone's batches; synchronous
  # replicas share it.
  share = FLAGS.replicas_to_aggregate if FLAGS.sync_replicas else 1
  steps = lambda epochs: learning_rates.steps_of_epochs(
      epochs, num_images, FLAGS.batch_size * share)
  return learning_rates.Schedule(
      FLAGS.learning_rate_decay_type, FLAGS.learning_rate,
      steps(FLAGS.num_epochs_per_decay), FLAGS.learning_rate_decay_factor,
      FLAGS.end_learning_rate,
      steps(FLAGS.warmup_epochs) if FLAGS.warmup_epochs else 0)


def _optimizer(learning_rate):
  from training import optimizers
  return optimizers.get_optimizer(FLAGS.optimizer, learning_rate, **{
      option: FLAGS[option].value for option in optimizers.options_of(FLAGS.optimizer)})


def _notes():
  """Returns a line for every flag that was given but changes nothing here."""
  from training import optimizers
  lines = []
  useless = {option: f'--optimizer={FLAGS.optimizer}'
             for option in optimizers.all_options()
             if option not in optimizers.options_of(FLAGS.optimizer)}
  decay = f'--learning_rate_decay_type={FLAGS.learning_rate_decay_type}'
  for option, kind in (('learning_rate_decay_factor', 'exponential'),
                       ('end_learning_rate', 'polynomial')):
    if FLAGS.learning_rate_decay_type != kind:
      useless[option] = decay
  if FLAGS.learning_rate_decay_type == 'fixed':
    useless['num_epochs_per_decay'] = decay
  if not FLAGS.sync_replicas:
    useless['replicas_to_aggregate'] = '--nosync_replicas'
  if not FLAGS.checkpoint_path:
    useless['ignore_missing_vars'] = 'no --checkpoint_path'
  for name, cause in useless.items():
    if FLAGS[name].present:
      lines.append(f'--{name}={FLAGS[name].value} has no effect with {cause}')
  if FLAGS.optimizer == 'adam' and not FLAGS['opt_epsilon'].present:
    lines.append('adam with its established epsilon of 1.0 learns slowly:'
                 ' --opt_epsilon=1e-8 is usual')
  return lines


def _banner(dataset, num_classes, image_size, schedule, beginning, gpus):
  """Returns rows that say what will run."""
  from tf_compat import slim
  from training.banner import millions, parameters
  clones = FLAGS.num_clones
  batch = FLAGS.batch_size * clones * FLAGS.worker_replicas
  where = ('GPU' if gpus and not FLAGS.clone_on_cpu
           else 'CPU' if gpus or FLAGS.clone_on_cpu else 'CPU, as there is no GPU')
  epoch = max(1, dataset.num_samples // batch)
  end = ('no last step' if FLAGS.max_number_of_steps is None else
         f'{FLAGS.max_number_of_steps:,} steps are'
         f' {FLAGS.max_number_of_steps * batch / dataset.num_samples:.1f} epochs')
  trained, total = parameters(
      _scopes(FLAGS.trainable_scopes), slim.get_model_variables())
  interval = (f'every {FLAGS.save_interval_secs} s and at the end'
              if FLAGS.save_interval_secs else 'at the end')
  return [
      ('network', f'{FLAGS.model_name}, {millions(total)} parameters,'
                  f' {millions(trained)} of them trained'),
      ('images', f'{dataset.num_samples:,} of {num_classes} classes:'
                 f' {FLAGS.dataset_split_name} of {FLAGS.dataset_name} in'
                 f' {FLAGS.dataset_dir}'),
      ('input', f'{image_size} x {image_size},'
                f' {FLAGS.preprocessing_name or FLAGS.model_name} preprocessing'
                + (', gray' if FLAGS.use_grayscale else '')),
      ('batch', f'{batch} images' + (
          f': {FLAGS.batch_size} for each of {clones} clones' if clones > 1 else '')
                + f' on the {where}'
                + (f', {FLAGS.worker_replicas} workers'
                   if FLAGS.worker_replicas > 1 else '')),
      ('epoch', f'{epoch:,} steps; {end}'),
      ('learning rate', schedule.describe()),
      ('optimizer', FLAGS.optimizer),
      ('weights', beginning),
      ('checkpoints', f'in {FLAGS.train_dir}, {interval}'),
      *[('note', line) for line in _notes()],
  ]


def _loop_options():
  from training import loop
  # Otherwise '/job:worker' may be the device of any worker.
  own_devices = ('/job:ps', f'/job:worker/task:{FLAGS.task}')
  return loop.LoopOptions(
      FLAGS.train_dir, FLAGS.max_number_of_steps, FLAGS.log_every_n_steps,
      FLAGS.save_summaries_secs, FLAGS.save_interval_secs,
      FLAGS.batch_size * FLAGS.num_clones, FLAGS.master, is_chief=FLAGS.task == 0,
      replicas_to_aggregate=FLAGS.replicas_to_aggregate,
      device_filters=own_devices if FLAGS.num_ps_tasks else ())


def train() -> None:
  """Builds what the flags ask for, says what it is, and runs it."""
  # Importing TensorFlow takes seconds: only now, when the flags are right.
  from tf_compat import tf
  from training import banner, graph, loop, starting_point

  start = starting_point.find(FLAGS.train_dir, FLAGS.checkpoint_path)
  if start.is_finished(FLAGS.max_number_of_steps):
    print(f'{start.resumed} is at step {start.step} of'
          f' {FLAGS.max_number_of_steps}: nothing is left to do')
    return
  tf.set_random_seed(FLAGS.seed)
  dataset, num_classes = common_flags.get_dataset()
  network_fn, image_size = _network(num_classes)
  config, gpus = _deployment()
  images = _input(dataset, image_size, start.step, config)
  schedule = _schedule(dataset.num_samples)
  training_graph = graph.build(
      config, images.next_batch, network_fn, num_classes, schedule, _optimizer,
      FLAGS.label_smoothing, _scopes(FLAGS.trainable_scopes),
      FLAGS.moving_average_decay,
      FLAGS.replicas_to_aggregate if FLAGS.sync_replicas else None)
  beginning, init_fn = start.prepare(
      _scopes(FLAGS.checkpoint_exclude_scopes), FLAGS.ignore_missing_vars)

  banner.show(_banner(dataset, num_classes, image_size, schedule, beginning, gpus))
  finished = loop.run(training_graph, _loop_options(), images, init_fn)
  if finished.step is None:
    print('other workers took the last step before this one took any')
  else:
    print(f'step {finished.step}: done, the checkpoint is in {FLAGS.train_dir}')


def main(unused_argv):
  """Checks the flags, then trains."""
  check_flags()
  make_train_dir()
  train()


if __name__ == '__main__':
  diagnostics.run_script(main)
