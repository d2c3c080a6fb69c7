"""The HParams table of TensorBoard: what is written, and what TensorBoard reads."""

import glob
import json
import struct

import pytest
from google.protobuf import struct_pb2

import slim_zoo
from slim_zoo import diagnostics
from slim_zoo.tf_compat import tf
from slim_zoo.training import hparams_messages, stopping
from slim_zoo.training.callbacks import hparams
from tests.conftest import on_digits

PARAMETERS = {'learning_rate': 0.25, 'optimizer': 'adam', 'xla': True,
              'batch_size': 300, 'seed': -2**63, 'scopes': 'é,b'}
RESULTS = {'step': 40, 'mean_loss': 0.5, 'images_per_second': 80.5, 'loss': 0.4,
           'validation': {'measure': 'mean IoU', 'last': {'score': 0.75, 'loss': 0.3},
                          'best': {'score': 0.8, 'step': 20}}}


def fields(content):
  """Returns the fields of a message on the wire: (number, value) pairs."""
  found, place = [], 0
  def varint():
    nonlocal place
    number = shift = 0
    while True:
      byte = content[place]
      place += 1
      number |= (byte & 127) << shift
      shift += 7
      if byte < 128:
        return number
  while place < len(content):
    key = varint()
    if key & 7 == 2:
      length = varint()
      found.append((key >> 3, content[place:place + length]))
      place += length
    elif key & 7 == 1:
      found.append((key >> 3, struct.unpack('<d', content[place:place + 8])[0]))
      place += 8
    else:
      found.append((key >> 3, varint()))
  return found


def test_a_session_begins_with_its_parameters():
  value = hparams_messages.start(PARAMETERS, 1234.5)
  assert value.tag == '_hparams_/session_start_info'
  assert value.metadata.plugin_data.plugin_name == 'hparams'
  (number, info), = fields(value.metadata.plugin_data.content)
  assert number == 3
  entries = [dict(fields(content)) for place, content in fields(info) if place == 1]
  read = {}
  for entry in entries:
    message = struct_pb2.Value.FromString(entry[2])
    read[entry[1].decode()] = getattr(message, message.WhichOneof('kind'))
  assert read == PARAMETERS
  assert (5, 1234.5) in fields(info)


def rows(folder):
  """Returns the tags in a folder's events: steps and values, and the end's status."""
  scalars, status, started = {}, None, 0
  for path in glob.glob(str(folder / 'hparams' / '*')):
    for event in tf.train.summary_iterator(path):
      for value in event.summary.value:
        if value.tag.endswith('end_info'):
          (_, info), = fields(value.metadata.plugin_data.content)
          status = dict(fields(info))[1]
        elif value.tag.endswith('start_info'):
          started += 1
        else:
          scalars[value.tag] = (event.step, pytest.approx(value.simple_value))
  return scalars, status, started


@pytest.mark.parametrize(('error', 'status'), [
    (None, hparams_messages.SUCCESS),
    (diagnostics.UserError('no disk'), hparams_messages.FAILURE),
    (stopping.StoppedByOthers(3), hparams_messages.UNKNOWN),
    (KeyboardInterrupt(), hparams_messages.UNKNOWN)])
def test_the_row_of_a_run_has_its_results_and_its_end(error, status, tmp_path):
  row = hparams.HParams(str(tmp_path), PARAMETERS, lambda: RESULTS)
  row.__enter__()
  row.after_save(None, 30, 'model.ckpt-30')
  assert rows(tmp_path)[1] is None
  row.__exit__(type(error), error, None)
  assert rows(tmp_path) == ({
      'mean_loss': (40, 0.5), 'images_per_second': (40, 80.5),
      'last_mean_IoU': (40, 0.75), 'best_mean_IoU': (40, 0.8), 'best_step': (40, 20.0),
      'validation_loss': (40, 0.3)}, status, 1)


def test_a_continued_run_has_one_row(tmp_path):
  for error in (diagnostics.UserError('no disk'), None):
    row = hparams.HParams(str(tmp_path), PARAMETERS, lambda: RESULTS)
    row.__enter__()
    row.__exit__(type(error), error, None)
  assert rows(tmp_path)[1:] == (hparams_messages.SUCCESS, 1)


def test_a_folder_that_cannot_be_written_costs_one_line(tmp_path, capsys):
  (tmp_path / 'hparams').write_text('a file')
  with hparams.HParams(str(tmp_path), PARAMETERS, lambda: RESULTS) as row:
    row.after_save(None, 3, 'model.ckpt-3')
  assert capsys.readouterr().out.count('the row of the HParams table') == 1


def test_tensorboard_shows_the_runs_of_a_folder(digits_dir, tmp_path):
  """By the handlers of its HParams plugin."""
  pytest.importorskip('tensorboard', reason='needs TensorBoard, which is an extra')
  from tensorboard.backend.event_processing import (
      data_provider,
      plugin_event_multiplexer,
  )
  from tensorboard.context import RequestContext
  from tensorboard.plugins import base_plugin
  from tensorboard.plugins.hparams import (
      api_pb2,
      backend_context,
      get_experiment,
      list_session_groups,
  )
  slim_zoo.train(**on_digits(digits_dir), train_dir=tmp_path / 'trained', batch_size=8,
                 max_number_of_steps=2, validation_split_name='test',
                 label_smoothing=0.1)
  with hparams.HParams(str(tmp_path / 'running'), {'learning_rate': 3.0}, dict):
    multiplexer = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(
        str(tmp_path))
    multiplexer.Reload()
  provider = data_provider.MultiplexerDataProvider(multiplexer, str(tmp_path))
  context = backend_context.Context(base_plugin.TBContext(
      data_provider=provider, multiplexer=multiplexer))
  experiment = get_experiment.Handler(
      RequestContext(), context, '', api_pb2.GetExperimentRequest()).run()
  assert {'learning_rate', 'optimizer', 'model_name', 'dataset_name', 'batch_size',
          'label_smoothing', 'seed'} <= {info.name for info in experiment.hparam_infos}
  assert {info.name.tag for info in experiment.metric_infos} == {
      'mean_loss', 'images_per_second', 'best_accuracy', 'best_step', 'last_accuracy',
      'validation_loss'}
  answer = list_session_groups.Handler(
      RequestContext(), context, '', api_pb2.ListSessionGroupsRequest(
          start_index=0, slice_size=10, allowed_statuses=[
              api_pb2.STATUS_SUCCESS, api_pb2.STATUS_UNKNOWN])).run()
  found = {group.name: group for group in answer.session_groups}
  assert set(found) == {'trained/hparams', 'running/hparams'}
  assert found['trained/hparams'].hparams['learning_rate'].number_value == 0.001
  assert found['running/hparams'].hparams['learning_rate'].number_value == 3.0
  session, = found['trained/hparams'].sessions
  assert session.status == api_pb2.STATUS_SUCCESS
  values = {value.name.tag: value.value for value in session.metric_values}
  card = json.loads((tmp_path / 'trained' / 'run_card.json').read_text())
  assert values['best_accuracy'] == pytest.approx(
      card['results']['validation']['best']['score'])
  assert found['running/hparams'].sessions[0].status == api_pb2.STATUS_UNKNOWN
