"""Runs the training loop as a whole: signals, sessions, summaries, final errors."""

import contextlib
from collections.abc import Sequence

from slim_zoo import diagnostics
from slim_zoo.deployment import graph_rewrite, servers
from slim_zoo.input import pipeline
from slim_zoo.tf_compat import tf
from slim_zoo.training import failures, graph, sessions, step_watch, stopping
from slim_zoo.training.callbacks import graph_files
from slim_zoo.training.callbacks.callback import Callback
from slim_zoo.training.callbacks.weights_comparison import WeightsComparison
from slim_zoo.training.loop import TrainingLoop
from slim_zoo.training.loop_options import LoopOptions
from slim_zoo.training.team import Team


def run(training_graph: graph.TrainingGraph, options: LoopOptions,
        images: pipeline.Input, init_fn=None, callbacks: Sequence[Callback] = (),
        team: Team | None = None) -> TrainingLoop:
  """Trains until the last step, a signal or a failure.

  Args:
    training_graph: what to run.
    options: how.
    images: the input pipeline of the graph.
    init_fn: called with the session if train_dir has no checkpoint.
    callbacks: called between the steps, in this order.
    team: the workers of the job; None: this process alone.

  Returns:
    The loop, see its attributes.

  Raises:
    UserError: the run ended early; the message names the reason and the last
      checkpoint.
    Exception: another failure, after the weights were saved if they are sound.
  """
  place, team, agreement = options.place, team or Team(), training_graph.agreement
  watch = _watch(options, team, agreement)
  stop_request = stopping.StopRequest(
      options.train_dir, options.is_chief,
      watch if place.master or options.input_servers else None)
  compared = filter(None, [agreement, training_graph.copies])
  callbacks = [*map(WeightsComparison, compared), *callbacks]
  if options.is_chief:
    callbacks = [*callbacks, graph_files.GraphFiles(options.train_dir)]
  with (stop_request.listening(), failures.without_summary_thread_errors(),
        watch.watching(stop_request.end_at_once)):
    loop = TrainingLoop(
        training_graph, options, images, stop_request, callbacks, team, watch)
    team.is_to_stop = loop.ends_soon
    # Of each session, before its first step.
    tf.add_to_collection(tf.GraphKeys.TABLE_INITIALIZERS, images.initializer)
    opened = sessions.Sessions(
        place, options.train_dir, loop.saver, graph_rewrite.set_precision(
            servers.job_config(
                agreement and agreement.workers.cluster, place.device_filters,
                place.num_cpus, place.settings), options.precision),
        init_fn, team.sync, team.state,
        images.make_ender() if place.master else None)
    try:
      with _summary_writer(options) as writer:
        loop.train(opened, writer)
    # A later failure, such as saving to a full disk, is not the cause.
    except Exception as error:
      if (loop.callbacks.failure is None and loop.step is None
          and isinstance(error, diagnostics.UserError)):
        raise  # Such as of a checkpoint that does not fit.
      if stop_request.signal is not None and loop.step is None:
        raise stop_request.answer(None) from error  # As the library passed it on.
      loop.callbacks.note(error, 'the end of the run')
    failure = loop.callbacks.failure
    if failure is not None:
      answer = failures.answer(
          failure, loop.step, options.train_dir, options.memory_options)
      if answer is failure:
        raise failure
      raise answer from failure
  if stop_request.signal is not None:
    raise stop_request.answer(loop.step)
  if loop.is_stopped_by_others:
    raise stopping.StoppedByOthers(loop.step)
  return loop


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
