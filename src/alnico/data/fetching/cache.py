"""Fetched files where they stay: each is what its checksum says, or it is not there."""

import gzip
import logging
import re
import shutil
import zlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from alnico.data.fetching.sources import DataSource, RemoteFile
from alnico.data.fetching.transfer import Patience, Tell, discard, download
from alnico.errors import DataError, StorageError
from alnico.lock import locked
from alnico.storage import write_text

State = Literal["cached", "partly", "absent"]
# What a checksum rests on: the list of data sets, an earlier fetch, or nothing but this one.
Trust = Literal["published", "recorded", "first fetch"]
# Gives for a file's name something to be told (bytes done, bytes in total or 0).
Watch = Callable[[str], AbstractContextManager[Tell]]

_log = logging.getLogger(__name__)
_RECORD = re.compile(r"([0-9a-f]{64})  \S+\s*")


@dataclass(frozen=True)
class Fetched:
    """One file that is here now. ``origin`` is its address, the folder that it was taken from, or "cache"."""

    name: str
    path: Path
    size: int
    sha256: str
    origin: str
    trust: Trust


def default_cache() -> Path:
    """The user's own cache folder, as the system has it."""
    import pooch

    return Path(pooch.os_cache("alnico")) / "data"


def state(source: DataSource, cache: Path) -> State:
    """Whether the files of a data set are here; their content is looked at when they are used."""
    here = [(cache / source.name / file.name).is_file() for file in source.files]
    begun = any((cache / source.name / f"{file.name}.part").is_file() for file in source.files)
    return "cached" if all(here) else "partly" if any(here) or begun else "absent"


def fetch_files(
    source: DataSource, cache: Path, origin: str | None, patience: Patience, watch: Watch
) -> list[Fetched]:
    """The files of a data set in ``cache / source.name``, each verified, fetched where it was not there.

    ``origin`` is None for the list's own addresses, an address whose files have the list's names, or a folder with
    files that a person fetched. A file of known checksum is refused if it differs; of the others the first fetch
    writes a ``.sha256`` beside the file, and whatever comes later must agree.
    Raises StorageError saying which file is wanted from where and how to bring it by hand, DataError for files that
    the folder lacks.
    """
    folder = cache / source.name
    with locked(folder, "fetch", "--cache"):
        if origin is None:
            _require_addresses(source, folder)
        elif not is_address(origin):
            _require_hand_files(source, folder, Path(origin))
        return [_Wanted(source, file, folder).fetched(origin, patience, watch) for file in source.files]


def is_address(origin: str) -> bool:
    """Whether ``--from`` names a server, not a folder."""
    return origin.startswith(("http://", "https://"))


def by_hand(source: DataSource, files: Sequence[RemoteFile]) -> str:
    """The part of a sentence that tells a person how to bring these files."""
    places = [f"{file.name} from {file.mirrors[0]}" if file.mirrors else file.name for file in files]
    home = f" ({source.by_hand})" if source.by_hand else ""
    return (
        f"fetch {' and '.join(places)}{home} by hand, put {'it' if len(files) == 1 else 'them'} into one folder and "
        f"run `alnico data fetch {source.name} --from FOLDER`"
    )


def _require_addresses(source: DataSource, folder: Path) -> None:
    lacking = [file for file in source.files if not file.mirrors and not (folder / file.name).is_file()]
    if lacking:
        raise StorageError(f"no server hands out {source.name} to a program: {by_hand(source, lacking)}")


def _require_hand_files(source: DataSource, folder: Path, origin: Path) -> None:
    if not origin.is_dir():
        raise DataError(
            f"--from {origin} is neither a folder nor an address that begins with http:// or https://"
        )
    lacking = [
        file
        for file in source.files
        if not (origin / file.name).is_file() and not (folder / file.name).is_file()
    ]
    if lacking:
        names = ", ".join(sorted(path.name for path in origin.iterdir())[:8]) or "nothing"
        raise DataError(
            f"{origin} has {names}; it lacks what {source.name} needs: {by_hand(source, lacking)}"
        )


class _Wanted:
    """One file of one data set, and its places in the cache."""

    def __init__(self, source: DataSource, file: RemoteFile, folder: Path) -> None:
        self.source, self.file = source, file
        self.place = folder / file.name
        self.part = folder / f"{file.name}.part"
        self.record = folder / f"{file.name}.sha256"
        recorded = None if file.sha256 else self._recorded()
        self.expected = file.sha256 or recorded
        self.trust: Trust = "published" if file.sha256 else "recorded" if recorded else "first fetch"

    def fetched(self, origin: str | None, patience: Patience, watch: Watch) -> Fetched:
        """The file, brought from ``origin`` (see ``fetch_files``) unless it is here and right."""
        by_person = (
            origin is not None and not is_address(origin) and (Path(origin) / self.file.name).is_file()
        )
        if self.place.is_file() and not by_person:
            sha256, fault = self._examined(self.place)
            if not fault:
                return self._kept(sha256, "cache")
            _log.info("%s %s; it is fetched again", self.place, fault)
            self.place.unlink()
        if by_person:
            hand = Path(str(origin)) / self.file.name
            # First, or a copy that is broken off could pass for the beginning of a transfer.
            discard(self.part)
            shutil.copyfile(hand, self.part)
            sha256, fault = self._examined(self.part)
            if fault:
                discard(self.part)
                raise StorageError(f"{hand} {fault}")
            return self._kept(sha256, str(origin))
        addresses = self.file.mirrors if origin is None else (f"{origin.rstrip('/')}/{self.file.name}",)
        return self._downloaded(addresses, patience, watch)

    def _downloaded(self, addresses: Sequence[str], patience: Patience, watch: Watch) -> Fetched:
        reasons = []
        for address in addresses:
            try:
                with watch(self.file.name) as tell:
                    download(address, self.part, patience, tell)
            except StorageError as problem:
                reasons.append(str(problem))
            else:
                sha256, fault = self._examined(self.part)
                if not fault:
                    return self._kept(sha256, address)
                discard(self.part)
                reasons.append(f"{address} gave a file that {fault}")
            if address != addresses[-1]:
                _log.info("%s; the next address is tried", reasons[-1])
        raise StorageError(
            f"{self.source.name} needs {self.file.name}, and no address gave it ({'; '.join(reasons)}); try again, "
            f"which goes on where it broke off, or {by_hand(self.source, [self.file])}"
        )

    def _examined(self, path: Path) -> tuple[str, str]:
        """The file's sha256, and what is wrong with the file in words that follow its name; empty if nothing is."""
        import pooch

        size = path.stat().st_size
        if self.file.size is not None and size != self.file.size:
            return "", f"has {size} bytes, expected {self.file.size}"
        if not size:
            return "", "is empty"
        sha256: str = pooch.file_hash(str(path))
        if self.expected is not None and sha256 != self.expected:
            if self.trust == "published":
                return sha256, f"has the sha256 {sha256}, expected {self.expected}"
            return sha256, (
                f"has the sha256 {sha256}, but the first fetch recorded {self.expected} in {self.record}; delete that "
                "record if the first was wrong or the publisher has replaced it"
            )
        # Nobody vouches for the first copy: at least it must not be a page that says sorry, or cut short.
        if self.expected is None and self.file.name.endswith(".gz") and not _is_whole_gzip(path):
            return sha256, "is cut short or no gzip file"
        return sha256, ""

    def _kept(self, sha256: str, origin: str) -> Fetched:
        if self.file.sha256 is None and self.expected is None:
            # Before the file stands there: then none can without its record.
            write_text(self.record, f"{sha256}  {self.file.name}\n")
        if origin != "cache":
            self.part.replace(self.place)
            discard(self.part)
        size = self.place.stat().st_size
        return Fetched(self.file.name, self.place, size, sha256, origin, self.trust)

    def _recorded(self) -> str | None:
        if not self.record.is_file():
            return None
        found = _RECORD.fullmatch(self.record.read_text(encoding="utf-8", errors="replace"))
        if found is None:
            raise StorageError(
                f"{self.record} is not a line of sha256sum; delete it, and the next fetch records anew"
            )
        return found[1]


def _is_whole_gzip(path: Path) -> bool:
    try:
        with gzip.open(path, "rb") as file:
            while file.read(1 << 20):
                pass
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return False
    return True
