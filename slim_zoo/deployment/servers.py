"""TensorFlow's servers: the one that each process of a cluster starts.

A server stays until its process ends: TensorFlow cannot stop one.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence

from slim_zoo.deployment import peers, session_configs, session_settings
from slim_zoo.deployment.cluster import PS, WORKER, Cluster
from slim_zoo.deployment.session_settings import SessionSettings
from slim_zoo.diagnostics import UserError
from slim_zoo.tf_compat import tf

# Of Slurm jobs that share a machine, each has its own ports.
_SLURM_PORTS, _SLURM_PORT_COUNT = 20000, 10000
# A worker that is away when the chief has ended the job gets so many seconds to return.
_SECONDS_FOR_THE_LAST = 30.0
# Sent in place of the number of a worker: the chief has failed. The other workers read
# the reason from a parameter server. They have so many seconds for it, because they may
# still build their graph.
_CHIEF_HAS_FAILED = -1
_SECONDS_AFTER_FAILURE = 120.0
_QUEUE = 'slim_zoo_ended_workers'
# Workers send each other buffers in pieces of this size. TensorFlow's default of 4 kB
# made the sum of 94 MB on two workers take 1.5 times as long.
_PIECE_BYTES = 4 * 2**20


def from_slurm(num_ps_tasks: int = 0) -> Cluster | None:
  """Returns the cluster of a Slurm job step; None if it has a single process.

  `tf.distribute.cluster_resolver.SlurmClusterResolver` reads it from the variables that
  srun sets. The first processes are the parameter servers.

  Args:
    num_ps_tasks: how many processes are parameter servers.

  Raises:
    UserError: the step is too small, or the nodes are not in the order of their names.
  """
  environment = os.environ
  count = int(environment.get(
      'SLURM_STEP_NUM_TASKS', environment.get('SLURM_NTASKS', '1')))
  if num_ps_tasks >= count:
    raise UserError(
        f'--num_ps_tasks={num_ps_tasks}: the Slurm job step has {count} processes, and'
        ' one at least has to be a worker')
  if count == 1:
    return None
  jobs = {WORKER: count - num_ps_tasks} | ({PS: num_ps_tasks} if num_ps_tasks else {})
  port = _SLURM_PORTS + int(environment.get('SLURM_JOB_ID', '0')) % _SLURM_PORT_COUNT
  try:
    # srun assigns the GPUs. The resolver would divide them once more.
    resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
        jobs, port_base=port, gpus_per_node=count, gpus_per_task=1, auto_set_gpu=False)
    spec = resolver.cluster_spec()
  except (RuntimeError, ValueError, OSError) as error:
    raise UserError(f'--cluster=slurm: {str(error).splitlines()[0]}') from error
  job_name, task = resolver.get_task_info()
  cluster = Cluster(tuple(spec.job_tasks(WORKER)),
                    tuple(spec.job_tasks(PS)) if num_ps_tasks else (), job_name, task)
  _check_slurm_node(cluster, environment.get('SLURMD_NODENAME'))
  return cluster


def _check_slurm_node(cluster, node):
  """Refuses names of nodes whose order is not the order of srun's processes."""
  host = cluster.address.rpartition(':')[0]
  if node and host != node:
    raise UserError(
        f"--cluster=slurm: TensorFlow's resolver places this process on {host}, but it"
        f' runs on {node}: it sorts the nodes by name; name the processes by'
        ' --cluster=HOST:PORT,HOST:PORT in the order of SLURM_PROCID')


def job_config(cluster: Cluster | None, device_filters: Sequence[str] = (),
               num_cpus: int = 1,
               settings: SessionSettings = session_settings.DEFAULTS) -> tf.ConfigProto:
  """Returns the configuration of sessions, and of the server that they run on.

  Args:
    cluster: of which this process is a part; None: of none.
    device_filters: the devices that the process may see; by default all, but of
      workers without parameter servers only their own.
    num_cpus: logical devices that the CPU is divided into.
    settings: memory of GPUs, threads.
  """
  config = session_configs.session_config(
      settings, num_cpus=num_cpus, device_filters=device_filters)
  if cluster is not None and not cluster.parameter_servers:
    config.experimental.collective_group_leader = f'/job:{WORKER}/replica:0/task:0'
    config.experimental.collective_nccl = True
    config.experimental.recv_buf_max_chunk = _PIECE_BYTES
    # Sessions need not wait for the other workers; collectives reach them all the same.
    config.device_filters[:] = [f'/job:{WORKER}/task:{cluster.task}']
  return config


def start(cluster: Cluster, num_cpus: int = 1,
          settings: SessionSettings = session_settings.DEFAULTS) -> tf.train.Server:
  """Starts the server of this process.

  Args:
    cluster: of which this process is a worker or a parameter server.
    num_cpus: as for `job_config`.
    settings: as for `job_config`.

  Returns:
    The server; sessions run on its `target`.

  Raises:
    UserError: the port is in use.
  """
  jobs = {WORKER: list(cluster.workers)}
  if cluster.parameter_servers:
    jobs[PS] = list(cluster.parameter_servers)
  config = job_config(cluster, num_cpus=num_cpus, settings=settings)
  del config.device_filters[:]  # They are for sessions.
  try:
    _check_port(int(cluster.address.rpartition(':')[2]))
    return tf.train.Server(
        tf.train.ClusterSpec(jobs), cluster.job_name, cluster.task,
        protocol='grpc', config=config)
  except (OSError, tf.errors.OpError) as error:
    own = cluster.describe(cluster.job_name, cluster.task)
    raise UserError(
        f'no server can be started as {own}: another process may use this port; look'
        ' for one that is left of an earlier run, or choose another port') from error


def start_for_clearing(cluster: Cluster) -> tf.train.Server:
  """Starts a server whose `tf.Session.reset` clears the parameter servers only.

  That call waits for every process which its server knows, so one on the server of
  `start` would wait for a worker that is away, without a word.

  Args:
    cluster: of which this process is the chief.

  Returns:
    The server, at any free port.
  """
  return tf.train.Server(
      tf.train.ClusterSpec({
          PS: list(cluster.parameter_servers),
          WORKER: {cluster.task: cluster.address}, 'clearing': ['localhost:0']}),
      'clearing', 0, protocol='grpc', config=tf.ConfigProto(device_count={'GPU': 0}))


def _check_port(port):
  """Raises OSError if a port is in use; TensorFlow would write three lines as well."""
  with socket.socket() as probe:
    # As a server does: a port of a process that has just ended is free.
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind(('', port))


def serve_parameters(server: tf.train.Server, cluster: Cluster) -> None:
  """Serves variables until the workers have ended the job.

  It waits for the `report_worker_end` of every worker; after the chief's, a
  worker that is away is waited for half a minute more. Signals are handled meanwhile.

  Args:
    server: of this process.
    cluster: of which this process is a parameter server.

  Raises:
    UserError: the chief has failed.
  """
  ended: set[int] = set()
  changed = threading.Condition()

  def listen():
    with tf.Graph().as_default():
      token = _queue_of_ended_workers(cluster.task).dequeue()
      # Only this process has to be there.
      config = tf.ConfigProto(device_filters=[f'/job:{PS}/task:{cluster.task}'])
      with tf.Session(server.target, config=config) as session:
        while True:
          task = int(session.run(token))
          with changed:
            ended.add(task)
            changed.notify()

  peers.native_thread(listen).start()
  with changed:
    while not ended & {0, _CHIEF_HAS_FAILED}:
      # A wait without an end would not let signals through.
      changed.wait(1.0)
    if _CHIEF_HAS_FAILED not in ended:
      changed.wait_for(
          lambda: len(ended) == len(cluster.workers), _SECONDS_FOR_THE_LAST)
  # The answer to the last worker is on its way.
  time.sleep(1.0)
  if _CHIEF_HAS_FAILED in ended:
    end = time.monotonic() + _SECONDS_AFTER_FAILURE
    while time.monotonic() < end and any(map(peers.answers, cluster.workers)):
      time.sleep(0.5)
    raise UserError(f'{cluster.describe(WORKER, 0)} has failed: look at what it prints,'
                    ' and start all processes again')


def report_worker_end(target: str, cluster: Cluster,
                      report: Callable[[str], None] = print) -> None:
  """Tells each parameter server that this worker has no more to do in the job.

  Not for a worker that a signal stops: it is to come back.

  Args:
    target: of this worker's server.
    cluster: of which this process is a worker.
    report: prints a line about a parameter server that is gone.
  """
  for task in range(len(cluster.parameter_servers)):
    if not _tell(target, cluster, task, cluster.task):
      report(f'{cluster.describe(PS, task)} does not answer at the end of the job')


def report_chief_failure(target: str, cluster: Cluster) -> None:
  """Tells each parameter server that answers that this chief has failed.

  Args:
    target: of the server of the chief.
    cluster: of which this process is the chief.
  """
  for task, address in enumerate(cluster.parameter_servers):
    if peers.answers(address):
      _tell(target, cluster, task, _CHIEF_HAS_FAILED)


def session_with(target: str, cluster: Cluster, ps_task: int) -> tf.Session:
  """Returns a session that needs no process but this worker and a parameter server.

  Args:
    target: of the server of this worker.
    cluster: of which this process is a worker.
    ps_task: the number of the parameter server.
  """
  return tf.Session(target, config=tf.ConfigProto(device_filters=[
      f'/job:{PS}/task:{ps_task}', f'/job:{WORKER}/task:{cluster.task}']))


def _tell(target, cluster, ps_task, number):
  """Sends a number to a parameter server; returns whether it has taken it."""
  with tf.Graph().as_default():
    enqueue = _queue_of_ended_workers(ps_task).enqueue(number)
    try:
      with session_with(target, cluster, ps_task) as session:
        session.run(enqueue, options=tf.RunOptions(timeout_in_ms=10_000))
    except tf.errors.OpError:
      return False
  return True


def _queue_of_ended_workers(ps_task: int) -> tf.FIFOQueue:
  # The default container is cleared by every chief that begins.
  with (tf.container('slim-zoo-job'),
        tf.device(f'/job:{PS}/task:{ps_task}/device:CPU:0')):
    return tf.FIFOQueue(-1, tf.int32, shapes=[()], shared_name=_QUEUE)
