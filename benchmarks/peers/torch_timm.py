"""Times PyTorch with timm's networks, see `benchmarks.peers`.

Any interpreter with torch and timm can run it; nothing else is imported. "frozen" is a
traced and frozen module.
"""

import functools

from benchmarks.peers import reports

# timm's ResNet-50 v2 with batch norm; the others have their own names.
_MODELS = {'resnet_v1_50': 'resnet50', 'resnet_v2_50': 'resnetv2_50', 'vgg_16': 'vgg16',
           'inception_v3': 'inception_v3', 'mobilenet_v2': 'mobilenetv2_100'}


def measure(task) -> dict:
  """Returns the times of a network of timm."""
  run, facts = make_run(task)
  return {'seconds': reports.seconds(run, task), **facts}


def make_run(task, is_reduced: bool = False):
  """Returns a function that runs a network once, and facts of it.

  Args:
    task: see `benchmarks.peers`.
    is_reduced: whether autocast computes in bfloat16.
  """
  import timm
  import torch

  name = _MODELS.get(task['network'])
  if name is None or not timm.is_model(name):
    raise reports.UnavailableError(f"timm has no {task['network']}")
  is_training = task['what'] == 'step'
  model = timm.create_model(name, pretrained=False).train(is_training)
  size = model.default_cfg['input_size'][-1]
  images = torch.rand(task['batch_size'], 3, size, size)
  # PyTorch recommends channels last for convolutions on CPUs.
  model, images = [value.to(memory_format=torch.channels_last)
                   for value in (model, images)]
  cast = functools.partial(
      torch.autocast, 'cpu', torch.bfloat16, is_reduced, cache_enabled=is_training)
  run = (_train_step(torch, model, images, cast) if is_training else
         _forward(torch, model, images, task['what'] == 'frozen', cast))
  return run, {'torch': torch.__version__, 'timm': timm.__version__,
               'threads': torch.get_num_threads()}


def _forward(torch, model, images, is_frozen, cast):
  if is_frozen:
    # The casts are a part of the trace; their cache is not for traces.
    with torch.no_grad(), cast():
      model = torch.jit.freeze(torch.jit.trace(model, images))

  def run():
    with torch.inference_mode(), cast():
      return model(images)
  return run


def _train_step(torch, model, images, cast):
  labels = torch.randint(model.num_classes, [len(images)])
  optimizer = torch.optim.SGD(model.parameters(), 1e-4, momentum=0.9)
  criterion = torch.nn.CrossEntropyLoss()

  def run():
    optimizer.zero_grad()
    with cast():
      loss = criterion(model(images), labels)
    loss.backward()
    optimizer.step()
    return loss.item()
  return run


if __name__ == '__main__':
  reports.print_result(measure)
