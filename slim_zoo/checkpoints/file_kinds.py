"""Recognizes files that are not checkpoints; needs no TensorFlow.

The content decides. The name is used only if two kinds start with the same bytes.
"""

import os
import re
import shlex
import struct
import tarfile
import zipfile

from slim_zoo.checkpoints import state_file

# The last bytes of the key-value tables that checkpoints consist of.
_TABLE_END = bytes.fromhex('57fb808b247547db')
_HEAD_BYTES = 4096

_ARCHIVES = ((b'\x1f\x8b', 'gzip -dk'), (b'BZh', 'bzip2 -dk'),
             (b'\xfd7zXZ\x00', 'xz -dk'), (b'\x28\xb5\x2f\xfd', 'zstd -dk'),
             (b'7z\xbc\xaf\x27\x1c', '7z x'), (b'Rar!', 'unrar x'))
_IMAGES = ((b'\xff\xd8\xff', 'JPEG'), (b'\x89PNG', 'PNG'), (b'GIF8', 'GIF'),
           (b'BM', 'BMP'), (b'II*\x00', 'TIFF'), (b'MM\x00*', 'TIFF'))
_OTHER_STARTS = (
    (b'\x93NUMPY', 'a NumPy array', 'it has no names of variables'),
    (b'%PDF', 'a PDF document', 'name the checkpoint'),
    (b'version https://git-lfs', 'a pointer of Git LFS, without the content',
     'run git lfs pull'))
# The pickle format of older versions of torch.save.
_OF_TORCH = ('.pth', '.pt', '.bin')
_TORCH_PICKLE = bytes.fromhex('80028a0a6cfc9c46f9')
# Protocol buffers: field 1 as bytes, field 1 as a number, field 2 as bytes.
_BYTES_1, _NUMBER_1, _BYTES_2 = 0x0a, 0x08, 0x12

# Texts of `describe` for the weights that slim-zoo convert-weights reads, by framework.
_HDF5, _KERAS = 'weights of Keras (HDF5)', 'a model of Keras'
_TORCH, _SAFETENSORS = 'weights of PyTorch', 'weights in the format safetensors'
_PICKLE, _ZIP = 'a pickle of Python', 'a zip file'
UNKNOWN = 'a file of unknown kind, or a truncated checkpoint'
_GRAPH, _TEXT_GRAPH = 'a frozen graph or GraphDef (.pb)', 'a graph, as text'
_SAVED_MODEL = 'the graph of a SavedModel'
_TEXT_SAVED_MODEL = 'the graph of a SavedModel, as text'
FRAMEWORK_FILES = {'keras': (_HDF5, _KERAS),
                   'pytorch': (_TORCH, _SAFETENSORS, _PICKLE, _ZIP, UNKNOWN),
                   'graph_def': (_GRAPH, _TEXT_GRAPH),
                   'saved_model': (_SAVED_MODEL, _TEXT_SAVED_MODEL)}
_LITE = 'a model of TensorFlow Lite'
WITH_WEIGHTS = {what for kinds in FRAMEWORK_FILES.values() for what in kinds} | {_LITE}

_MODEL_FILES = ('saved_model.pb', 'saved_model.pbtxt')
_WEIGHTS = 'name the checkpoint that it was made from: this file has no variables'


def is_table(path: str) -> bool:
  """Returns whether a file ends like an .index file or a checkpoint of one file."""
  with open(path, 'rb') as file:
    file.seek(max(0, os.path.getsize(path) - len(_TABLE_END)))
    return file.read() == _TABLE_END


def describe(path: str) -> tuple[str, str]:
  """Returns the kind of a file that is not a checkpoint, and advice, as text.

  Raises:
    OSError: it cannot be read.
  """
  with open(path, 'rb') as file:
    head = file.read(_HEAD_BYTES)
  if not head:
    return 'an empty file', 'copy or download it again'
  for recognize in (_state_file, _weights_of_others, _archive, _graph, _records, _image,
               _other_start, _text):
    if result := recognize(path, head):
      return result
  return UNKNOWN, 'copy or download it again'


def _state_file(path, head):
  if not re.search(rb'^\s*model_checkpoint_path\s*:', head, re.MULTILINE):
    return None
  folder, name = os.path.split(path)
  return (f"the list of the checkpoints in '{folder or '.'}'",
          f"name the folder, --checkpoint_path={folder or '.'}, for the latest"
          if name == state_file.STATE_FILE else 'name one of these checkpoints')


def _weights_of_others(path, head):
  """Recognizes the weights of Keras, PyTorch and other frameworks."""
  if head.startswith(b'\x89HDF\r\n\x1a\n'):
    return _HDF5, _conversion(path, ('.h5', '.hdf5'))
  if head.startswith(b'PK\x03\x04'):
    return _zip(path)
  if head.startswith(_TORCH_PICKLE):
    return _TORCH, _conversion(path, _OF_TORCH)
  size, = struct.unpack('<Q', head[:8].ljust(8, b'\xff'))
  if head[8:9] == b'{' and size < os.path.getsize(path):
    return _SAFETENSORS, _conversion(path, ('.safetensors',))
  if head[4:8] == b'TFL3':
    return _LITE, (
        f'{_command(path, "tflite")} makes a checkpoint of it if it has 8 bits')
  if re.match(rb'\x80[\x02-\x05]', head):
    return _PICKLE, 'write its values with tf.compat.v1.train.Saver'
  return None


def _zip(path):
  """Returns the kind of a zip file: several formats are zip files."""
  try:
    with zipfile.ZipFile(path) as archive:
      names = archive.namelist()
  except (zipfile.BadZipFile, OSError):
    return 'a truncated zip file', 'copy or download it again'
  if 'model.weights.h5' in names:
    return _KERAS, _conversion(path, ('.keras',))
  if any(name.endswith('/data.pkl') for name in names):
    return _TORCH, _conversion(path, _OF_TORCH)
  if names and all(name.endswith('.npy') for name in names):
    return ('arrays of NumPy (NPZ)',
            'write its values with tf.compat.v1.train.Saver')
  return _ZIP, f'unpack it, unzip {shlex.quote(path)}, and name the checkpoint in it'


def _conversion(path, suffixes):
  """Returns the command that converts the weights in a file to a checkpoint.

  slim-zoo convert-weights selects the format by the suffix, one of `suffixes`.
  """
  rename, source = '', path
  if not path.endswith(suffixes):
    source = os.path.splitext(path)[0] + suffixes[0]
    rename = f'rename it to {source}, then '
  target = os.path.splitext(source)[0].removesuffix('.weights') + '.ckpt'
  return (f'{rename}slim-zoo convert-weights --source={shlex.quote(source)}'
          f' --target={shlex.quote(target)} makes a checkpoint of it')


def _command(path, kind):
  """Returns the command that makes a checkpoint of a graph or a .tflite file.

  Args:
    path: of the file, or of the folder of a SavedModel.
    kind: the value of --from.
  """
  path = path.rstrip('/')
  root = path if os.path.isdir(path) else os.path.splitext(path)[0]
  target = f'{root}.ckpt'
  if os.path.exists(target) or os.path.exists(f'{target}.index'):
    target = f'{root}.converted.ckpt'
  return (f'slim-zoo convert-weights --from={kind} --source={shlex.quote(path)}'
          f' --target={shlex.quote(target)}')


def _archive(path, head):
  quoted = shlex.quote(path)
  advice = 'unpack it, {} ' + quoted + ', and name the checkpoint in it'
  command = next((command for start, command in _ARCHIVES if head.startswith(start)),
                 None)
  # tarfile reads compressed files too.
  if (head[257:262] == b'ustar' or command) and tarfile.is_tarfile(path):
    return ('a tar archive' if command is None else 'a compressed tar archive',
            advice.format('tar -xf'))
  return command and ('a compressed file', advice.format(command))


def _graph(path, head):
  """Recognizes protocol buffers of graphs."""
  if re.match(rb'\s*(saved_model_schema_version|meta_graphs)\s*[{:]', head):
    return _TEXT_SAVED_MODEL, saved_model_advice(os.path.dirname(path) or '.')
  if re.match(rb'\s*node\s*{', head):
    return _TEXT_GRAPH, _graph_advice(path)
  if re.match(rb'\s*meta_info_def\s*{', head):
    return 'the graph of a checkpoint, as text', _WEIGHTS
  if head[0] == _NUMBER_1 and head[2:3] == bytes([_BYTES_2]) and head[1] == 1:
    return _SAVED_MODEL, saved_model_advice(os.path.dirname(path) or '.')
  if head[0] == _NUMBER_1 and 2 <= head[1] <= 20:
    return 'a model in the format ONNX', _WEIGHTS
  node = _first_message(head)
  if node is None:
    return None
  if re.match(rb'\x0a.{1,2}?[\x20-\x7e]+\x12.[A-Z_][A-Za-z0-9_]*', node, re.DOTALL):
    return _GRAPH, _graph_advice(path)
  # The list of its operations is first.
  if re.match(rb'\x12.{1,3}?\x0a.{1,2}?\x0a', node, re.DOTALL):
    return ('the graph of a checkpoint (.meta)',
            'the weights are in the files .index and .data beside it: copy these too')
  return None


def _first_message(head):
  """Returns the beginning of field 1 of a protocol buffer; None without one."""
  if head[0] != _BYTES_1:
    return None
  position = 1
  while position < min(len(head), 10) and head[position] & 0x80:
    position += 1
  return head[position + 1:]


def saved_model_advice(folder: str) -> str:
  """Returns advice for the folder of a SavedModel."""
  variables = os.path.join(folder, 'variables', 'variables')
  command = _command(os.path.abspath(folder) if folder == '.' else folder,
                     'saved_model')
  advice = f'{command} makes a checkpoint of it'
  if os.path.isfile(f'{variables}.index'):
    return f'{advice}; or name its variables, --checkpoint_path={variables}'
  return advice


def _graph_advice(path):
  return (f'{_command(path, "graph_def")} makes a checkpoint of it if its weights are'
          ' frozen')


def saved_model_folder(folder: str) -> str | None:
  """Returns a folder if it is a SavedModel, or the latest version in it, or None.

  TensorFlow Serving reads folders of versions, which are numbers.
  """
  versions = sorted((name for name in os.listdir(folder) if name.isdecimal()), key=int)
  return next((path for path in (folder, *(
      os.path.join(folder, name) for name in reversed(versions))) if any(
          os.path.isfile(os.path.join(path, name)) for name in _MODEL_FILES)), None)


def kind_of_graph(path: str) -> str | None:
  """Returns 'graph_def' or 'saved_model' for a file or folder that is one, or None.

  Raises:
    OSError: the file cannot be read.
  """
  if os.path.isdir(path):
    return saved_model_folder(path) and 'saved_model'
  if not os.path.isfile(path):
    return None
  what, _ = describe(path)
  return next((kind for kind in ('graph_def', 'saved_model')
               if what in FRAMEWORK_FILES[kind]), None)


def _records(path, head):
  """Recognizes a sequence of records, each with its length before it."""
  size, position, count = os.path.getsize(path), 0, 0
  with open(path, 'rb') as file:
    while position + 16 <= size and count < 4:
      file.seek(position)
      length, = struct.unpack('<Q', file.read(8))
      position += 16 + length
      count += 1
  if not count or position > size or (position != size and count < 4):
    return None
  if b'brain.Event' in head:
    return 'a file of summaries for TensorBoard', 'name the checkpoint beside it'
  return ('a TFRecord file', 'name a checkpoint such as model.ckpt-1000; records belong'
          ' in --dataset_dir')


def _image(path, head):
  name = next((name for start, name in _IMAGES if head.startswith(start)), None)
  if head[:4] == b'RIFF' and head[8:12] == b'WEBP':
    name = 'WebP'
  return name and (f'a {name} image', 'name the checkpoint, and images as images')


def _other_start(path, head):
  return next(((what, advice) for start, what, advice in _OTHER_STARTS
               if head.startswith(start)), None)


def _text(path, head):
  text = head.rstrip(b'\x00').decode('utf-8', 'ignore').strip()
  if b'\x00' in head or not all(letter.isprintable() or letter.isspace()
                                for letter in text):
    return None
  if re.match(r'<!doctype|<html', text, re.IGNORECASE):
    return ('a web page', 'the download returned a page, not the file: download it'
                          ' again')
  return 'a text file', 'name a checkpoint such as model.ckpt-1000'
