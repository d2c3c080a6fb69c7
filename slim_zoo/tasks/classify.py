"""Classifies image files: `classify(config, files)` yields an answer for each."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from typing import TextIO

from slim_zoo import progress
from slim_zoo.catalog import preprocessing_families, view_kinds
from slim_zoo.config.classification import ClassifyConfig
from slim_zoo.files import staging
from slim_zoo.images import image_files
from slim_zoo.prediction import (
    answers,
    checkpoint_model,
    classifier,
    contact_sheet,
    explanation,
    feature_file,
    predicted_masks,
)
from slim_zoo.prediction.sources import NamedFiles
from slim_zoo.tasks import memory, prediction_models

# The number of images whose sizes are read before the classification.
_SIZED = 8


@dataclasses.dataclass(frozen=True)
class LikelyClass:
  """A class of an image.

  Attributes:
    label: the number of the class, from 0.
    name: of the class.
    probability: 0 to 1.
  """

  label: int
  name: str
  probability: float


@dataclasses.dataclass(frozen=True)
class ClassifiedImage:
  """The answer to one file.

  Attributes:
    path: of the file.
    classes: the `top_k` most probable, in order; () for a file that was skipped. Of a
      segmentation network, the probability is the share of the pixels.
    refused: why the file was skipped; None if it was classified.
    read_as: how the image was changed before, such as 'turned upright'; None if it
      was read as it is.
  """

  path: str
  classes: tuple[LikelyClass, ...]
  refused: str | None = None
  read_as: str | None = None


def classify(config: ClassifyConfig, files: NamedFiles, stream: TextIO | None = None,
             program: str = 'slim_zoo.classify') -> Iterator[ClassifiedImage]:
  """Yields the answer for each file in order; writes the files of the options.

  A few batches are held in memory at a time. Notes and skipped files are printed to
  stderr. The files are complete when the last answer is read.

  Args:
    config: what to do; `config.check()` has been called.
    files: to classify.
    stream: for the answers without an option `output`; None: they are not printed.
    program: the name that the lines on skipped files begin with.

  Raises:
    UserError: the checkpoint or the export cannot be used, or none of several files
      could be classified.
  """
  skipped = answers.Tally(program)
  with (memory.explained(config), staging.created(*config.folders),
        contextlib.ExitStack() as stack):
    model, names = _model(config, files.files)
    stack.enter_context(model)
    extras = _extras(stack, config.answers, files.files, names, model)
    write = _writer(stack, config, names, stream)
    update = _progress(stack, config, files.files, stream)
    thumbnails = next((extra.shown for extra in extras if hasattr(extra, 'shown')), ())
    options = config.prediction
    for done, answer in enumerate(classifier.classify(
        files.files, model,
        view_kinds.images_in_batch(options.batch_size, config.views.tta),
        options.num_preprocessing_threads,
        thumbnails), 1):
      write(answer)
      for receiver in (skipped, *extras):
        receiver.add(answer)
      update(done)
      yield _classified(answer, names, options.top_k)
    for extra in extras:
      extra.finish()
  skipped.finish(files)


def _model(config, paths):
  """Returns (model, names of the classes)."""
  options = config.answers
  found = prediction_models.find(
      config, checkpoint_model.ModelOutputs(
          features=bool(options.features), feature_end_point=options.feature_end_point,
          heat=bool(options.explain), heat_end_point=options.explain_end_point),
      len(paths), config.views.tta, config.views.notes)
  if isinstance(found.model, checkpoint_model.CheckpointModel):
    prediction_models.print_notes(preprocessing_families.crop_notes(
        found.model.preprocessing_name, found.model.image_size,
        image_files.sizes_of(paths[:_SIZED]), config.views.tta))
  return found.model, found.class_names


def _extras(stack, options, paths, names, model):
  """Returns the other receivers of the answers; each has `add` and `finish`."""
  extras = []
  if options.contact_sheet:
    extras.append(contact_sheet.ContactSheet(options.contact_sheet, paths, names))
  if options.masks:
    extras.append(predicted_masks.PredictedMasks(options.masks, paths))
  if options.explain:
    extras.append(explanation.ExplanationFolder(
        options.explain, paths, names, model.heat_end_point))
  if options.features:
    extras.append(stack.enter_context(feature_file.FeatureFile(
        options.features, options.feature_end_point or 'penultimate')))
  return extras


def _writer(stack, config, names, stream):
  """Returns the function that writes an answer to a file or a stream."""
  path = config.answers.output
  if path:
    stream = stack.enter_context(open(  # noqa: SIM115 (the stack closes it)
        path, 'w', encoding='utf-8', errors='surrogateescape', newline=''))
  if stream is None:
    return lambda answer: None
  return answers.Writer(
      stream, config.answers.file_format, names, config.prediction.top_k).write


def _progress(stack, config, paths, stream):
  """Returns the function that is called with the number of files that are done."""
  # Answers on a terminal show by themselves how far it is.
  shows_answers = stream is not None and not config.answers.output and (
      sys.stdout.isatty())
  if len(paths) == 1 or shows_answers:
    return lambda done: None
  return stack.enter_context(
      progress.Progress('classifying', len(paths), 'images')).update


def _classified(answer, names, top_k):
  if answer.refused:
    return ClassifiedImage(answer.path, (), answer.refused)
  return ClassifiedImage(answer.path, tuple(
      LikelyClass(label, names[label], probability)
      for label, probability in answer.most_probable(top_k)), read_as=answer.change)
