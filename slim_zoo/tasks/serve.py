"""The web server of a model: `serve(config, listener)` answers requests."""

import contextlib
import os
import socket
import sys

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.config.serving import ServeConfig
from slim_zoo.images import mask_files
from slim_zoo.prediction import answers, checkpoint_model, classifier
from slim_zoo.serving import application, http_server, listening, signatures
from slim_zoo.serving.origins import Origins
from slim_zoo.serving.predictor import Predictor, Settings
from slim_zoo.serving.request_limits import RequestSlots
from slim_zoo.tasks import memory, prediction_models

_MEGA = 1_000_000
_MIN_CONNECTIONS, _CONNECTIONS_PER_SLOT = 16, 4
# The side of the image that is computed before the first request, in pixels.
_FIRST_SIDE = 64


def serve(config: ServeConfig, listener: socket.socket) -> None:
  """Answers requests until a signal ends the program.

  Prints the address to stdout when the model is ready, notes to stderr.

  Args:
    config: what to serve; `config.check()` has been called.
    listener: the socket of `listening.listen`, for the address of the config.

  Raises:
    UserError: the checkpoint or the export cannot be used.
  """
  with contextlib.ExitStack() as stack:
    stack.enter_context(listener)
    with memory.explained(config):
      found = prediction_models.find(config, checkpoint_model.ModelOutputs(
          heat=True, heat_end_point=config.explanation.explain_end_point))
      stack.enter_context(found.model)
      predictor = stack.enter_context(_predictor(config, found))
      _try(found.model)
    server = _server(config, found, predictor, listener)
    _print_address(config, found, listener)
    server.serve()


def _predictor(config, found):
  options = config.prediction
  return Predictor(found.model, found.class_names, _signatures(config, found), Settings(
      options.batch_size, options.num_preprocessing_threads,
      round(config.limits.max_image_megapixels * _MEGA)))


def _signatures(config, found):
  if found.has_masks:
    return None
  if config.exported.export:
    return signatures.ExportSignatures(found.model)
  return signatures.CheckpointSignatures(found.model, config.devices.settings)


def _try(model):
  """Computes one image, so that libraries are loaded and errors come at the start."""
  rows = np.arange(_FIRST_SIDE, dtype=np.uint8)
  image = mask_files.encode(rows[:, np.newaxis] + rows)
  classifier.check_finite(model.predict([model.prepare(image)]).probabilities)


def _server(config, found, predictor, listener):
  limits, address = config.limits, config.address
  max_bytes = int(limits.max_request_mb * _MEGA)
  served = application.ServedModel(
      address.served_name, shown_source(config, found.source), found.network,
      len(found.class_names), getattr(found.model, 'image_size', None),
      config.prediction.top_k, max_bytes, _explanation(config, found),
      has_requests=not found.has_masks)
  names = [address.host, *address.allowed_hosts]
  if not listening.is_loopback(listener):
    names.append(socket.gethostname())
  app = application.Application(
      predictor, served, _version(config, found), Origins(names),
      RequestSlots(limits.max_concurrency))
  return http_server.Server(
      listener, app, http_server.Limits(
          max_bytes, limits.max_concurrency, max_connections=max(
              _MIN_CONNECTIONS, _CONNECTIONS_PER_SLOT * limits.max_concurrency)),
      application.HEADERS, _print_error)


def shown_source(config: ServeConfig, source: str) -> str:
  """Returns the name of the checkpoint or of the export for clients.

  It has no folders, because they may contain names of users and projects. The terminal
  shows the path.

  Args:
    config: the options of the server.
    source: path of the checkpoint, or of the SavedModel, which may be a number.
  """
  return os.path.basename(os.path.abspath(config.exported.export or source))


def _explanation(config, found):
  if found.has_masks:
    return 'The probability of a class is its share of the pixels.'
  if config.exported.export:
    return ('There is no Grad-CAM, because an export cannot compute it. To see it,'
            ' start the server with a checkpoint.')
  return (f'Grad-CAM at {found.model.heat_end_point}: bright regions raise the score of'
          ' the most probable class.')


def _version(config, found):
  """Returns the version number of an export in TensorFlow Serving; else 1."""
  name = os.path.basename(os.path.normpath(found.source))
  return int(name) if config.exported.export and name.isdecimal() else 1


def _print_address(config, found, listener):
  if not listening.is_loopback(listener):
    answers.note(
        f'--host={config.address.host} accepts connections from other machines: there'
        ' is no password and no encryption')
  source = diagnostics.printable(found.source)
  print(f'serving {source} at {listening.url(listener)} (Ctrl-C ends it)', flush=True)


def _print_error(line):
  print(f'slim-zoo serve: {line}', file=sys.stderr, flush=True)
