"""The Python interface: several runs in one process, in a thread, wrong arguments."""

import inspect
import json
import subprocess
import sys
import threading

import pytest
from PIL import Image

import slim_zoo
from tests.conftest import ROOT, on_digits


def train(digits_dir, train_dir, steps, **more):
  return slim_zoo.train(
      **on_digits(digits_dir), train_dir=train_dir, max_number_of_steps=steps,
      save_summaries_secs=0, **more)


def test_runs_follow_each_other_in_one_process(digits_dir, tmp_path, capsys):
  first = train(digits_dir, tmp_path / 'first', 3, validation_split_name='test')
  assert (first.step, first.end, first.was_finished) == (3, 'done', False)
  assert first.validation['last']['step'] == 3
  train(digits_dir, tmp_path / 'second', 2)
  results = []
  thread = threading.Thread(target=lambda: results.append(
      train(digits_dir, tmp_path / 'first', 4)))
  thread.start()
  thread.join()
  assert results[0].step == 4
  assert train(digits_dir, tmp_path / 'first', 4).was_finished
  assert 'resumes step 3' in capsys.readouterr().out
  card = (tmp_path / 'second' / 'run_card.md').read_text()
  assert "slim_zoo.train(dataset_name='digits'" in card


def test_commands_follow_each_other_in_one_process(digits_dir, tmp_path, capsys):
  # The first run is deterministic: that ends with it.
  for name, options in (('first', {'deterministic': True}), ('second', {})):
    run = tmp_path / name
    train(digits_dir, run, 2, **options)
    result = slim_zoo.evaluate(
        checkpoint_path=run, dataset_name='digits', dataset_dir=digits_dir,
        eval_dir=run / 'eval', max_num_batches=1)
    assert (result.step, result.num_images) == (2, 100)
    assert result.accuracy == result.num_correct / 100
    assert str(result).startswith(f'{result.num_correct}.00%, {result.num_correct} of')
    assert len(repr(result)) < 1000
    assert sum(row['images'] for row in result.per_class) == 100
    assert result.per_class[3]['name'] == 'three'
    written = json.loads((run / 'eval' / 'report' / 'report.json').read_text())
    assert written['top1'] == result.values['top1']
    assert written['run']['command'].startswith(
        f"slim_zoo.evaluate(checkpoint_path='{run}', dataset_name='digits'")
  classify_export_and_inspect(run, tmp_path / 'image.png')
  assert 'model_name=lenet' in capsys.readouterr().out  # Of the run card.


def classify_export_and_inspect(run, image):
  Image.new('L', (28, 28), 90).save(image)
  broken = image.with_name('broken.png')
  broken.write_bytes(b'text')
  first, second = slim_zoo.classify([image, broken], checkpoint_path=run, top_k=3)
  assert (len(first.classes), first.path, first.refused) == (3, str(image), None)
  assert first.classes[0].probability >= first.classes[1].probability
  assert first.classes[0].name in ('zero', 'one', 'two', 'three', 'four', 'five', 'six',
                                   'seven', 'eight', 'nine')
  assert (second.classes, second.path) == ((), str(broken))
  assert second.refused
  result = slim_zoo.export(
      checkpoint_path=run, export_dir=run / 'export', format=['frozen_graph'],
      images=[image], num_images=1)
  (file,) = result.files
  assert (file.format, file.path) == ('frozen_graph', f'{run}/export/frozen_graph.pb')
  assert file.passed
  assert file.parity[0].num_images == 1
  assert result.network.class_names[3] == 'three'
  facts = slim_zoo.inspect(checkpoint_path=run)
  assert (facts.network, facts.num_classes, facts.global_step, facts.not_finite) == (
      'lenet', 10, 2, [])
  assert '--model_name=lenet' in facts.commands['classify']
  assert f'{run}/model.ckpt-2' in facts.description


def test_commands_work_in_a_thread(trained_dir, digits_dir, tmp_path):
  """Before them nothing of TensorFlow is imported; no signal handler is set."""
  code = f"""
import threading, slim_zoo
def work():
  accuracy = slim_zoo.evaluate(
      checkpoint_path={str(trained_dir)!r}, dataset_name='digits', max_num_batches=1,
      dataset_dir={str(digits_dir)!r}, eval_dir={str(tmp_path)!r}).accuracy
  facts = slim_zoo.inspect(checkpoint_path={str(trained_dir)!r})
  print('in a thread:', accuracy > 0.1, facts.network)
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
  done = subprocess.run([sys.executable, '-c', code], text=True, capture_output=True,
                        check=False, cwd=ROOT)
  assert 'in a thread: True lenet' in done.stdout, done.stderr
  # No line of TensorFlow.
  assert all(line.startswith('evaluating: ') for line in done.stderr.splitlines())


def test_the_signatures_show_the_arguments_and_their_defaults():
  parameters = inspect.signature(slim_zoo.train).parameters
  assert parameters['batch_size'].default == 32
  parameters = inspect.signature(slim_zoo.classify).parameters
  assert next(iter(parameters)) == 'images'
  assert parameters['top_k'].default == 5


def test_a_smoke_test_needs_no_data_and_keeps_nothing(tmp_path, capsys):
  result = slim_zoo.train(
      model_name='lenet', dataset_name='mnist', train_dir=tmp_path / 'run', smoke=True,
      labels_offset=1, validation_share=0.1, checkpoint_path='elsewhere/model.ckpt-7',
      num_clones=2)
  assert result.step == 2
  assert 'it does not test --checkpoint_path, --num_clones\n' in capsys.readouterr().out
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(('function', 'options', 'words'), [
    ('train', {'modelname': 'lenet'}, "did you mean 'model_name'?"),
    ('train', {'lr': 0.1}, "no option 'lr'; did you mean 'learning_rate'?"),
    ('train', {'epochs': 3}, "did you mean 'max_number_of_steps'?"),
    ('train', {'model_name': 'lennet', 'dataset_dir': '.'}, "did you mean 'lenet'?"),
    ('train', {'train_dir': 'gs://bucket/run'}, "'gs://bucket/run' is a remote path"),
    ('evaluate', {'logdir': 'x'}, "no option 'logdir'; did you mean 'eval_dir'?"),
    ('train', {'quantize_weight_bits': 1}, '--quantize_weight_bits=1'),
    ('evaluate', {'dataset_name': 'digits', 'dataset_dir': 'nowhere'}, "'nowhere'"),
    ('robustness', {'corruption': 'fog'}, "did you mean 'corruptions'?"),
    ('robustness', {'checkpoint_path': 'x', 'dataset_name': 'digits',
                    'dataset_dir': 'nowhere'}, "'nowhere'"),
    ('classify', {'images': [], 'checkpoint_path': 'x'}, 'no images: name files'),
    ('classify', {'images': 'a.png', 'ckpt': 'x'}, "did you mean 'checkpoint_path'?"),
    ('classify', {'images': 'a.png', 'checkpoint_path': 'x'}, "'x'"),
    ('classify', {'images': 'https://host/a.png'}, 'is a remote path (https)'),
    ('export', {'out_dir': 'x'}, "no option 'out_dir'; did you mean 'export_dir'?"),
    ('export', {'format': 'tflight'}, "did you mean 'tflite'?"),
    ('export', {'format': 3}, '--format=3: expected a text'),
    ('inspect', {'weights': 'x'}, "did you mean 'checkpoint_path'?"),
    ('inspect', {}, 'no --checkpoint_path'),
    ('inspect', {'checkpoint_path': 'x', 'json': True}, '--json is for the command'),
])
def test_a_mistake_raises_an_error_of_one_line(
    function, options, words, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(slim_zoo.UserError) as error:
    getattr(slim_zoo, function)(**options)
  assert words in str(error.value)
  assert '\n' not in str(error.value)
  assert list(tmp_path.iterdir()) == []
