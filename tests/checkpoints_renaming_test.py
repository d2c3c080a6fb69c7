"""Rules that rename the variables of a checkpoint; needs no TensorFlow."""

import pytest

from slim_zoo import diagnostics
from slim_zoo.checkpoints import renaming

AVERAGE = '/ExponentialMovingAverage'


def rename(names, *rules):
  return renaming.rename(names, renaming.parse(rules), 'a.ckpt')


@pytest.mark.parametrize(('rule', 'names', 'expected'), [
    ('vgg=vgg_16', {'vgg/conv1/weights', 'vgg_b/w'},
     {'vgg_16/conv1/weights': 'vgg/conv1/weights', 'vgg_b/w': 'vgg_b/w'}),
    ('model/net=Net', {'model/net/w'}, {'Net/w': 'model/net/w'}),
    ('module/=', {'module/Net/w'}, {'Net/w': 'module/Net/w'}),
    ('module=', {'module/Net/w', 'other/w'},
     {'Net/w': 'module/Net/w', 'other/w': 'other/w'}),
    ('module.=', {'module.Net/w'}, {'Net/w': 'module.Net/w'}),
    ('module.=top', {'module.Net/w'}, {'top/Net/w': 'module.Net/w'}),
    ('module/=top', {'module/w'}, {'top/w': 'module/w'}),
    ('=Net', {'conv/w'}, {'Net/conv/w': 'conv/w'}),
    ('=Net/', {'conv/w'}, {'Net/conv/w': 'conv/w'}),
    ('a/w=b/v', {'a/w', 'a/w/Adam'}, {'b/v': 'a/w', 'b/v/Adam': 'a/w/Adam'}),
    ('/kernel=/weights', {'a/kernel', 'a/bias'},
     {'a/weights': 'a/kernel', 'a/bias': 'a/bias'}),
])
def test_a_rule_renames_whole_parts_of_names(rule, names, expected):
  assert rename(names, rule) == expected


def test_without_rules_names_stay():
  assert rename(['a/w', 'b']) == {'a/w': 'a/w', 'b': 'b'}


def test_each_rule_applies_once_and_one_at_each_end():
  assert rename(['a/kernel', 'b/kernel'], 'a=b', 'b=a', '/kernel=/w') == {
      'b/w': 'a/kernel', 'a/w': 'b/kernel'}


def test_the_average_takes_the_place_of_its_weight():
  names = ['m/x', 'm/x' + AVERAGE, 'm/x/Momentum', 'm/y']
  assert rename(names, 'm=', f'{AVERAGE}=') == {
      'x': 'm/x' + AVERAGE, 'x/Momentum': 'm/x/Momentum', 'y': 'm/y'}


@pytest.mark.parametrize(('names', 'rules', 'words'), [
    (['resnet/w'], ['resnt=net'], ["'resnt' matches nothing", "did you mean 'resnet'"]),
    (['resnet/w'], ['res=net'], ["'res' matches nothing"]),
    (['a/w' + AVERAGE], ['/ExponentialMovingAverag='],
     ["mean '/ExponentialMovingAverage'"]),
    (['a/w', 'b/w'], ['a=b'], ["'a/w' and 'b/w'", "both be 'b/w'"]),
    (['a/w/x', 'a/w/y'], ['/x=', '/y='], ["both be 'a/w'"]),
    (['a/w'], ['a'], ["'a' is not a rule", 'OLD=NEW']),
    (['a/w'], ['a=a'], ['is not a rule']),
    (['a/w'], ['a=b=c'], ['is not a rule']),
    (['a/w'], ['a=b', 'a=c'], ["two rules for 'a'"]),
])
def test_rules_that_cannot_be_meant(names, rules, words):
  with pytest.raises(diagnostics.UserError) as caught:
    rename(names, *rules)
  for word in words:
    assert word in str(caught.value)
