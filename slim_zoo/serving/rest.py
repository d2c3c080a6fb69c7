"""The REST interface of TensorFlow Serving: its requests, answers and status codes.

    GET  /v1/models/NAME                    the version and its status
    GET  /v1/models/NAME/metadata           the signatures
    POST /v1/models/NAME:predict            {"instances": [...]}, {"inputs": ...}

An address may name the version, such as /v1/models/NAME/versions/1. "RESTful API",
www.tensorflow.org/tfx/serving/api_rest, describes the format.
"""

import base64
import binascii
import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.serving import messages
from slim_zoo.serving.messages import Request, RequestError, Response
from slim_zoo.serving.predictor import Predictor
from slim_zoo.serving.request_limits import RequestSlots
from slim_zoo.serving.signatures import Signature

PREFIX = '/v1/'
DEFAULT_SIGNATURE = 'serving_default'
MAX_INSTANCES = 1000
_PATH = re.compile(
    r'/v1/models/(?P<name>[^/:]+)(/versions/(?P<version>[0-9]{1,18})'
    r'|/labels/(?P<label>[^/:]+))?(?P<action>/metadata|:[a-z]+)?')
# A whole number with more digits becomes a float, because int() is slow for it.
_MAX_DIGITS = 18
_PREDICT = 'tensorflow/serving/predict'


class RestApi:
  """Answers the requests below /v1/.

  Args:
    predictor: computes the answers.
    name: name of the model in the address.
    version: version of the model.
    slots: limits the number of requests that are computed at the same time.
  """

  def __init__(self, predictor: Predictor, name: str, version: int,
               slots: RequestSlots):
    self._predictor, self._name, self._version = predictor, name, version
    self._slots = slots

  def answer(self, request: Request) -> Response:
    """Returns the response to a request.

    Raises:
      RequestError: 400 for a wrong request, 404 for another model or version, 503 if
        there are too many requests.
    """
    match = _PATH.fullmatch(request.path)
    if not match:
      raise _malformed(request)
    self._check_model(match)
    known = {('GET', None): self._status, ('GET', '/metadata'): self._metadata,
             ('POST', ':predict'): self._predict,
             ('POST', ':classify'): self._no_method,
             ('POST', ':regress'): self._no_method}
    method = 'GET' if request.method == 'HEAD' else request.method
    if (method, match['action']) not in known:
      raise _malformed(request)
    return known[method, match['action']](request)

  def _check_model(self, match):
    if match['name'] != self._name:
      raise RequestError(
          404, f"no model '{match['name']}': the model here is '{self._name}'")
    if match['label'] or (match['version'] and int(match['version']) != self._version):
      version = match['label'] or match['version']
      raise RequestError(404, f"no version '{version}' of the model '{self._name}': its"
                         f' version is {self._version}')

  def _no_method(self, request):
    method = request.path.rsplit(':', 1)[1]
    raise RequestError(400, f"the signatures of this model are for ':predict', not for"
                       f" ':{method}'")

  def _status(self, unused_request):
    return messages.as_json({'model_version_status': [{
        'version': str(self._version), 'state': 'AVAILABLE',
        'status': {'error_code': 'OK', 'error_message': ''}}]})

  def _metadata(self, unused_request):
    signatures = {name: {
        'inputs': {signature.alias: _tensor(
            signature.alias, signature.dtype, signature.shape)},
        'outputs': {
            'probabilities': _tensor(
                'probabilities', 'DT_FLOAT', [-1, len(self._predictor.class_names)]),
            'classes': _tensor('classes', 'DT_INT64', [-1]),
            'labels': _tensor('labels', 'DT_STRING', [-1])},
        'method_name': _PREDICT} for name, signature in
                  self._predictor.signatures.items()}
    return messages.as_json({
        'model_spec': {'name': self._name, 'signature_name': '',
                       'version': str(self._version)},
        'metadata': {'signature_def': {'signature_def': signatures}}})

  def _predict(self, request):
    body = request.read()
    with self._slots.take():
      call = parse(body, self._predictor.signatures)
      answers = self._predictor.answers(call.signature_name, call.values)
    if call.is_columnar:
      return messages.as_json({'outputs': answers})
    return messages.as_json({'predictions': [
        dict(zip(answers, row, strict=True))
        for row in zip(*answers.values(), strict=True)]})


def _malformed(request):
  return RequestError(400, f'malformed request: {request.method} {request.path}')


def _tensor(name, dtype, shape):
  """Returns the metadata of a tensor."""
  return {'dtype': dtype, 'name': name, 'tensor_shape': {
      'dim': [{'size': str(size), 'name': ''} for size in shape],
      'unknown_rank': False}}


@dataclasses.dataclass(frozen=True)
class Call:
  """A predict request.

  Attributes:
    signature_name: name of the signature.
    values: values of its input: image files as bytes; or an array [instances, ...] of
      its type.
    is_columnar: whether the answer has 'outputs' in place of 'predictions'.
  """

  signature_name: str
  values: list[bytes] | np.ndarray
  is_columnar: bool


def parse(body: bytes, signatures: dict[str, Signature]) -> Call:
  """Returns a predict request.

  Args:
    body: JSON text.
    signatures: signatures of the model by name.

  Raises:
    RequestError: 400, the body is not a predict request.
  """
  request = _json(body)
  if not isinstance(request, dict):
    raise RequestError(
        400, 'the request is not a JSON object: expected {"instances": [...]}')
  if ('instances' in request) == ('inputs' in request):
    raise RequestError(
        400, "expected either 'instances' or 'inputs' in the JSON object")
  name = request.get('signature_name', DEFAULT_SIGNATURE)
  if not isinstance(name, str) or name not in signatures:
    raise RequestError(400, f'no signature {json.dumps(name)[:100]}: this model has'
                       f" {', '.join(signatures)}")
  signature = signatures[name]
  is_columnar = 'inputs' in request
  rows = (_of_columns if is_columnar else _of_rows)(
      request['inputs' if is_columnar else 'instances'], signature)
  if not isinstance(rows, list) or not rows:
    raise RequestError(400, 'expected a list of at least one instance')
  if len(rows) > MAX_INSTANCES:
    raise RequestError(
        400, f'{len(rows):,} instances: expected {MAX_INSTANCES:,} or fewer')
  values = [_file(row, place) for place, row in enumerate(rows)] if (
      signature.is_of_files) else _array(rows, signature)
  return Call(name, values, is_columnar)


def _json(body):
  try:
    return json.loads(body, parse_constant=_no_constant, parse_int=_whole_number)
  except (ValueError, RecursionError) as error:
    reason = ('nested too deeply' if isinstance(error, RecursionError) else
              diagnostics.printable(str(error)))
    raise RequestError(400, f'the request is not JSON: {reason}') from error


def _no_constant(text):
  raise ValueError(f'{text} is not a JSON number')


def _whole_number(text):
  return int(text) if len(text) <= _MAX_DIGITS else float(text)


def _of_columns(inputs, signature):
  """Returns the values of the input in a request with 'inputs'."""
  if isinstance(inputs, dict):
    _check_names(inputs, signature)
    return inputs[signature.alias]
  return inputs


def _of_rows(instances, signature):
  """Returns the values of the input in a request with 'instances'."""
  if not isinstance(instances, list):
    return instances
  rows = []
  for instance in instances:
    if isinstance(instance, dict) and set(instance) != {'b64'}:
      _check_names(instance, signature)
      instance = instance[signature.alias]
    rows.append(instance)
  return rows


def _check_names(inputs, signature):
  if set(inputs) != {signature.alias}:
    names = diagnostics.some([messages.quoted(name)[:50] for name in inputs])
    raise RequestError(
        400, f"inputs {names or '(none)'}: expected '{signature.alias}'")


def _file(row, place):
  """Returns the bytes of one instance."""
  if isinstance(row, str):
    return row.encode(errors='replace')
  if not isinstance(row, dict) or set(row) != {'b64'} or not isinstance(
      row['b64'], str):
    raise RequestError(
        400, f'instance {place}: expected an image file as {{"b64": "..."}}')
  try:
    return base64.b64decode(row['b64'], validate=True)
  except (binascii.Error, ValueError) as error:
    raise RequestError(400, f'instance {place}: its b64 is not base64 ({error})'
                       ) from error


def _array(rows: Sequence[Any], signature: Signature) -> np.ndarray:
  """Returns the numbers of all instances."""
  allowed = {int} if signature.dtype == 'DT_UINT8' else {int, float}
  shape = signature.shape[1:]
  for place, row in enumerate(rows):
    # Checked first, because NumPy may need much memory for texts and uneven lists.
    if not _has_shape(row, shape, allowed):
      kind = 'whole numbers' if len(allowed) == 1 else 'numbers'
      raise RequestError(
          400, f'instance {place}: expected {kind} of the shape {list(shape)}')
  try:
    numbers = np.array(rows, np.float64)
  except OverflowError as error:
    raise RequestError(400, 'a number is too large') from error
  if signature.dtype == 'DT_UINT8':
    if numbers.min() < 0 or numbers.max() > 255:
      raise RequestError(400, 'expected numbers from 0 to 255')
    return numbers.astype(np.uint8)
  with np.errstate(over='ignore'):
    values = numbers.astype(np.float32)
  if not np.isfinite(values).all():
    raise RequestError(400, 'a number is too large')
  return values


def _has_shape(value, shape, types):
  """Returns whether nested lists have a shape and only numbers of these types."""
  if not isinstance(value, list) or len(value) != shape[0]:
    return False
  if len(shape) == 1:
    return set(map(type, value)) <= types
  return all(_has_shape(part, shape[1:], types) for part in value)
