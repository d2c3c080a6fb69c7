"""Runs exports to PyTorch, in an interpreter that has it and nothing of the project.

  python torch_runner.py FOLDER

Each folder in FOLDER with images.npy, float32 [batch, height, width, channels], has a
model. The logits go to FOLDER/logits.npz, by the names of the folders.
"""

import importlib.util
import pathlib
import sys

import numpy as np
import torch


def logits(folder):
  """Returns the logits of the images, in batches of one and of all others."""
  spec = importlib.util.spec_from_file_location(folder.name, folder / 'model.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  network, images = module.load(), np.load(folder / 'images.npy')
  with torch.no_grad():
    return np.concatenate([
        network(torch.from_numpy(batch.transpose(0, 3, 1, 2).copy())).numpy()
        for batch in np.split(images, [1])])


def main(folder):
  """Runs all models."""
  np.savez(folder / 'logits.npz', **{
      images.parent.name: logits(images.parent)
      for images in sorted(folder.glob('*/images.npy'))})


if __name__ == '__main__':
  sys.dont_write_bytecode = True
  main(pathlib.Path(sys.argv[1]))
