"""The description of a run that is printed before its first step."""

from slim_zoo.tf_compat import slim, tf


def show(rows: list[tuple[str, str | list[str]]]) -> None:
  """Prints (name, text) rows as two columns; a list of texts as lines of one name."""
  width = max(len(name) for name, _ in rows)
  for name, texts in rows:
    for text in [texts] if isinstance(texts, str) else texts:
      print(f'{name:<{width}}  {text}', flush=True)
      name = ''


def millions(count: int) -> str:
  """Returns a count as people say it: '812', '61.7 K' or '25.6 M'."""
  for size, unit in ((10**6, ' M'), (10**3, ' K')):
    if count >= size:
      return f'{count / size:.3g}{unit}'
  return str(count)


def parameter_counts(trained: list) -> dict[str, int]:
  """Returns how many numbers the default graph has, by kind.

  Args:
    trained: the variables that are trained.
  """
  count = lambda chosen: sum(variable.shape.num_elements() for variable in chosen)
  trainable = {variable.ref() for variable in tf.trainable_variables()}
  network = slim.get_model_variables()
  weights = [variable for variable in network if variable.ref() in trainable]
  return {'total': count(weights), 'trained': count(trained),
          'statistics': count(network) - count(weights),
          'in_a_checkpoint': count(tf.global_variables())}


def parameters(trained: list) -> str:
  """Returns how many weights the network in the default graph has, in words.

  Statistics, such as batch norm's moving averages, are no parameters.

  Args:
    trained: the variables that are trained.
  """
  counts = parameter_counts(trained)
  return (f'{millions(counts["total"])} parameters, {millions(counts["trained"])} of'
          ' them trained')
