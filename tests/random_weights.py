"""Random weights of a network of the zoo, such as training could have left them."""

import numpy as np


def values(shapes, seed=0):
  """Returns float32 arrays by name: features keep their size from layer to layer."""
  random = np.random.default_rng(seed)
  made = {}
  for name, shape in shapes.items():
    kind = name.rsplit('/', 1)[1]
    if name.endswith('bottleneck_v1/conv3/BatchNorm/gamma'):
      # Residuals of full size would add up, until gates tip over by rounding alone.
      made[name] = random.uniform(0.1, 0.3, shape)
    elif kind in ('gamma', 'moving_variance'):
      made[name] = random.uniform(0.7, 1.4, shape)
    elif kind in ('beta', 'moving_mean', 'biases'):
      made[name] = random.uniform(-0.2, 0.2, shape)
    else:
      inputs = shape[0] * shape[1] if kind == 'depthwise_weights' else (
          np.prod(shape[:-1]))
      # The generator's own float32 takes a fifth of the time for VGG's 500 MB.
      made[name] = random.standard_normal(shape, np.float32) * np.sqrt(2 / inputs)
    made[name] = made[name].astype(np.float32)
  return made
