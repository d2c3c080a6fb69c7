"""8-bit files of trained networks against the networks that round, on 500 images.

EIGHT_BIT_IMAGES=500 trains them on digits, which takes minutes. `quantization_run_test`
does the same with LeNet on 355 images.
"""

import os

import numpy as np
import pytest

from benchmarks import quantized_digits

IMAGES = int(os.environ.get('EIGHT_BIT_IMAGES') or 0)


@pytest.mark.skipif(not IMAGES, reason='on demand: EIGHT_BIT_IMAGES=500')
@pytest.mark.parametrize(
    ('name', 'size', 'steps', 'quantized_steps', 'rate', 'within_two_steps'), [
        ('lenet', 28, 400, 150, 1e-3, 0.99),
        ('mobilenet_v1_025', 48, 600, 200, 4e-3, 0.99),
        # After little training a deep network enlarges differences of single steps.
        ('resnet_v1_50', 32, 400, 60, 1e-3, 0.8)])
def test_the_file_says_what_the_network_that_rounds_says(
    name, size, steps, quantized_steps, rate, within_two_steps, tmp_path):
  trained = quantized_digits.network(name, size)
  splits = quantized_digits.load(trained)
  train, test = splits['train'], splits['test']
  floats = quantized_digits.train(
      trained, train, quantized_digits.Training(steps, learning_rate=rate),
      str(tmp_path / 'floats.ckpt'))
  aware = quantized_digits.train(trained, train, quantized_digits.Training(
      quantized_steps, learning_rate=rate / 5, quantize=True, start=floats.checkpoint),
                                 str(tmp_path / 'aware.ckpt'))
  pixels = np.concatenate([test.pixels, train.pixels])[:IMAGES]
  expected = quantized_digits.logits_of_graph(aware, pixels)
  quantized_digits.export(aware, str(tmp_path / 'model.tflite'), train)
  found = quantized_digits.answers_of_file(str(tmp_path / 'model.tflite'), pixels)
  assert np.mean(found.logits.argmax(1) == expected.argmax(1)) >= 0.99
  assert np.mean(np.abs(found.logits - expected) <= 2.01 * found.step
                 ) >= within_two_steps
