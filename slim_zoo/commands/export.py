"""Takes a trained network out: for a server, a phone, another program.

  slim-zoo export --checkpoint_path=runs/pets --export_dir=exports/pets \\
      --format=saved_model,tflite_int8 --dataset_name=pets --dataset_dir=data/pets

Preprocessing and the names of the classes go into the export. It is loaded again in
a process of its own and asked about real images: it is kept if it says what the
checkpoint says, and removed otherwise.

Exit codes: 0, all formats are written and right; 1, one is not, or an error, such as
flags that do not fit together; 2, an unknown flag or a wrong value.
"""

from slim_zoo import start_up
from slim_zoo.commands import option_flags, running
from slim_zoo.config.export import ExportConfig

option_flags.define(ExportConfig)


def main(unused_argv):
  """Reads the flags into a config, checks it, and exports."""
  config = ExportConfig.from_options(option_flags.given_options(ExportConfig))
  config.check()
  # Takes seconds: only now, when the flags are right.
  start_up.load_tensorflow(config.devices.settings)
  from slim_zoo.tasks import export
  export.export(config)


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main)
