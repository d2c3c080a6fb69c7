"""tf.contrib.training.HParams: named values of a run, with their types."""

import json
import re

_PAIR = re.compile(
    r'\s*(?P<name>[A-Za-z_][\w.]*)(\[(?P<index>\d+)\])?\s*=\s*'
    r'(\[(?P<values>[^\]]*)\]|(?P<value>[^,\[]*))\s*(,|$)')
_BOOLEANS = {'true': True, '1': True, 'false': False, '0': False}


def parse_values(values: str, type_map: dict[str, type]) -> dict:
  """Returns the values of a text such as 'rate=0.1,layers=[3,4],layers[0]=5'.

  Args:
    values: pairs, separated by commas. A value in brackets is a list; an index gives a
      dict {index: value}.
    type_map: the type of each name: int, float, bool or str.

  Raises:
    ValueError: a name is unknown, given twice, or its value has another type.
  """
  result, position = {}, 0
  while position < len(values):
    pair = _PAIR.match(values, position)
    if not pair:
      raise ValueError(f"cannot read '{values[position:]}': expected name=value pairs,"
                       ' separated by commas')
    position = pair.end()
    name, index = pair['name'], pair['index']
    if name not in type_map:
      raise ValueError(f"unknown hyperparameter '{name}': known are"
                       f" {', '.join(sorted(type_map))}")
    if pair['values'] is not None:
      if index is not None:
        raise ValueError(f'{name}[{index}] is one value: expected no list')
      parts = pair['values'].split(',') if pair['values'].strip() else []
      value = [_converted(name, part.strip(), type_map[name]) for part in parts]
    else:
      value = _converted(name, pair['value'].strip(), type_map[name])
    if index is not None:
      given = result.setdefault(name, {})
      if not isinstance(given, dict) or int(index) in given:
        raise ValueError(f"the hyperparameter '{name}' is given twice in '{values}'")
      given[int(index)] = value
    elif name in result:
      raise ValueError(f"the hyperparameter '{name}' is given twice in '{values}'")
    else:
      result[name] = value
  return result


def _converted(name, value, kind):
  """Returns a text or a value as one of type `kind`.

  Raises:
    ValueError: it has another type.
  """
  error = ValueError(f"the hyperparameter '{name}' is {value!r}: expected"
                     f' {getattr(kind, "__name__", kind)}')
  if value is None or kind is type(None):
    return value
  if kind is bool:
    if isinstance(value, bool):
      return value
    if str(value).lower() not in _BOOLEANS:
      raise error
    return _BOOLEANS[str(value).lower()]
  if kind is str:
    if not isinstance(value, str):
      raise error
    return value
  if isinstance(value, bool) or (kind is int and isinstance(value, float)):
    raise error
  try:
    return kind(value)
  except (TypeError, ValueError):
    raise error from None


class HParams:
  """Named values, each with the type of its first value; also read as attributes.

  A value is an int, float, bool, str, None, a function, or a list of one type.

  Args:
    hparam_def: not supported: a proto of TensorFlow 1.
    model_structure: any object, kept for the caller.
    **kwargs: the values by name.
  """

  def __init__(self, hparam_def=None, model_structure=None, **kwargs):
    if hparam_def is not None:
      raise ValueError('HParams(hparam_def=...): the proto is not in this TensorFlow;'
                       ' expected the values as arguments')
    self._hparam_types = {}
    self._model_structure = model_structure
    for name, value in kwargs.items():
      self.add_hparam(name, value)

  def add_hparam(self, name, value):
    """Adds a value under a new name; its type is that of the later values.

    Raises:
      ValueError: the name exists, or the list is empty.
    """
    if getattr(self, name, None) is not None:
      raise ValueError(f"the hyperparameter '{name}' is there already, or is the name"
                       ' of a method: choose another name')
    if isinstance(value, (list, tuple)):
      if not value:
        raise ValueError(f"the hyperparameter '{name}' is an empty list: expected at"
                         ' least one value, for its type')
      self._hparam_types[name] = (type(value[0]), True)
    else:
      self._hparam_types[name] = (type(value), False)
    setattr(self, name, value)

  def set_hparam(self, name, value):
    """Sets an existing value.

    Raises:
      KeyError: there is no such name.
      ValueError: the value has another type.
    """
    kind, is_list = self._hparam_types[name]
    if isinstance(value, (list, tuple)) != is_list and kind is not type(None):
      raise ValueError(f"the hyperparameter '{name}' is {value!r}: expected"
                       f" {'a list' if is_list else 'one value'}")
    if is_list:
      value = [_converted(name, part, kind) for part in value]
    elif not callable(value):
      value = _converted(name, value, kind)
    setattr(self, name, value)

  def del_hparam(self, name):
    """Removes a value, if it is there."""
    if hasattr(self, name):
      delattr(self, name)
      del self._hparam_types[name]

  def parse(self, values):
    """Sets the values of a text, see `parse_values`; returns this object."""
    kinds = {name: kind for name, (kind, _) in self._hparam_types.items()}
    for name, value in parse_values(values, kinds).items():
      if isinstance(value, dict):
        changed = list(getattr(self, name))
        for index, part in value.items():
          changed[index] = part
        value = changed
      self.set_hparam(name, value)
    return self

  def override_from_dict(self, values_dict):
    """Sets the values of a dict; returns this object."""
    for name, value in values_dict.items():
      self.set_hparam(name, value)
    return self

  def set_from_map(self, values_map):
    """Does the same as `override_from_dict`, by its older name."""
    return self.override_from_dict(values_map)

  def parse_json(self, values_json):
    """Sets the values of a JSON object; returns this object."""
    return self.override_from_dict(json.loads(values_json))

  def to_json(self, indent=None, separators=None, sort_keys=False):
    """Returns the values as JSON, without functions."""
    return json.dumps({name: value for name, value in self.values().items()
                       if not callable(value)},
                      indent=indent, separators=separators, sort_keys=sort_keys)

  def values(self):
    """Returns {name: value}."""
    return {name: getattr(self, name) for name in self._hparam_types}

  def get(self, key, default=None):
    """Returns a value, or the default if there is none of this name."""
    return getattr(self, key) if key in self._hparam_types else default

  def get_model_structure(self):
    """Returns the object that was given for the caller."""
    return self._model_structure

  def set_model_structure(self, model_structure):
    """Keeps an object for the caller."""
    self._model_structure = model_structure

  def __contains__(self, key):
    return key in self._hparam_types

  def __str__(self):
    return str(sorted(self.values().items()))

  def __repr__(self):
    return f'HParams({self})'
