"""Writes the inference graph of a network, without its weights.

`slim-zoo export-inference-graph` is the same command.
"""

from slim_zoo.commands import export_inference_graph

if __name__ == '__main__':
  export_inference_graph.run_command()
