"""Times the steps of a training run without the training loop.

Same graph, input and flags, but no progress, summaries, checkpoints or callbacks: a
session only runs the train op. The task has 'flags' of the command, the number of
'steps', and 'every', the number of steps between two times. The first fifth is not
counted.
"""

import itertools
import json
import os
import sys
import time


def bare_run(task):
  """Returns a replacement of `training.whole_run.run`."""
  def run(training_graph, options, images, init_fn=None, callbacks=(), team=None):
    from slim_zoo.tf_compat import tf
    with tf.Session() as session:
      session.run([tf.global_variables_initializer(),
                   tf.local_variables_initializer(), images.initializer])
      # The input stops unless delivered batches are logged.
      step = session.make_callable([training_graph.train_op, training_graph.numbers])
      times = []
      for number in range(task['steps']):
        images.log.deliver(step()[1])
        if number % task['every'] == 0:
          times.append(time.perf_counter())
    times = times[len(times) // 5:]
    seconds = [(after - before) / task['every']
               for before, after in itertools.pairwise(times)]
    print(json.dumps({'seconds': seconds}), flush=True)
    # Skips everything that the command does at the end of a run.
    os._exit(0)
  return run


def main() -> None:
  """Runs the command with the task's flags."""
  from slim_zoo.commands import running
  from slim_zoo.commands import train as train_image_classifier
  from slim_zoo.training import whole_run
  task = json.loads(sys.argv[1])
  whole_run.run = bare_run(task)
  sys.argv = ['train_image_classifier.py', *task['flags']]
  running.run(train_image_classifier.main)


if __name__ == '__main__':
  main()
