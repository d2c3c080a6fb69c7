"""Loss scaling: exact where nothing overflows, harmless where something does."""

import numpy as np
import pytest

from slim_zoo.checkpoints import contents
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training.updates import loss_scaling, numerics
from tests.small_updates import BOWLS, build, make, outputs, take, trained, values

# float16 ends at 65504: twice the first scale is beyond it.
SMALLER = loss_scaling.FIRST_SCALE / 2


def steep(num_clones):
  """Adds losses whose gradients pass through float16, and there are 2."""
  for name, start in BOWLS.items():
    variable = slim.model_variable(name, initializer=np.float32(start))
    slope = tf.cast(variable, tf.float16) * 2 * num_clones
    tf.losses.add_loss(tf.reduce_sum(tf.cast(slope, tf.float32)))
  return outputs(tf.zeros([1, 1]))


def scaling_of(step):
  """Returns the scale, the sound updates in a row, and the skipped ones."""
  return tuple(step[f'loss_scaling/{name}']
               for name in ('scale', 'sound_updates', 'skipped_updates'))


@pytest.mark.parametrize(('optimizer', 'options'), [
    ('adam', {'num_clones': 2}), ('adam', {'accumulate_steps': 2}),
    ('adam', {'clip_gradient_norm': 0.5}), ('lars', {}),
    ('adam', {'learning_rate_multipliers': {'a': 0.5}, 'moving_average_decay': 0.9})])
def test_scaled_updates_are_those_of_the_loss_itself(optimizer, options):
  plain = trained(3, make(optimizer), **options)
  scaled = trained(3, make(optimizer), scales_loss=True, **options)
  for name, value in plain.items():
    np.testing.assert_array_equal(scaled[name], value, err_msg=name)
  assert scaling_of(scaled) == (loss_scaling.FIRST_SCALE, 3, 0)
  shapes = {name: np.shape(value) for name, value in scaled.items()}
  # No variable of the network, whatever reads the checkpoint.
  assert set(contents.sort(shapes).weights) == set(BOWLS)
  assert set(scaled) - set(plain) <= set(contents.sort(shapes).others)


@pytest.mark.parametrize(('optimizer', 'options'), [
    ('adam', {'num_clones': 2}), ('adam', {'accumulate_steps': 2}),
    ('adam', {'clip_gradient_norm': 0.5}), ('adamw', {}), ('lars', {}),
    ('momentum', {'learning_rate_multipliers': {'a': 0.5}})])
def test_an_update_that_overflows_is_left_out(optimizer, options):
  tf.reset_default_graph()
  update = build(make(optimizer), lambda: steep(options.get('num_clones', 1)),
                 scales_loss=True, **options)
  with tf.Session() as session:
    session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    first = values(session)
    take(session, update, 1, options.get('accumulate_steps', 1))
    skipped = values(session)
    assert scaling_of(skipped) == (SMALLER, 0, 1)
    assert skipped['global_step'] == 1
    for name, value in first.items():
      if name != 'global_step' and not name.startswith('loss_scaling/'):
        np.testing.assert_array_equal(skipped[name], value, err_msg=name)
    take(session, update, 1, options.get('accumulate_steps', 1))
    taken = values(session)
  assert scaling_of(taken) == (SMALLER, 1, 1)
  assert taken['global_step'] == 2
  for name in BOWLS:
    assert np.all(taken[name] != skipped[name])


def test_the_scale_grows_after_many_sound_updates():
  update = build(make('sgd'), scales_loss=True)
  sound = next(variable for variable in tf.global_variables()
               if variable.op.name == 'loss_scaling/sound_updates')
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    sound.load(loss_scaling.UPDATES_BEFORE_GROWTH - 2, session)
    take(session, update, 1)
    assert scaling_of(values(session))[0] == loss_scaling.FIRST_SCALE
    take(session, update, 1)
    assert scaling_of(values(session)) == (2 * loss_scaling.FIRST_SCALE, 0, 0)


def test_gradients_that_no_scale_mends_end_the_run():
  def hopeless():
    # The root has an infinite slope at 0.
    variable = slim.model_variable('weights', initializer=np.zeros([2], np.float32))
    tf.losses.add_loss(tf.reduce_sum(tf.sqrt(variable)))
    return outputs(tf.zeros([1, 1]))

  update = build(make('sgd'), hopeless, scales_loss=True)
  check = numerics.FiniteCheck()
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    update.scaling.scale.load(2, session)
    take(session, update, 1)
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
      take(session, update, 1)
    answer = str(numerics.explain(raised.value, session, check, 1))
    assert session.run(tf.train.get_global_step()) == 1
  assert 'the gradients are not finite after step 1' in answer
  assert '--precision=bfloat16' in answer
