"""Folders on a disk or in a bucket (`gs://`, `s3://`, … as Arrow supports): list, read, write atomically, remove."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyarrow import fs

from fetal_jax.errors import UserError
from fetal_jax.files import in_bucket
from fetal_jax.reading.archives import HEAD
from fetal_jax.reading.sources import is_wanted

DRAFT = re.compile(r"\.fetal-jax-[0-9a-f]{16}\.draft")
FIRST_SECONDS = 60
"""Seconds for which Arrow repeats its first request to a Google bucket; it ends some 30 s later. By default it repeats
for 15 minutes and ignores Ctrl-C and SIGTERM: right in a sweep, too long if a name or a credential is wrong."""


class Unreadable(Exception):
    """An object cannot be read although its store answers; has the reason."""


def _opened(place: str, gs_option: str = "") -> tuple[Any, str, str]:
    """Open the file system of a place; returns it, the path in it, and the part of the URL before the path."""
    if not in_bucket(place):
        return fs.LocalFileSystem(), os.path.abspath(place), ""
    scheme, _, path = place.partition("://")
    bucket, _, key = path.partition("/")
    try:
        # without the key, which may have characters that a URL may not
        system, root = fs.FileSystem.from_uri(f"{scheme}://{bucket or '/'}{gs_option}")
    except (ValueError, NotImplementedError) as e:  # pyarrow's errors are of these types
        raise UserError(f"{place} cannot be opened ({str(e)[:80]}): give gs://BUCKET/FOLDER") from None
    except OSError as e:  # S3 asks for the bucket's region
        raise _unreachable(place, e) from None
    account = bucket[: len(bucket) - len(root)]  # as in gs://anonymous@BUCKET
    return system, f"{root.rstrip('/')}/{key}".rstrip("/"), f"{scheme}://{account}"


def _unreachable(place: str, error: OSError) -> UserError:
    return UserError(f"{place} cannot be reached ({_short(error)}): check the address, the network and the credentials")


def _short(error: OSError) -> str:
    return " ".join(str(error).split())[:200]


def reach(place: str) -> None:
    """Wait until a bucket answers.

    Raises:
      UserError: it does not answer (see `FIRST_SECONDS`), or cannot be opened.
    """
    option = f"?retry_limit_seconds={FIRST_SECONDS}" if place.startswith("gs://") else ""
    system, path, _ = _opened(place, option)
    try:
        system.get_file_info([path])
    except OSError as e:
        raise _unreachable(place, e) from None


def objects(pattern: str) -> Iterator[str]:
    """List the objects of a bucket that match a pattern (`*` within a folder, `**` across), or are in a folder.

    Objects that are named or matched are all read; in a folder the rules of `reading.sources.find` decide.

    Raises:
      UserError: there are none, or the bucket cannot be reached.
    """
    base = re.split(r"[*?]", pattern)[0]
    base = base if base == pattern else base.rpartition("/")[0]
    reach(base)
    system, root, prefix = _opened(base)
    wanted = re.compile(_expression(root + pattern.rstrip("/")[len(base) :]) + "(/.*)?")
    infos = system.get_file_info([root])
    if infos[0].type != fs.FileType.File:
        infos = system.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
    any_found = False
    for info in sorted(infos, key=lambda i: i.path):
        match = wanted.fullmatch(info.path)
        if info.type != fs.FileType.File or not match:
            continue
        place = prefix + info.path
        if not match.group(1) or _is_frame(system, info, place):
            any_found = True
            yield place
    if not any_found:
        raise UserError(f"{pattern} does not exist, or holds no PNG, JPEG, TIFF, BMP or DICOM")


def _expression(pattern: str) -> str:
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(parts.get(p, re.escape(p)) for p in re.split(r"(\*\*/|\*\*|\*|\?)", pattern))


def _is_frame(system: Any, info: Any, place: str) -> bool:
    """As `is_wanted`; an object that cannot be read is listed, so that its dead letter gives the reason."""
    try:
        return is_wanted(info.base_name, lambda: next(_pieces(system, info.path, place, HEAD), b""))
    except Unreadable:
        return True


def _pieces(system: Any, path: str, place: str, size: int = 2**20) -> Iterator[bytes]:
    """Yield the content of an object; Arrow repeats failed requests.

    Raises:
      Unreadable: the store refuses it.
      UserError: the store does not answer for its folder, either: all other objects would fail, too.
    """
    try:
        with system.open_input_stream(path) as file:
            while piece := file.read(size):
                yield bytes(piece)
    except FileNotFoundError:
        raise Unreadable(f"{place} does not exist") from None
    except OSError as e:
        reach(place.rpartition("/")[0])
        raise Unreadable(f"{place} cannot be read ({_short(e)}): restore it, or get the right to read it") from None


def fetch(place: str, into: Path) -> Path:
    """Copy an object into a folder, keeping its name and folders, which a spacing table may use.

    Raises:
      Unreadable, UserError: as `_pieces`.
      OSError: the copy cannot be written.
    """
    scheme, _, key = place.partition("://")
    name = Path(scheme, *(part for part in key.split("/") if part not in ("", ".", "..")))
    system, path, _ = _opened(place)
    copy = into / name
    copy.parent.mkdir(parents=True, exist_ok=True)
    with copy.open("wb") as target:
        for piece in _pieces(system, path, place):
            target.write(piece)
    return copy


class Folder:
    """A folder of results. Names are relative to it, with `/`."""

    def __init__(self, place: str) -> None:
        """Open the folder; nothing is created yet."""
        self.place, self.in_bucket = place, in_bucket(place)
        self._system, self._root, _ = _opened(place)

    def names(self, part: str) -> list[str]:
        """The names of the files and folders in `part` of the folder, sorted, without drafts."""
        selector = fs.FileSelector(f"{self._root}/{part}", allow_not_found=True)
        return sorted(i.base_name for i in self._system.get_file_info(selector) if not DRAFT.fullmatch(i.base_name))

    def exists(self, name: str) -> bool:
        """Whether a file exists."""
        return bool(self._system.get_file_info([f"{self._root}/{name}"])[0].type == fs.FileType.File)

    def open(self, name: str) -> Any:
        """Open a file for random access."""
        return self._system.open_input_file(f"{self._root}/{name}")

    def read(self, name: str) -> bytes | None:
        """Read a file; None if it does not exist."""
        if not self.exists(name):
            return None
        with self.open(name) as file:
            return bytes(file.read())

    def put(self, file: Path, name: str) -> None:
        """Write a file atomically: readers see all of it or nothing, however many processes write it.

        Raises:
          OSError: it cannot be written.
        """
        path = f"{self._root}/{name}"
        if self.in_bucket:
            self._system.create_dir(path.rpartition("/")[0])
            with file.open("rb") as source, self._system.open_output_stream(path) as target:
                shutil.copyfileobj(source, target, 2**20)
            return
        # each draft has its own name: on Flink, Spark or after a kill, two workers may write the same file
        draft = Path(path).with_name(f".fetal-jax-{secrets.token_hex(8)}.draft")
        draft.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(file, draft)
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Remove a file or a folder with its content; it need not exist."""
        info = self._system.get_file_info([f"{self._root}/{name}"])[0]
        if info.type == fs.FileType.Directory:
            self._system.delete_dir(info.path)
        elif info.type == fs.FileType.File:
            self._system.delete_file(info.path)

    def remove_drafts(self, part: str) -> None:
        """Remove drafts of killed workers. The caller holds the folder's lock."""
        if not self.in_bucket and Path(self._root, part).is_dir():
            for path in Path(self._root, part).iterdir():
                if DRAFT.fullmatch(path.name):
                    path.unlink(missing_ok=True)
