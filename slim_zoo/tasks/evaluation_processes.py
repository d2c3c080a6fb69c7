"""Evaluation in several processes: each evaluates a shard of the images."""

import os

from slim_zoo.checkpoints import restore
from slim_zoo.config.distribution import SLURM
from slim_zoo.config.evaluation import EvaluateConfig
from slim_zoo.deployment import agreement, servers, session_settings
from slim_zoo.deployment.cluster import Cluster
from slim_zoo.evaluation import checkpoint_evaluation, over_split, shards
from slim_zoo.tasks import job
from slim_zoo.tf_compat import tf

# Options that each process may have set in its own way.
_MAY_DIFFER = frozenset({
    'task', 'cluster', 'checkpoint_path', 'train_dir', 'dataset_dir', 'cache_dir',
    'eval_dir', 'batch_size', 'num_preprocessing_threads', 'grad_cam',
    'near_duplicates_of', 'compare_with', *session_settings.NAMES})


class Processes:
  """The processes of an evaluation, used by one of them; starts its server.

  Args:
    config: of the evaluation.
    own: the cluster.

  Attributes:
    workers: all of them.

  Raises:
    UserError: the port of this process is in use.
  """

  def __init__(self, config: EvaluateConfig, own: Cluster):
    self._config, self._server = config, servers.start(
        own, settings=config.devices.settings)
    self.workers = agreement.Workers(
        own, config.server.worker_timeout_secs, 'start all processes again')
    print(f'{own.describe(own.job_name, own.task)} of {len(own.workers)} processes',
          flush=True)

  def meet(self, checkpoint: str) -> None:
    """Waits for the other processes; checks that they have the same options.

    Args:
      checkpoint: that this process evaluates.

    Raises:
      UserError: a process does not start, or has other options or another checkpoint.
    """
    values = job.shared_values(self._config, _MAY_DIFFER)
    values['checkpoint_path'] = (
        os.path.basename(checkpoint), restore.global_step_of(checkpoint))
    rows = self.workers.meet(self._server.target, [*map(job.digest, values.values())])
    job.check_same(self.workers.cluster, values, rows)

  def run(self, evaluation: checkpoint_evaluation.FrozenEvaluation, checkpoint: str
          ) -> tuple | None:
    """Evaluates the shard of this process; the chief merges all shards.

    Args:
      evaluation: of the checkpoint.
      checkpoint: its prefix.

    Returns:
      (metrics, keys) of the whole split for the chief, see `over_split.evaluate`; None
      for the others.

    Raises:
      UserError: the records cannot be read, or a process has ended.
    """
    workers = self.workers
    found, keys = evaluation.collect(
        checkpoint, shard=(workers.cluster.task, workers.count))
    print(f'{len(found)} images of this process are evaluated'
          + (', waiting for the other processes' if workers.is_chief else ''),
          flush=True)
    contents = self.exchange(shards.packed(found, keys, evaluation.num_classes))
    if contents is None:
      return None
    merged, keys = shards.merged(
        contents, evaluation.multi_label, evaluation.images.count_records())
    return over_split.metrics_of(merged, evaluation.num_classes), keys

  def exchange(self, content: bytes) -> list[bytes] | None:
    """Returns the contents of all processes to the chief; None to the others.

    Raises:
      UserError: a process has ended.
    """
    workers = self.workers
    with tf.Graph().as_default() as graph:
      exchange = agreement.Exchange(workers)
      with tf.Session(self._server.target, graph, servers.job_config(
          workers.cluster, settings=self._config.devices.settings)) as session:
        contents = exchange.contents(
            session, content, exchange.numbers(session, len(content)))
    return contents if workers.is_chief else None


def of(config: EvaluateConfig) -> Processes | None:
  """Returns the processes of an evaluation; None if this process evaluates alone.

  Raises:
    UserError: srun did not start this process, or its port is in use.
  """
  own = config.server.own_cluster
  if config.server.cluster == SLURM:
    own = servers.from_slurm()
  return own and Processes(config, own)
