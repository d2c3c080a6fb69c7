"""Small archives in the formats that the data sets are published in."""

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile

import numpy as np
from PIL import Image

from tests.stored_images import encoded, picture

FLOWERS = ('daisy', 'dandelion', 'roses', 'sunflowers', 'tulips')
SYNSETS = ('n01440764', 'n01443537', 'n02105855')


def tar(path, files, mode='w'):
  """Writes a tar file of {name: bytes, or a TarInfo of a link}."""
  with tarfile.open(path, mode) as archive:
    for name, data in files.items():
      if isinstance(data, tarfile.TarInfo):
        archive.addfile(data)
        continue
      member = tarfile.TarInfo(name)
      member.size = len(data)
      archive.addfile(member, io.BytesIO(data))
  return path


def tar_bytes(files):
  file = io.BytesIO()
  with tarfile.open(fileobj=file, mode='w') as archive:
    for name, data in files.items():
      member = tarfile.TarInfo(name)
      member.size = len(data)
      archive.addfile(member, io.BytesIO(data))
  return file.getvalue()


def zipped(path, files):
  with zipfile.ZipFile(path, 'w') as archive:
    for name, data in files.items():
      archive.writestr(name, data)
  return path


def jpeg(seed, height=24, width=32):
  return encoded(picture(seed, height, width), 'JPEG', quality=90)


def mnist(folder, train=30, test=12, packed=True):
  """Writes the four files; returns {split: (images, labels)}."""
  folder.mkdir(exist_ok=True)
  written = {}
  for split, prefix, count in (('train', 'train', train), ('test', 't10k', test)):
    images = np.stack([picture(n, 28, 28, 1) for n in range(count)])
    labels = (np.arange(count) * 7 % 10).astype(np.uint8)
    written[split] = images, labels
    for name, values in (('images-idx3', images), ('labels-idx1', labels)):
      data = bytes([0, 0, 8, values.ndim]) + struct.pack(
          f'>{values.ndim}I', *values.shape) + values.tobytes()
      path = folder / f'{prefix}-{name}-ubyte{".gz" * packed}'
      path.write_bytes(gzip.compress(data) if packed else data)
  return written


CIFAR_BATCHES = [*(f'data_batch_{n}' for n in range(1, 6)), 'test_batch']


def cifar_batches(count=4):
  """Returns {batch: (labels, pixels [count, 3072])}."""
  return {name: ([(n + 3 * index) % 10 for n in range(count)], np.stack([
      picture(100 * index + n, 32, 32).transpose(2, 0, 1).reshape(-1)
      for n in range(count)])) for index, name in enumerate(CIFAR_BATCHES)}


def cifar_binary(path, batches):
  return tar(path, {'cifar-10-batches-bin/readme.html': b'<html>', **{
      f'cifar-10-batches-bin/{name}.bin': b''.join(
          bytes([label]) + row.tobytes()
          for label, row in zip(labels, rows, strict=True))
      for name, (labels, rows) in batches.items()}}, 'w:gz')


def cifar_pickled(path, batches, protocol=2):
  return tar(path, {f'cifar-10-batches-py/{name}': pickle.dumps(
      {b'batch_label': b'a batch', b'labels': labels, b'data': rows}, protocol)
                    for name, (labels, rows) in batches.items()}, 'w:gz')


def flowers(path, count=6, more=None):
  """Writes flower_photos.tgz with `count` photos a class; returns its photos."""
  photos = {f'{name}/{index:03d}.jpg': jpeg(100 * label + index)
            for label, name in enumerate(FLOWERS) for index in range(count)}
  tar(path, {'flower_photos/LICENSE.txt': b'CC-BY', **{
      f'flower_photos/{name}': data for name, data in photos.items()},
             **(more or {})}, 'w:gz')
  return photos


def imagenet(folder, count=4, synsets=SYNSETS):
  """Writes the tar files, lists and boxes of ImageNet; returns the photos' bytes."""
  folder.mkdir(exist_ok=True)
  cmyk = encoded(Image.fromarray(picture(7)).convert('CMYK'), 'JPEG')
  odd = {f'{synsets[0]}_0.JPEG': cmyk, f'{synsets[1]}_1.JPEG': encoded(picture(8))}
  photos = {f'{synset}_{n}.JPEG': odd.get(f'{synset}_{n}.JPEG', jpeg(10 * label + n))
            for label, synset in enumerate(synsets) for n in range(count)}
  tar(folder / 'ILSVRC2012_img_train.tar', {
      f'{synset}.tar': tar_bytes({name: data for name, data in photos.items()
                                  if name.startswith(synset)}) for synset in synsets})
  validation = {f'ILSVRC2012_val_{n + 1:08d}.JPEG': jpeg(1000 + n)
                for n in range(2 * len(synsets))}
  tar(folder / 'ILSVRC2012_img_val.tar', validation)
  lines = [synsets[-1 - n % len(synsets)] for n in range(len(validation))]
  (folder / 'imagenet_lsvrc_2015_synsets.txt').write_text('\n'.join(synsets) + '\n')
  (folder / 'imagenet_metadata.txt').write_text(''.join(
      f'{synset}\tthing {n}, other name\n' for n, synset in enumerate(synsets)))
  (folder / 'imagenet_2012_validation_synset_labels.txt').write_text(
      '\n'.join(lines) + '\n')
  xml = ('<annotation><filename>%s</filename><size><width>32</width><height>24</height>'
         '<depth>3</depth></size>{}</annotation>')
  box = ('<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax>'
         '<ymax>{}</ymax></bndbox></object>')
  name = f'{synsets[0]}_1'
  tar(folder / 'ILSVRC2012_bbox_train_v2.tar.gz', {
      f'{synsets[0]}/{name}.xml': xml.format(
          box.format(synsets[0], 8, 6, 16, 12) + box.format(synsets[1], 0, 0, 9, 9)
          + box.format(synsets[0], -4, 0, 40, 24)).encode()}, 'w:gz')
  return {**photos, **validation}


def coco(folder, count=12):
  """Writes the zip files of COCO 2014; returns the photos' bytes.

  Photo n of a split shows a person of n thousandths of its area, and a dog.
  """
  folder.mkdir(exist_ok=True)
  members, photos = {}, {}
  for split, first in (('train', 0), ('val', 500)):
    images, annotations = [], []
    for n in range(count):
      name = f'COCO_{split}2014_{first + n:012d}.jpg'
      photos[name] = jpeg(first + n, 20, 50)
      images.append({'id': first + n, 'file_name': name, 'height': 20, 'width': 50})
      for category, area in ((1, float(n)), (18, 500.0)):
        annotations.append({
            'id': len(annotations), 'image_id': first + n, 'category_id': category,
            'area': area, 'bbox': [5, 2, 10, 4], 'iscrowd': 0,
            'segmentation': [[5, 2, 15, 2, 15, 6]]})
    members[f'annotations/instances_{split}2014.json'] = json.dumps({
        'images': images, 'annotations': annotations, 'categories': [
            {'id': 1, 'name': 'person'}, {'id': 18, 'name': 'dog'}]})
    zipped(folder / f'{split}2014.zip', {
        f'{split}2014/{name}': data for name, data in photos.items()
        if f'_{split}2014_' in name})
  zipped(folder / 'annotations_trainval2014.zip', members)
  return photos
