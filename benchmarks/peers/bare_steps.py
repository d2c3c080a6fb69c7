"""Runs the training script with its loop taken out: the bare rate of its steps.

Same graph, same input, same flags; but no progress, no summaries, no checkpoints, no
callbacks: a session that runs the train op again and again. The task has 'flags' for
the script, how many 'steps' to take, and of how 'every' many to note the time. The
first fifth does not count.
"""

import itertools
import json
import os
import sys
import time


def bare_run(task):
  """Returns what stands in for `training.loop.run`."""
  def run(training_graph, options, images, init_fn=None, callbacks=()):
    from slim_zoo.tf_compat import tf
    with tf.Session() as session:
      session.run([tf.global_variables_initializer(),
                   tf.local_variables_initializer(), images.initializer])
      # The input stops unless it is told what came out.
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
    # What the script says and writes at the end of a run is of no run here.
    os._exit(0)
  return run


def main() -> None:
  """Runs the script on the task's flags."""
  from slim_zoo.commands import running
  from slim_zoo.commands import train as train_image_classifier
  from slim_zoo.training import loop
  task = json.loads(sys.argv[1])
  loop.run = bare_run(task)
  sys.argv = ['train_image_classifier.py', *task['flags']]
  running.run(train_image_classifier.main)


if __name__ == '__main__':
  main()
