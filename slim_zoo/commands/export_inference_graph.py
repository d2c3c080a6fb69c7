"""Writes the graph of a network, without weights, as a GraphDef.

  slim-zoo export-inference-graph --model_name=inception_v3 \\
      --output_file=/tmp/inception_v3.pb

The placeholder 'input' takes preprocessed float32 images. TensorFlow's freeze_graph
adds the weights of a checkpoint:

  python -m tensorflow.python.tools.freeze_graph --input_graph=/tmp/inception_v3.pb \\
      --input_binary=true --input_checkpoint=/tmp/train/model.ckpt-1000 \\
      --output_node_names=InceptionV3/Predictions/Reshape_1 \\
      --output_graph=/tmp/inception_v3_frozen.pb

slim-zoo export writes a graph with weights, preprocessing and labels, and checks its
numbers.
"""

from slim_zoo import start_up
from slim_zoo.commands import option_flags, running
from slim_zoo.config.export_graph import ExportGraphConfig

option_flags.define(ExportGraphConfig)


def main(unused_argv):
  """Reads the flags into a config, checks it, and writes the graph."""
  config = ExportGraphConfig.from_options(
      option_flags.given_options(ExportGraphConfig))
  config.check()
  # Takes seconds: only now, when the flags are right.
  start_up.load_tensorflow()
  from slim_zoo.tasks import export
  result = export.export_graph(config)
  print(f"wrote {result.path}: {config.graph.model_name}, images at"
        f" '{result.images.name}' {result.images.shape}")
  print(f"  logits         '{result.logits.name}' {result.logits.shape}")
  if result.probabilities is not None:
    print(f"  probabilities  '{result.probabilities.name}'")


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main)
