"""New items as they come over the wire: vectors, or a picture and words to make them of."""

import base64
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from alnico.data.features import ItemFeatures, Modality
from alnico.encoders.content import parts_of
from alnico.errors import DataError
from alnico.report.pictures import small_jpeg
from alnico.serving.bundle import Bundle
from alnico.serving.encoding import IMAGE, TEXT, encoded
from alnico.serving.newcomers import Newcomers
from alnico.serving.wire import NewItem


def newcomers_of(bundle: Bundle, posted: Sequence[NewItem]) -> Newcomers:
    """These items for ``add_items``.

    A modality without a vector is encoded from the item's picture, or from the words of its card, where the bundle
    names the encoder. Raises DataError if a vector has another width than the bundle's, a picture cannot be read, or
    the encoder is not here.
    """
    cards = {
        name: [one.card.get(name, "") for one in posted] for name in bundle.cards.columns if name != "image"
    }
    with tempfile.TemporaryDirectory() as folder:
        paths = [_file(one, Path(folder) / str(number)) for number, one in enumerate(posted)]
        pictures = [None if path is None else small_jpeg(str(path), Path(folder)) for path in paths]
        for one, path, picture in zip(posted, paths, pictures, strict=True):
            if path is not None and picture is None:
                raise DataError(f"item {one.id!r}: its picture is no image that can be read")
        made = encoded(
            bundle,
            images=[None if IMAGE in one.vectors else path for one, path in zip(posted, paths, strict=True)],
            texts=[parts_of({} if TEXT in one.vectors else one.card) for one in posted],
        )
    names = dict.fromkeys([*bundle.content, *(name for one in posted for name in one.vectors)])
    content = {name: _modality(bundle, posted, name, made.get(name)) for name in names}
    return Newcomers([one.id for one in posted], ItemFeatures(len(posted), content), cards, pictures)


def _file(one: NewItem, path: Path) -> Path | None:
    if one.picture is None:
        return None
    try:
        path.write_bytes(base64.b64decode(one.picture, validate=True))
    except ValueError as problem:
        # Letters beyond ASCII are not even a binascii.Error.
        raise DataError(f"item {one.id!r}: its picture is not written in base64") from problem
    return path


def _modality(bundle: Bundle, posted: Sequence[NewItem], name: str, made: Modality | None) -> Modality:
    """The vectors that were given; where an item gave none, those that were made."""
    given = [len(one.vectors[name]) for one in posted if name in one.vectors]
    width = bundle.content[name].width if name in bundle.content else max(given)
    rows, present = np.zeros((len(posted), width), np.float32), np.zeros(len(posted), np.bool_)
    if made is not None:
        rows, present = made.vectors.copy(), made.present.copy()
    for row, one in enumerate(posted):
        vector = one.vectors.get(name)
        if vector is None:
            continue
        if len(vector) != width:
            raise DataError(
                f"item {one.id!r}: its {name!r} vector has {len(vector)} numbers, those of the bundle {width}"
            )
        present[row] = True
        with np.errstate(over="ignore"):
            # What float32 cannot hold is infinite then, and refused as such.
            rows[row] = vector
    return Modality(np.where(present[:, None], rows, np.float32(0)), present)
