"""What a run says of itself before its first step."""

from checkpoints import restore
from tf_compat import slim, tf


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


def parameters(trainable_scopes: list[str]) -> str:
  """Returns how many weights the network in the default graph has, in words.

  Statistics, such as batch norm's moving averages, are no parameters.
  """
  count = lambda chosen: sum(variable.shape.num_elements() for variable in chosen)
  trainable = {variable.ref() for variable in tf.trainable_variables()}
  total = count(variable for variable in slim.get_model_variables()
                if variable.ref() in trainable)
  trained = count(restore.variables_to_train(trainable_scopes))
  return f'{millions(total)} parameters, {millions(trained)} of them trained'
