"""Runs the training loop as a whole: signals, sessions, summaries, final errors."""

import contextlib
from collections.abc import Sequence

from slim_zoo import diagnostics
from slim_zoo.deployment import graph_rewrite, servers
from slim_zoo.input import pipeline
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import (
    failures,
    graph,
    graph_steps,
    intervals,
    savers,
    sessions,
    step_report,
    step_watch,
    stopping,
)
from slim_zoo.training.callbacks import graph_files
from slim_zoo.training.callbacks.callback import Callback, CallbackList
from slim_zoo.training.callbacks.weights_comparison import WeightsComparison
from slim_zoo.training.current_run import CurrentRun
from slim_zoo.training.loop import TrainingLoop
from slim_zoo.training.loop_options import LoopOptions
from slim_zoo.training.team import Team


def run(training_graph: graph.TrainingGraph, options: LoopOptions,
        images: pipeline.Input, init_fn=None, callbacks: Sequence[Callback] = (),
        team: Team | None = None) -> CurrentRun:
  """Trains until the last step, a signal or a failure.

  Args:
    training_graph: what to run.
    options: how.
    images: the input pipeline of the graph.
    init_fn: called with the session if train_dir has no checkpoint.
    callbacks: called between the steps, in this order.
    team: the workers of the job; None: this process alone.

  Returns:
    The run, which has ended.

  Raises:
    UserError: the run ended early; the message names the reason and the last
      checkpoint.
    Exception: another failure, after the weights were saved if they are sound.
  """
  team, agreement = team or Team(), training_graph.agreement
  watch = _watch(options, team, agreement)
  stop_request = stopping.StopRequest(
      options.train_dir, options.is_chief,
      watch if options.place.master or options.input_servers else None)
  compared = filter(None, [agreement, training_graph.copies])
  callbacks = [*map(WeightsComparison, compared), *callbacks]
  if options.is_chief:
    callbacks = [*callbacks, graph_files.GraphFiles(options.train_dir)]
  with (stop_request.listening(), failures.without_summary_thread_errors(),
        watch.watching(stop_request.end_at_once)):
    current = _current_run(training_graph, options, images, init_fn, callbacks, team,
                           watch, stop_request)
    try:
      with _summary_writer(options) as writer:
        _train(current, writer)
    # A later failure, such as saving to a full disk, is not the cause.
    except Exception as error:
      if (current.callbacks.failure is None and current.step is None
          and isinstance(error, diagnostics.UserError)):
        raise  # Such as of a checkpoint that does not fit.
      if stop_request.signal is not None and current.step is None:
        raise stop_request.answer(None) from error  # As the library passed it on.
      current.callbacks.note(error, 'the end of the run')
    failure = current.callbacks.failure
    if failure is not None:
      answer = failures.answer(
          failure, current.step, options.train_dir, options.memory_options)
      if answer is failure:
        raise failure
      raise answer from failure
  if stop_request.signal is not None:
    raise stop_request.answer(current.step)
  if current.is_stopped_by_others:
    raise stopping.StoppedByOthers(current.step)
  return current


def _current_run(training_graph, options, images, init_fn, callbacks, team, watch,
                 stop_request):
  """Returns the run before its first session."""
  place, agreement = options.place, training_graph.agreement
  called = CallbackList(callbacks)
  saver = savers.CheckpointSaver(options.train_dir, called)
  steps = graph_steps.GraphSteps(
      training_graph, team.state, images.log, options.save_summaries_secs)
  # Of each session, before its first step.
  tf.add_to_collection(tf.GraphKeys.TABLE_INITIALIZERS, images.initializer)
  opened = sessions.Sessions(
      place, options.train_dir, saver, graph_rewrite.set_precision(
          servers.job_config(
              agreement and agreement.workers.cluster, place.device_filters,
              place.num_cpus, place.settings), options.precision),
      init_fn, team.sync, team.state, images.make_ender() if place.master else None)
  current = CurrentRun(
      training_graph, options, images, stop_request, called, team, watch, steps,
      step_report.StepReport(options, images, training_graph.curve_tags), saver,
      intervals.Every(options.save_interval_secs), opened)
  team.is_to_stop = current.ends_soon
  for callback in callbacks:
    callback.is_asked_to_stop = current.ends_soon
  return current


def _train(current, writer):
  """Trains in one session, or in more where servers are lost.

  Args:
    current: the run.
    writer: of the summaries; None in a process that writes none.

  Raises:
    Exception: the run ended without saving its weights. A failure after which they
      were saved is `callbacks.failure` of the run.
  """
  # Synchronous replicas need a thread beside the steps, even in one process.
  if not current.options.place.master and current.team.sync is None:
    _train_by_slim(current, writer)
    return
  team, watch, stop_request = current.team, current.watch, current.stop_request
  while True:
    try:
      with current.sessions.opened() as session, contextlib.ExitStack() as rest:
        watch.release = lambda session=session: team.release(session)
        for _ in TrainingLoop(current, session, writer, rest).steps():
          pass
      return
    except sessions.SessionLostError as lost:
      stop_request.has_progress, current.step = False, None
      stop_request.is_waiting = True
      if stop_request.signal is not None:
        raise stop_request.answer(None) from lost
      print(lost, flush=True)


def _train_by_slim(current, writer):
  """Trains in this process: `slim.learning.train` opens the session and takes steps.

  Its Supervisor has no logdir: a checkpoint of its threads would mix several steps, and
  it would follow paths in the file `checkpoint` into other folders.
  """
  with contextlib.ExitStack() as rest:
    steps = None

    def train_step(session, *unused):
      nonlocal steps
      steps = steps or TrainingLoop(current, session, writer, rest).steps()
      goes_on = next(steps, False)
      return current.step, not goes_on

    slim.learning.train(
        current.graph.train_op, logdir=None, train_step_fn=train_step,
        train_step_kwargs={}, init_op=None, ready_op=None,
        local_init_op=current.sessions.initialize_local,
        init_fn=current.sessions.restore_or_initialize,
        session_config=current.sessions.config)


def _watch(options, team, agreement):
  """Returns the watch of the steps, which may wait for other processes."""
  place, inputs = options.place, options.input_servers
  if agreement is not None:
    return step_watch.StepWatch(
        {**agreement.workers.others, **inputs},
        timeout_secs=options.input_timeout_secs if inputs else 0, is_shared=False,
        ended=agreement.workers.connections.lost)
  if not place.master:
    return step_watch.StepWatch(
        inputs, timeout_secs=options.input_timeout_secs) if inputs else (
            step_watch.Unwatched())
  return step_watch.StepWatch(place.servers, team.absent_names, place.timeout_secs)


@contextlib.contextmanager
def _summary_writer(options):
  """Yields the writer of the chief's summaries, None for other workers."""
  if not options.is_chief:
    yield None
    return
  with tf.summary.FileWriter(options.train_dir) as writer:
    yield writer
