"""The sessions of networks with constant weights: same numbers, fused layers."""

import numpy as np
import pytest

from slim_zoo.deployment import graph_rewrite, session_configs
from slim_zoo.tf_compat import tf
from tests import onnx_models

CONFIGS = {'frozen': graph_rewrite.frozen_config,
           'unoptimized': session_configs.unoptimized_config,
           'usual': session_configs.session_config}


@pytest.fixture(scope='module')
def ran():
  """Returns (logits, types of the operations that ran) by configuration."""
  network = onnx_models.network('mobilenet_v1_025', 64).folded
  images = np.random.default_rng(0).normal(size=[2, 64, 64, 3])
  results = {}
  for name, config in CONFIGS.items():
    metadata = tf.RunMetadata()
    with tf.Session(graph=network.graph, config=config()) as session:
      logits = session.run(
          network.logits, {network.images: images},
          options=tf.RunOptions(output_partition_graphs=True), run_metadata=metadata)
    results[name] = logits, {
        node.op for part in metadata.partition_graphs for node in part.node}
  return results


@pytest.mark.parametrize('name', ['frozen', 'unoptimized'])
def test_the_configuration_does_not_change_the_logits(name, ran):
  assert onnx_models.off_by(ran[name][0], ran['usual'][0]) < 1e-5


def test_layers_of_frozen_networks_are_fused_and_single_runs_are_not_rewritten(ran):
  fused = {name: {op for op in types if op.startswith('_') and 'Fused' in op}
           for name, (_, types) in ran.items()}
  assert fused['frozen'] == fused['usual'] != set()
  assert not fused['unoptimized']
