"""The table of networks, and the counts in it: stored, counted again, published."""

import json
import subprocess
import sys

import pytest

from slim_zoo import diagnostics
from slim_zoo.catalog import complexity, networks, published
from slim_zoo.commands import networks as list_networks
from slim_zoo.nets import complexity as counting
from slim_zoo.tf_compat import slim, tf
from tests import scripts

# (parameters, multiply-adds) as published, in the digits that they were given in.
PUBLISHED = {
    # MobileNet's model card; for 0.75's multiply-adds the paper: the card's 317M are
    # fewer than the layers need.
    'mobilenet_v1': ('4.24M', '569M'),
    'mobilenet_v1_075': ('2.59M', '325M'),
    'mobilenet_v1_050': ('1.34M', '150M'),
    'mobilenet_v1_025': ('0.47M', '41M'),
    # MobileNet V2's and V3's model cards.
    'mobilenet_v2': ('3.47M', '300M'),
    'mobilenet_v2_140': ('6.06M', '582M'),
    'mobilenet_v2_130': ('5.34M', '509M'),
    'mobilenet_v2_075': ('2.61M', '209M'),
    'mobilenet_v2_050': ('1.95M', '97M'),
    'mobilenet_v2_035': ('1.66M', '59M'),
    'mobilenet_v3_large': ('5.4M', '217M'),
    'mobilenet_v3_large_075': ('4.0M', '155M'),
    'mobilenet_v3_small': ('2.9M', '66M'),
    # The last revision of V3's paper.
    'mobilenet_v3_small_075': ('2.0M', '44M'),
    'mobilenet_v3_large_minimalistic': ('3.9M', '209M'),
    'mobilenet_v3_small_minimalistic': ('2.0M', '65M'),
    'mobilenet_edgetpu': ('4.0M', '990M'),
    'mobilenet_edgetpu_075': ('2.9M', '624M'),
    # NASNet's and PNASNet's papers, whose tables give the Inceptions too; the 1.5B of
    # inception_v1 are its own paper's.
    'nasnet_cifar': ('3.3M', None),
    'nasnet_mobile': ('5.3M', '564M'),
    'nasnet_large': ('88.9M', '23.8B'),
    'pnasnet_mobile': ('5.1M', '588M'),
    'pnasnet_large': ('86.1M', '25.0B'),
    'inception_v1': ('6.6M', '1.5B'),
    'inception_v2': ('11.2M', '1.94B'),
    'inception_v3': ('23.8M', '5.72B'),
    'inception_resnet_v2': ('55.8M', '13.2B'),
    # Table 2 of VGG's paper; multiply-adds from table 1 of ResNet's.
    'vgg_a': ('133M', None),
    'vgg_16': ('138.4M', '15.5B'),
    'vgg_19': ('144M', '19.6B'),
    'resnet_v1_50': ('25.6M', '3.8B'),
    'resnet_v1_101': ('44.5M', '7.6B'),
    'resnet_v1_152': ('60.2M', '11.3B'),
    # ResNeXt's table 1, and table 2 of SE's paper with its model card.
    'resnext_50': ('25.0M', '4.2B'),
    'resnext_101': (None, '7.99B'),
    'se_resnet_v1_50': ('28.1M', '3.87B'),
    'se_resnet_v1_101': ('49.3M', '7.60B'),
    'se_resnet_v1_152': ('66.8M', '11.32B'),
    'se_resnext_50': ('27.6M', '4.25B'),
    'se_resnext_101': ('49.0M', '8.00B'),
}

# Three times a stride, each in another place than in the paper, whose strided
# units begin with a strided 1x1 convolution: how many multiply-adds more.
_LAST_UNIT = -3 * (9 * 64 * 64 + 64 * 256) * (56 ** 2 - 28 ** 2)
_MIDDLE_CONVOLUTION = 3 * 256 * 128 * (56 ** 2 - 28 ** 2)

# What is known to differ: (parameters, multiply-adds) more than published.
DIFFERENT = {
    # slim strides the 3x3 convolution in the last unit of a block: that and the
    # 1x1 after it see a quarter of the pixels.
    **{f'resnet_v1_{depth}': (0, _LAST_UNIT) for depth in (50, 101, 152)},
    # The stride is in the 3x3 convolution of a block's first unit, as in the
    # weights that were published on PyTorch: the 1x1 before it sees all pixels.
    **{f'se_resnet_v1_{depth}': (0, _MIDDLE_CONVOLUTION) for depth in (50, 101, 152)},
    # The card gives the first revision of the paper; the last one says 2.5M and 56M,
    # as the graph has it. The minimalistic one's card has a surplus of the same kind.
    'mobilenet_v3_small': (-0.4e6, -10e6),
    'mobilenet_v3_small_minimalistic': (0, -12.7e6),
}
SHARE = 0.015


def value_and_step(text):
  """Returns a published figure and the worth of its last digit."""
  unit = {'M': 1e6, 'B': 1e9}[text[-1]]
  digits = len(text[:-1].partition('.')[2])
  return float(text[:-1]) * unit, unit / 10 ** digits


def test_published_facts_are_plausible():
  for facts in published.PUBLISHED.values():
    assert 39 < facts.top_1 < 85
    assert facts.top_5 is None or facts.top_1 + 10 < facts.top_5 < 97


def test_every_network_is_measured():
  stored = complexity.load()
  for name in networks.NETWORKS:
    assert name in stored, f'not measured: {complexity.measure_command(name)}'


@pytest.mark.parametrize('name', list(PUBLISHED))
def test_counts_are_the_published_ones(name):
  """Within 1.5%, or one of the last digit: some were rounded, some cut off."""
  cost = complexity.load()[name]
  counts = (cost.parameters, cost.multiply_adds)
  more = DIFFERENT.get(name, (0, 0))
  for text, count, surplus in zip(PUBLISHED[name], counts, more, strict=True):
    if text is not None:
      value, step = value_and_step(text)
      tolerance = max(SHARE * value, step)
      assert count == pytest.approx(value + surplus, abs=tolerance), text
      # A reason for a difference that is not there would hide one.
      assert not surplus or abs(count - value) > tolerance


def test_counted_operations_are_what_they_cost():
  """Plain, grouped, depthwise, 3-D and transposed convolutions, matrix products."""
  images = tf.zeros([2, 8, 6, 4])
  weights = lambda *shape: tf.zeros(shape)
  cases = {
      'plain': (lambda: tf.nn.conv2d(images, weights(3, 3, 4, 5), 2, 'SAME'),
                2 * 4 * 3 * 5 * 3 * 3 * 4),
      'valid': (lambda: tf.nn.conv2d(images, weights(3, 2, 4, 5), 1, 'VALID'),
                2 * 6 * 5 * 5 * 3 * 2 * 4),
      'grouped': (lambda: tf.nn.conv2d(images, weights(3, 3, 2, 6), 1, 'SAME'),
                  2 * 8 * 6 * 6 * 3 * 3 * 2),
      'depthwise': (lambda: tf.nn.depthwise_conv2d(
          images, weights(3, 3, 4, 2), [1, 1, 1, 1], 'SAME'), 2 * 8 * 6 * 8 * 3 * 3),
      'clip': (lambda: tf.nn.conv3d(
          tf.zeros([1, 4, 8, 6, 3]), weights(2, 3, 3, 3, 5), [1, 1, 1, 1, 1], 'SAME'),
               4 * 8 * 6 * 5 * 2 * 3 * 3 * 3),
      'transposed': (lambda: tf.nn.conv2d_transpose(
          images, weights(3, 3, 7, 4), [2, 16, 12, 7], 2), 2 * 8 * 6 * 4 * 3 * 3 * 7),
      'matrices': (lambda: tf.matmul(tf.zeros([2, 5]), weights(5, 3)), 2 * 5 * 3),
      'turned matrices': (lambda: tf.matmul(
          tf.zeros([5, 2]), weights(3, 5), transpose_a=True, transpose_b=True),
                          2 * 5 * 3),
      'batch of matrices': (lambda: tf.matmul(tf.zeros([4, 2, 5]), weights(4, 5, 3)),
                            4 * 2 * 5 * 3),
      'no weights': (lambda: tf.nn.relu(tf.nn.max_pool2d(images, 2, 2, 'SAME')), 0),
  }
  for case, (build, expected) in cases.items():
    with tf.Graph().as_default() as graph:
      images = tf.zeros([2, 8, 6, 4])
      build()
      assert counting.count_multiply_adds(graph) == expected, case


def test_only_what_the_outputs_need_is_counted():
  """An auxiliary head costs nothing, in parameters and in multiply-adds."""
  net = slim.fully_connected(tf.zeros([1, 4]), 3, normalizer_fn=slim.batch_norm)
  logits = slim.fully_connected(net, 2)
  slim.fully_connected(net, 50)
  # Batch norm has a trainable beta, and moving averages that are not trained.
  assert counting.count_parameters([logits]) == 4 * 3 + 3 + 3 * 2 + 2
  assert counting.count_parameters() == 4 * 3 + 3 + 3 * 2 + 2 + 3 * 50 + 50
  graph = tf.get_default_graph()
  assert counting.count_multiply_adds(graph, [logits]) == 4 * 3 + 3 * 2
  assert counting.count_multiply_adds(graph) == 4 * 3 + 3 * 2 + 3 * 50


def test_open_batch_cannot_be_counted():
  slim.conv2d(tf.placeholder(tf.float32, [None, 8, 8, 3]), 4, 3)
  with pytest.raises(ValueError, match='fixed batch'):
    counting.count_multiply_adds(tf.get_default_graph())


def test_json_has_plain_values_of_all_networks():
  done = scripts.run('networks', format='json')
  assert done.returncode == 0, done.stderr
  records = {record['name']: record for record in json.loads(done.stdout)}
  assert set(records) == set(networks.NETWORKS)
  assert records['vgg_16'] == {
      'name': 'vgg_16', 'input_shape': [224, 224, 3], 'parameters': 138357544,
      'multiply_adds': 15470264320, 'preprocessing': 'vgg',
      'head_scopes': ['vgg_16/fc8'], 'num_classes': 1000,
      'paper': 'Simonyan 2015, arXiv 1409.1556',
      'published': {
          'num_classes': 1000, 'preprocessing': 'vgg', 'image_size': 224,
          'top_1': 71.5, 'top_5': 89.8, 'archive': 'http://download.tensorflow.org'
          '/models/vgg_16_2016_08_28.tar.gz'}}
  assert records['vgg_a']['published'] is None


def test_text_is_filtered_sorted_and_aligned():
  done = scripts.run('networks', filter='vgg', sort='parameters')
  heading, *lines = done.stdout.splitlines()
  assert [line.split()[:4] for line in lines] == [
      ['vgg_a', '224x224x3', '133M', '7.61B'], ['vgg_16', '224x224x3', '138M', '15.5B'],
      ['vgg_19', '224x224x3', '144M', '19.6B']]
  assert len({line.index('Simonyan') for line in lines} | {heading.index('paper')}) == 1


def test_markdown_is_a_table():
  done = scripts.run('networks', filter='mobilenet_v1*', format='markdown',
                     sort='multiply_adds')
  heading, rule, *lines = done.stdout.splitlines()
  assert {line.count('|') for line in (heading, rule, *lines)} == {10}
  assert set(rule) <= set('|-: ')
  assert lines[0].startswith('| mobilenet_v1_025 | 224x224x3 | 470k | 41.0M |')
  assert len(lines) == 4


def test_table_does_not_pay_for_tensorflow():
  done = subprocess.run(
      [sys.executable, '-X', 'importtime', '-m', 'slim_zoo', 'networks'],
      text=True, capture_output=True, check=True, cwd=scripts.ROOT,
      timeout=scripts.TIMEOUT_SECS)
  assert 'vgg_16' in done.stdout
  assert 'catalog.networks' in done.stderr
  assert 'tensorflow' not in done.stderr


@pytest.mark.parametrize(('flags', 'words'), [
    ({'filter': 'resnet_v150'}, ["did you mean 'resnet_v1_50'", '--filter']),
    ({'sort': 'accuracy'}, ['sort', 'multiply_adds']),
    ({'format': 'yaml'}, ['format', 'markdown']),
    ({'filtre': 'vgg'}, ['--filtre', "'filter'"]),
])
def test_wrong_flag_is_answered_in_one_line(flags, words):
  scripts.answer(scripts.run('networks', **flags), *words)


def test_measuring_stores_what_the_graph_has(tmp_path, capsys):
  """Other networks' counts are kept, and the file reads back as it was written."""
  path = tmp_path / 'complexity.json'
  kept = {name: complexity.load()[name] for name in ('vgg_16', 'lenet')}
  wrong = complexity.Complexity((1, 1, 1), 2, 3, 4)
  complexity.save({**kept, 'lenet': wrong}, path)
  list_networks.measure([networks.NETWORKS['lenet']], complexity.load(path), path)
  assert complexity.load(path) == kept
  assert capsys.readouterr().out == '[1/1] lenet\n'


def test_network_that_was_not_measured_is_listed_last():
  costs = {'vgg_16': complexity.load()['vgg_16']}
  rows = [networks.NETWORKS[name] for name in ('lenet', 'vgg_16')]
  records = [list_networks.record(row, costs.get(row.name)) for row in rows]
  for column in ('parameters', 'multiply_adds', 'size'):
    ordered = sorted(records, key=list_networks.sort_key(column))
    assert [values['name'] for values in ordered] == ['vgg_16', 'lenet']
  assert list_networks.as_text(records).splitlines()[1].split()[1:4] == ['-'] * 3


def test_damaged_counts_say_what_to_do(tmp_path):
  path = tmp_path / 'complexity.json'
  path.write_text('{"lenet": {"parameters": 3}}')
  with pytest.raises(diagnostics.UserError, match=r'damaged.*--measure'):
    complexity.load(path)


@pytest.mark.parametrize(('count', 'text'), [
    (999, '999'), (470329, '470k'), (999_600, '1.00M'), (4_233_001, '4.23M'),
    (99_960_000, '100M'), (568_741_376, '569M'), (23_783_413_536, '23.8B'),
    (None, '-')])
def test_counts_are_written_with_three_digits(count, text):
  assert list_networks.readable(count) == text
