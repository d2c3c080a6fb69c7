"""Pictures as data URLs: addresses that hold the picture, for a page in one file."""

import base64
import io
from typing import Any

from PIL import Image


def of(image: Image.Image, kind: str, **options: Any) -> str:
  """Returns a picture as a data URL.

  Args:
    image: of a mode that the format has.
    kind: of the format, 'PNG' or 'JPEG'.
    **options: for Pillow's encoder, such as the quality.
  """
  encoded = io.BytesIO()
  image.save(encoded, kind, **options)
  data = base64.b64encode(encoded.getvalue()).decode()
  return f'data:image/{kind.lower()};base64,{data}'
