"""The machines: clones on the devices of one, or several that train together."""

from absl import flags

from slim_zoo import diagnostics
from slim_zoo.commands import train_flags

FLAGS = flags.FLAGS


def define() -> None:
  """Defines the flags of this group."""
  flags.DEFINE_integer('num_clones', 1,
                       'Copies of the network, one per GPU; each takes --batch_size'
                       ' images a step.', lower_bound=1)
  flags.DEFINE_boolean('clone_on_cpu', False,
                       'Run the clones on the CPU; a machine without a GPU does so'
                       ' anyway.')
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


def check() -> None:
  """Refuses flags that make no sense."""
  if FLAGS.task >= FLAGS.worker_replicas:
    raise diagnostics.UserError(
        f'--task={FLAGS.task}: with --worker_replicas={FLAGS.worker_replicas} the'
        f' tasks are 0 to {FLAGS.worker_replicas - 1}')
  if FLAGS.worker_replicas > 1 and not FLAGS.num_ps_tasks:
    raise diagnostics.UserError(
        f'--worker_replicas={FLAGS.worker_replicas} needs --num_ps_tasks of 1 or'
        ' more, to share variables')


def notes() -> list[str]:
  """Returns a line for every flag that changes nothing, and for unused GPUs."""
  from slim_zoo.deployment import unused_gpus
  unused = [] if FLAGS.clone_on_cpu else unused_gpus.notes()
  return unused + train_flags.notes_of_flags_without_effect(
      {} if FLAGS.sync_replicas else {'replicas_to_aggregate': '--nosync_replicas'})


def aggregated_replicas() -> int | None:
  """Returns how many replicas' gradients make an update; None: each its own."""
  return FLAGS.replicas_to_aggregate if FLAGS.sync_replicas else None


def images_per_step() -> int:
  """Returns the global batch: images of all clones, workers and batches of a step."""
  return (FLAGS.batch_size * FLAGS.num_clones * FLAGS.accumulate_steps
          * FLAGS.worker_replicas)


def deployment():
  """Returns where clones go: on GPUs, or on the CPU where there are none.

  Raises:
    UserError: there are fewer GPUs than clones.
  """
  from slim_zoo.deployment import model_deploy
  gpus = _gpus()
  if not FLAGS.clone_on_cpu and gpus and gpus < FLAGS.num_clones:
    raise diagnostics.UserError(
        f'--num_clones={FLAGS.num_clones}: this machine has {gpus} GPUs; a clone'
        ' needs one each, or all of them --clone_on_cpu')
  return model_deploy.DeploymentConfig(
      FLAGS.num_clones, FLAGS.clone_on_cpu or not gpus, FLAGS.task,
      FLAGS.worker_replicas, FLAGS.num_ps_tasks)


def rows(num_images: int) -> list[tuple[str, str]]:
  """Returns the lines of the banner that are of this group."""
  clones, gpus, batch = FLAGS.num_clones, _gpus(), images_per_step()
  where = ('GPU' if gpus and not FLAGS.clone_on_cpu
           else 'CPU' if gpus or FLAGS.clone_on_cpu else 'CPU, as there is no GPU')
  each = (f': {FLAGS.batch_size} for each of {clones} clones' if clones > 1
          else f': {FLAGS.batch_size}' if FLAGS.accumulate_steps > 1 else '')
  if FLAGS.accumulate_steps > 1:
    each += f', {FLAGS.accumulate_steps} times a step'
  workers = (f', {FLAGS.worker_replicas} workers' if FLAGS.worker_replicas > 1 else '')
  end = ('no last step' if FLAGS.max_number_of_steps is None else
         f'{FLAGS.max_number_of_steps:,} steps are'
         f' {FLAGS.max_number_of_steps * batch / num_images:.1f} epochs')
  return [('batch', f'{batch} images{each} on the {where}{workers}'),
          ('epoch', f'{max(1, num_images // batch):,} steps; {end}')]


def _gpus() -> int:
  from slim_zoo.tf_compat import tf
  return len(tf.config.list_physical_devices('GPU'))
