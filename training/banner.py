"""What a run says of itself before its first step."""

from checkpoints import restore
from tf_compat import tf


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


def parameters(trainable_scopes: list[str], variables) -> tuple[int, int]:
  """Returns how many weights are trained, and how many the network has.

  Statistics, such as batch norm's moving averages, are no parameters.
  """
  count = lambda chosen: sum(variable.shape.num_elements() for variable in chosen)
  trainable = {variable.ref() for variable in tf.trainable_variables()}
  return (count(restore.variables_to_train(trainable_scopes)),
          count(variable for variable in variables if variable.ref() in trainable))
