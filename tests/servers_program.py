"""TensorFlow servers for tests, as another program may start them for --master.

  python tests/servers_program.py ADDRESS_OF_PS ADDRESS_OF_WORKER...

It imports nothing of the project and runs until it is killed.
"""

import os
import sys
import time

os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
import tensorflow as tf

if __name__ == '__main__':
  spec = tf.train.ClusterSpec({'ps': sys.argv[1:2], 'worker': sys.argv[2:]})
  servers = [tf.distribute.Server(spec, job, task) for job in spec.jobs
             for task in range(spec.num_tasks(job))]
  print('ready', flush=True)
  while True:
    time.sleep(60)
