"""Files that are whole or not there.

Everything that lasts is written beside its place and renamed into it, so that a kill or a full disk leaves
the old file or none. Tensors travel as safetensors with their settings as JSON in the same file.
"""

import contextlib
import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from alnico.errors import StorageError

FORMAT = 1


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a draft beside ``path``, then rename it there.

    Raises StorageError if the draft cannot be written; the draft is removed and ``path`` is as before.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Opened by its own name, because tempfile lets nobody but the owner read what it makes.
        with draft.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as problem:
        _discard(draft)
        raise StorageError(
            f"cannot write {path}: {problem.strerror or problem}; nothing was changed there, "
            "free some space or choose another folder"
        ) from problem
    except BaseException:
        _discard(draft)
        raise


def _discard(draft: Path) -> None:
    with contextlib.suppress(OSError):
        draft.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a whole text file atomically."""
    write_atomically(path, lambda file: file.write(text.encode()))


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically, readable by people."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises StorageError when it is missing or broken."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as problem:
        raise StorageError(f"there is no file {path}") from problem
    except (ValueError, OSError) as problem:
        raise StorageError(f"{path} cannot be read as JSON: {problem}") from problem


def write_tensors(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, Any]) -> None:
    """Write tensors and JSON notes as one safetensors file, atomically; equal content gives equal bytes."""
    payload = save(_apart(tensors), {"format": str(FORMAT), "notes": json.dumps(notes, allow_nan=False)})
    head, body = _in_order(payload)
    write_atomically(path, lambda file: file.writelines((head, body)))


def _in_order(payload: bytes) -> tuple[bytes, memoryview]:
    """Header and body of a safetensors file; the header's notes, which stand in random order, sorted by name."""
    end = 8 + int.from_bytes(payload[:8], "little")
    header = json.loads(payload[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, memoryview(payload)[end:]


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors on the CPU, no two of them on the same memory, which safetensors refuses."""
    plain: dict[str, Tensor] = {}
    homes: set[int] = set()
    for name, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        home = own.untyped_storage().data_ptr()
        plain[name] = own.clone() if home in homes else own
        homes.add(home)
    return plain


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and notes of ``write_tensors``.

    Raises StorageError when the file is missing, damaged, not ours, or of a newer format.
    """
    if not path.exists():
        raise StorageError(f"there is no file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            # Copies, because tensors stand at odd addresses in a file, where products may differ in the last bit.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as problem:
        raise StorageError(f"{path} is damaged or not a safetensors file: {problem}") from problem
    if "notes" not in header:
        raise StorageError(f"{path} was not written by alnico: it carries no notes")
    if int(header["format"]) > FORMAT:
        raise StorageError(
            f"{path} has format {header['format']}, newer than this alnico reads ({FORMAT}); upgrade alnico"
        )
    return tensors, json.loads(header["notes"])
