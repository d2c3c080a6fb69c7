"""The addresses of the web server: the page, its photos, and the REST interface.

    GET  /              the page, and its files
    GET  /model.json    facts about the model, for the page
    POST /classify      the body is an image file; returns classes and pictures as JSON
    /v1/                see `rest`
"""

import dataclasses
import pathlib

from slim_zoo.serving import messages, photo_answer, rest
from slim_zoo.serving.messages import Request, RequestError, Response
from slim_zoo.serving.origins import Origins
from slim_zoo.serving.predictor import Predictor
from slim_zoo.serving.request_limits import RequestSlots

_FOLDER = pathlib.Path(__file__).parent / 'page'
# The files of the page by their path: name in the package, content type.
_FILES = {'/': ('index.html', 'text/html; charset=utf-8'),
          '/page.css': ('page.css', 'text/css; charset=utf-8'),
          '/page.js': ('page.js', 'text/javascript; charset=utf-8')}
# A browser loads only files of this server and stores nothing. Other sites cannot show
# the page in a frame or read a response.
HEADERS = {
    'Content-Security-Policy':
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        " img-src 'self' data: blob:; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'",
    'X-Content-Type-Options': 'nosniff', 'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Cross-Origin-Opener-Policy': 'same-origin', 'Cache-Control': 'no-store'}


@dataclasses.dataclass(frozen=True)
class ServedModel:
  """The facts about the model that the page shows.

  Attributes:
    served_name: name of the model in the address of requests.
    source: name of the checkpoint or of the export, without folders.
    network: name of the network; None for an export.
    num_classes: number of classes.
    image_size: height and width of the network's input; None: not known.
    top_k: number of most probable classes that are shown.
    max_request_bytes: largest size of a file.
    explanation: a line about the pictures beside the classes, or why there are none.
    has_requests: whether programs may send requests.
  """

  served_name: str
  source: str
  network: str | None
  num_classes: int
  image_size: int | None
  top_k: int
  max_request_bytes: int
  explanation: str
  has_requests: bool


class Application:
  """Answers requests.

  Args:
    predictor: computes the answers.
    model: the facts about the model that the page shows.
    version: version of the model in the REST interface.
    origins: checks the host names and web sites of requests.
    slots: limits the number of requests that are computed at the same time.
  """

  def __init__(self, predictor: Predictor, model: ServedModel, version: int,
               origins: Origins, slots: RequestSlots):
    self._predictor, self._model = predictor, model
    self._origins, self._slots = origins, slots
    self._rest = rest.RestApi(predictor, model.served_name, version, slots)
    self._answers = {
        path: Response(200, (_FOLDER / name).read_bytes(), kind)
        for path, (name, kind) in _FILES.items()}
    self._answers['/model.json'] = messages.as_json(dataclasses.asdict(model))

  def __call__(self, request: Request) -> Response:
    """Returns the response to a request; may raise RequestError."""
    self._origins.check(request.method, request.headers)
    if request.path.startswith(rest.PREFIX):
      if not self._predictor.signatures:
        raise RequestError(
            501, 'this server shows masks only on its page: use slim-zoo export and'
            ' TensorFlow Serving for requests of programs')
      return self._rest.answer(request)
    if request.path == '/classify':
      _check_method(request, 'POST')
      return self._classify(request)
    if request.path not in self._answers:
      raise RequestError(404, f"there is no '{request.path}' here")
    _check_method(request, 'GET', 'HEAD')
    return self._answers[request.path]

  def _classify(self, request):
    data = request.read()
    with self._slots.take():
      answer = self._predictor.classify(data)
      return messages.as_json(photo_answer.values(
          answer, self._predictor.class_names, self._model.top_k))


def _check_method(request, *methods):
  if request.method not in methods:
    raise RequestError(
        405, f"'{request.path}' takes {' and '.join(methods)}, not {request.method}",
        {'Allow': ', '.join(methods)})
