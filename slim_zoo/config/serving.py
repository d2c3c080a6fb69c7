"""Options of the web server: the model, its address, limits for clients."""

import dataclasses
import re

from slim_zoo import diagnostics
from slim_zoo.config import classification
from slim_zoo.config.classification import ExportedModel, Prediction
from slim_zoo.config.devices import Devices
from slim_zoo.config.options import Config, Group, option
from slim_zoo.config.precision import InferencePrecision
from slim_zoo.config.segmentation import refuse
from slim_zoo.config.trained_network import TrainedCheckpoint

_NAME = re.compile(r'[A-Za-z0-9_.-]+')
_HOST = re.compile(r'[^\s\[\]:/@?#]+')


@dataclasses.dataclass(frozen=True)
class Address(Group):
  """Where the server is reached."""

  host: str = option(
      '127.0.0.1', 'Address to listen on. The default accepts connections of this'
      ' machine only, 0.0.0.0 those of other machines too: there is no password and no'
      ' encryption.')
  port: int = option(
      8501, 'Port to listen on; 0 chooses a free port. The port is printed.', lower=0,
      upper=65535)
  allowed_hosts: tuple[str, ...] = option(
      (), 'Host names under which browsers may open the page, separated by commas, in'
      ' addition to localhost, the name in --host and IP addresses. Other names are'
      ' refused, because another web site could use them (DNS rebinding).')
  served_name: str = option(
      'default', 'Name of the model in requests, /v1/models/NAME:predict.')


@dataclasses.dataclass(frozen=True)
class ClientLimits(Group):
  """Limits for clients."""

  max_request_mb: float = option(
      20.0, 'Largest size of a request, in MB of 1,000,000 bytes. Images in JSON are a'
      ' third larger than their files. All requests together hold at most'
      ' --max_concurrency times as much.', lower=0.01, upper=1000)
  max_image_megapixels: float = option(
      100.0, 'Largest number of pixels of an image, in millions. Preprocessing takes'
      ' about 30 bytes of memory for each pixel.', lower=0.001, upper=100)
  max_concurrency: int = option(
      4, 'Number of requests that are processed at the same time. Another request waits'
      ' up to 2 seconds, then it is refused (503).', lower=1, upper=256)


@dataclasses.dataclass(frozen=True)
class PageExplanation(Group):
  """Grad-CAM: the picture of the regions that raise the score of a class."""

  explain_end_point: str | None = option(
      None, 'The end point for Grad-CAM on the page; by default the last end point of a'
      ' convolution.', str)


@dataclasses.dataclass(frozen=True)
class ServeConfig(Config):
  """Everything that decides what is served; groups in the order of --help.

  Attributes:
    user_options: names of the options that the user set; others have their defaults.
  """

  network: TrainedCheckpoint
  exported: ExportedModel
  address: Address
  limits: ClientLimits
  prediction: Prediction
  explanation: PageExplanation
  precision: InferencePrecision
  devices: Devices
  user_options: frozenset[str] = frozenset()

  def check(self) -> None:
    """Refuses options that make no sense, and names and files that are not there.

    Raises:
      UserError: the first fault.
    """
    if self.exported.export:
      classification.check_export_alone(self.values())
    else:
      self.network.check()
    if not _NAME.fullmatch(self.address.served_name):
      raise diagnostics.UserError(
          f"--served_name='{self.address.served_name}': expected letters, digits, '_',"
          " '.' and '-'")
    if not self.address.host.strip():
      raise diagnostics.UserError(
          '--host is empty: name an address of this machine, such as 127.0.0.1')
    for name in self.address.allowed_hosts:
      if not _HOST.fullmatch(name):
        raise diagnostics.UserError(
            f"--allowed_hosts: '{name}' is not a host name: expected a name"
            ' without scheme and port, such as gpu-box.example.org')

  def check_segmentation(self) -> None:
    """Refuses options that do not fit a segmentation network.

    Raises:
      UserError: the first one.
    """
    refuse(classification.NOT_WITH_MASKS, self.values(), self.user_options)

  def check_classification(self) -> None:
    """Accepts a network of classes: no option here needs masks."""
