"""Serves a network: a web page that classifies photos, and a REST interface.

  slim-zoo serve --checkpoint_path=runs/pets
  slim-zoo serve --checkpoint_path=published:mobilenet_v1_1.0_224 --port=0
  slim-zoo serve --export=exports/pets --served_name=pets

The page shows the most probable classes of a photo. With a checkpoint, it also shows
Grad-CAM: the regions that raise the score of the most probable class. Photos are read
as by slim-zoo classify.

Programs send the requests of TensorFlow Serving (POST /v1/models/NAME:predict), and get
the same answers as from an export in TensorFlow Serving.

Only programs on this machine can connect, unless --host is set. Requests of other web
sites are refused. Ctrl-C ends the server.
"""

from slim_zoo import start_up
from slim_zoo.commands import option_flags, running
from slim_zoo.config.serving import ServeConfig
from slim_zoo.serving import listening

option_flags.define(ServeConfig)


def main(unused_argv):
  """Reads the flags into a config, checks it, and serves until a signal comes."""
  config = ServeConfig.from_options(option_flags.given_options(ServeConfig))
  config.check()
  listener = listening.listen(config.address.host, config.address.port)
  # Takes seconds: only now, when the flags are right and the port is free.
  start_up.load_tensorflow(config.devices.settings)
  from slim_zoo.tasks import serve
  serve.serve(config, listener)


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main)
