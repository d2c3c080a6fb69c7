"""A tf.data service for tests: a dispatcher and workers, until the process is killed.

  python tests/data_service_program.py PORT WORKERS

Prints its address when it is ready. It imports nothing of the project, as any program
may run the service.
"""

import os
import sys
import time

os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
import tensorflow as tf

if __name__ == '__main__':
  port, count = map(int, sys.argv[1:])
  service = tf.data.experimental.service
  dispatcher = service.DispatchServer(service.DispatcherConfig(port=port))
  address = dispatcher.target.removeprefix('grpc://')
  workers = [service.WorkerServer(service.WorkerConfig(dispatcher_address=address))
             for _ in range(count)]
  print(address, flush=True)
  while True:
    time.sleep(60)
