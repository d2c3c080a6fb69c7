"""Measures real weights on photographs or in a fine-tuning, see `benchmarks.peers`.

The task has 'what', 'network' and 'weights', an 8-bit file. For photographs it also has
'photographs', the CSV file, and 'crops'; for a fine-tuning 'dataset_dir', 'steps' and
'seed'.
"""

import csv
import dataclasses
import os
import tempfile
import time

import numpy as np
from PIL import Image

import slim_zoo
from benchmarks import quantized_digits, shares
from benchmarks.peers import reports
from slim_zoo import diagnostics
from slim_zoo.checkpoints import identified_network
from slim_zoo.datasets import digits
from slim_zoo.deployment import graph_rewrite
from slim_zoo.weight_conversion import from_tflite

_LEAST_AREA = 0.3
_TRAINING_SIZE = 96
_LEARNING_RATE = 2e-3


def crops(path: str, count: int, size: int, random: np.random.Generator) -> np.ndarray:
  """Returns crops of a photograph: the whole, then random ones of its shape.

  Returns:
    uint8 [count, size, size, 3].
  """
  photograph, found = Image.open(path).convert('RGB'), []
  for number in range(count):
    side = np.sqrt(random.uniform(_LEAST_AREA, 1)) if number else 1.0
    width, height = (side * length for length in photograph.size)
    left, top = (random.uniform(0, length - part) for length, part in zip(
        photograph.size, (width, height), strict=True))
    found.append(np.asarray(photograph.resize(
        (size, size), Image.Resampling.BILINEAR,
        (left, top, left + width, top + height))))
  return np.stack(found)


def read_classes(path: str) -> list[tuple[str, list[int]]]:
  """Returns (path of the photograph, numbers of the right classes) of each line."""
  folder, found = os.path.dirname(path), []
  with open(path, newline='', encoding='utf-8') as file:
    for number, line in enumerate(csv.reader(file), 1):
      try:
        name, classes = line
        found.append((os.path.join(folder, name), [int(text) for text
                                                   in classes.split(';')]))
      except ValueError as error:
        raise diagnostics.UserError(
            f"line {number} of '{path}' is {line}: expected file,class[;class], the"
            ' classes as numbers') from error
  return found


def on_photographs(task) -> dict[str, str]:
  """Returns a character for each crop, 1 if its top-1 is right, by kind of answer."""
  with tempfile.TemporaryDirectory() as folder:
    prefix = os.path.join(folder, 'model.ckpt')
    from_tflite.convert(task['network'], task['weights'], prefix)
    rounds = identified_network.find(prefix)
    floats = dataclasses.replace(rounds, quantized=None)
    random, pixels, right_classes = np.random.default_rng(0), [], []
    for path, classes in read_classes(task['photographs']):
      pixels.append(crops(path, task['crops'], rounds.image_size, random))
      right_classes += [classes] * task['crops']
    pixels = np.concatenate(pixels)
    logits = {
        'file': quantized_digits.answers_of_file(task['weights'], pixels).logits,
        'rounded': quantized_digits.logits_of_graph(rounds, pixels),
        'float32': quantized_digits.logits_of_graph(floats, pixels),
        'bfloat16': quantized_digits.logits_of_graph(
            floats, pixels, graph_rewrite.BFLOAT16)}
  return {name: shares.characters(answer in classes for answer, classes in zip(
      values.argmax(1), right_classes, strict=True)) for name, values in logits.items()}


def fine_tuned(task) -> dict[str, str]:
  """Returns a character for each test image, 1 if its top-1 is right, likewise."""
  with tempfile.TemporaryDirectory() as folder:
    prefix = os.path.join(folder, 'model.ckpt')
    from_tflite.convert(task['network'], task['weights'], prefix)
    # The file has no statistics of images, so batch norm must not be trained.
    run = slim_zoo.train(
        checkpoint_path=prefix, checkpoint_exclude_scopes=['MobilenetV1/Logits'],
        frozen_batch_norm_scopes=['MobilenetV1'],
        model_name=task['network'], dataset_name='digits', dataset_split_name='train',
        dataset_dir=task['dataset_dir'], train_dir=os.path.join(folder, 'run'),
        train_image_size=_TRAINING_SIZE, max_number_of_steps=task['steps'],
        learning_rate=_LEARNING_RATE, learning_rate_decay_type='cosine',
        optimizer='adam', seed=task['seed'])
    trained = dataclasses.replace(
        identified_network.find(run.train_dir), class_names=digits.CLASS_NAMES)
    splits = quantized_digits.load(trained)
    test, path = splits['test'], os.path.join(folder, 'model.tflite')
    quantized_digits.export(trained, path, splits['train'])
    logits = {
        'float32': quantized_digits.logits_of_graph(trained, test.pixels),
        'bfloat16': quantized_digits.logits_of_graph(
            trained, test.pixels, graph_rewrite.BFLOAT16),
        '8 bits': quantized_digits.answers_of_file(path, test.pixels).logits}
  return {name: shares.characters(values.argmax(1) == test.classes)
          for name, values in logits.items()}


def measure(task) -> dict:
  """Returns the answers of a task, and the seconds that it took."""
  start = time.perf_counter()
  run = on_photographs if 'photographs' in task else fine_tuned
  return {'right': run(task), 'seconds': [time.perf_counter() - start]}


if __name__ == '__main__':
  reports.print_result(measure)
