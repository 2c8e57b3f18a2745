"""Paths -> the files to read: folders are walked, archives are listed, nothing is unpacked to disk."""

from __future__ import annotations

import functools
import glob
import hashlib
import os
import re
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path, PurePath, PurePosixPath

from fetal_jax.errors import UserError, amount
from fetal_jax.reading import archives
from fetal_jax.reading.archives import HEAD, is_archive

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
RESULTS, OVERLAYS = "measurements.csv", "overlays"
REPORTS = ("sr", "sr1500", "seg", "fhir")
EXAMINATIONS = "examinations"
PARTS = (OVERLAYS, *REPORTS, EXAMINATIONS)
"""Folders in a results folder, beside its table."""
CALL = "call.json"
"""Name of the file in a results folder that states its call. It is kept, so that no folder mixes two calls' results."""
EARLIER = "results of fetal-jax"
HIDDEN = "hidden file"
"""Counted for a file whose name begins with a dot, as those that macOS puts beside pictures: `._001_HC.png`."""
ANNOTATION = "_Annotation.png"
"""HC18 keeps outlines beside frames: `001_HC_Annotation.png` beside `001_HC.png`."""
_OF_HC18 = re.compile(r"\d{3}_\d?HC_Annotation\.png")
"""HC18's own names of outlines, which some copies keep in a folder without frames."""
MASK = "mask"
"""Counted for a mask of own frames, as docs/own-data.md names them: `a_mask.png` beside `a.jpg`, `masks/a.png` below
`frames.csv`."""
_TABLE, _MASKS, _MASK_END = "frames.csv", "masks", "_mask.png"


@dataclass(frozen=True)
class Source:
    """A file, or a member of an archive."""

    path: Path
    member: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.path, Path):  # a string would be reported as a damaged file
            raise TypeError(f"a Source's path is a Path: give Source(Path(...)), not {self.path!r}")

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}/{self.member}"

    @property
    def filename(self) -> str:
        """The name without folders."""
        return self.path.name if self.member is None else PurePosixPath(self.member).name

    @property
    def stem(self) -> str:
        """The name without folders and suffix."""
        return PurePosixPath(self.filename).stem

    def fingerprint(self) -> list[int]:
        """Size and modification time (of the archive, for a member): they change when the file does."""
        try:
            s = self.path.stat()
        except OSError:
            return []
        return [s.st_size, s.st_mtime_ns]

    def open(self) -> Path | BytesIO:
        """Return the path, or the member's bytes, for a reader to open.

        Raises:
          UserError: it is not a regular file, a folder that cannot be listed, or a damaged, encrypted or too large
            member.
        """
        if self.path.is_symlink() and not self.path.exists():
            raise UserError(f"{self} is a link to nothing: copy the file itself")
        if not self.path.exists():
            raise UserError(f"{self} does not exist")
        if self.path.is_dir():
            raise UserError(_why_no_file(self.path))
        if not stat.S_ISREG(self.path.stat().st_mode):
            raise UserError(f"{self} is not a regular file: give a file")
        if is_archive(self.path.name):
            return BytesIO(archives.read_member(self.path, self.member, lambda head: is_image(head) or is_dicom(head)))
        return self.path


_MAGIC = (b"\x89PNG", b"\xff\xd8", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"BM")


def head_of(file: Path | BytesIO) -> bytes:
    """Read the first `HEAD` bytes of an opened source."""
    if isinstance(file, BytesIO):
        return file.getbuffer()[:HEAD].tobytes()
    with file.open("rb") as f:
        return f.read(HEAD)


def sha256(file: Path | BytesIO) -> str:
    """SHA-256 of the content of an opened source, in hexadecimal."""
    if isinstance(file, BytesIO):
        return hashlib.sha256(file.getbuffer()).hexdigest()
    with file.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def is_image(head: bytes) -> bool:
    """Whether a file's first bytes begin a PNG, JPEG, TIFF or BMP."""
    return head.startswith(_MAGIC)


def is_dicom(head: bytes) -> bool:
    """Whether a file's first `HEAD` bytes are DICOM's preamble, or the first element of a file without one."""
    return head[128:132] == b"DICM" or head[:4] in (b"\x08\0\x00\0", b"\x08\0\x05\0", b"\x08\0\x08\0")


def may_be_dicom(source: Source) -> bool:
    """Whether a file may be DICOM, by its name or first bytes; image files state neither millimetres nor a study."""
    name = source.filename.lower()
    if name.endswith(DICOM_SUFFIXES) or source.member is not None:
        return not name.endswith(SUFFIXES)
    try:
        return is_dicom(head_of(source.path))
    except OSError:  # measuring will show what the file is; one in a bucket is only fetched then
        return not source.path.is_dir() and not name.endswith(SUFFIXES)


@dataclass
class FoundFiles:
    """The files to read, and the number of other files beside them, by suffix or kind."""

    sources: list[Source] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def find(paths: list[Path], leave_out: Path | None = None) -> FoundFiles:
    """Find the files at some paths: files, folders, archives and patterns such as `*.png`. Sorted by name.

    A file that is named is read whatever it is called; in a folder the suffix decides, or DICOM's preamble. Links are
    followed, each folder is read once. HC18's outlines beside their frames and the masks of own frames are left out. A
    folder that cannot be listed is a source too: reading it gives the reason.

    `leave_out`, the folder for the results, is not walked, nor is a folder that holds an earlier call's results.

    Raises:
      UserError: a path does not exist, there is nothing to read, or only folders that cannot be listed.
    """
    found = find_files(paths, leave_out)
    found.sources = [source for file in found.sources for source in expand(file.path, found.left_out)]
    _check_any(paths, found, leave_out)
    return found


def find_files(paths: list[Path], leave_out: Path | None = None) -> FoundFiles:
    """As `find`, with archives as one file each: they are not opened.

    Raises:
      UserError: as `find`.
    """
    found = FoundFiles()
    for path in paths:
        if path.is_dir():
            _walk(path, leave_out, found)
        elif path.exists() or path.is_symlink():
            found.sources.append(Source(path))
        else:
            _match(path, leave_out, found)
    found.sources = list(dict.fromkeys(found.sources))
    _check_any(paths, found, leave_out)
    return found


def _check_any(paths: list[Path], found: FoundFiles, out: Path | None) -> None:
    if found.sources and all(source.path.is_dir() for source in found.sources):
        raise UserError(_why_no_file(found.sources[0].path))
    if not found.sources:
        where = ", ".join(map(str, paths))
        if out and (same := next((path for path in paths if path.resolve() == out.resolve()), None)):
            raise UserError(f"{same} is --out too, where no frames are looked for: give another --out")
        if found.left_out[EARLIER]:
            raise UserError(f"{where} holds nothing but {EARLIER}: give the folder of the frames")
        for kind, words in ((ANNOTATION, "HC18's outlines"), (MASK, "masks")):
            if found.left_out[kind]:
                raise UserError(f"{where} holds nothing but {words}: give the folder of the frames")
        raise UserError(f"{where} holds no PNG, JPEG, TIFF, BMP or DICOM: give the folder of the frames")


def _why_no_file(folder: Path) -> str:
    """Why a folder is a source: it cannot be listed, could not for a moment, or a program gave it for a file."""
    if error := _listing_error(folder):
        return f"{folder} cannot be listed ({error.strerror}): allow reading it, or give the other folders"
    return f"{folder} is a folder: give its files (sources.find lists them), or call again if it could not be listed"


def _listing_error(folder: Path) -> OSError | None:
    try:
        with os.scandir(folder) as entries:
            next(entries, None)
    except OSError as e:
        return e
    return None


def _match(path: Path, leave_out: Path | None, found: FoundFiles) -> None:
    """Add the files that match a pattern, and folders on its path that cannot be listed."""
    if not glob.has_magic(str(path)):
        raise UserError(f"{path} does not exist")
    parts = _pattern(path)
    unlisted, matches = _unlisted(parts[:-1]), sorted(glob.glob(os.path.join(*parts), recursive=True))
    if not matches and not unlisted:
        raise UserError(f"{path} matches no file")
    found.sources += map(Source, unlisted)
    in_results = functools.cache(functools.partial(_in_results, out=leave_out))  # once per folder, not per file
    for match in map(Path, matches):
        folder = match if match.is_dir() else match.parent
        if in_results(folder):
            found.left_out[EARLIER] += 1
        elif match.is_dir():
            _walk(match, leave_out, found)
        elif label := _label(match, os.path.exists):
            found.left_out[label] += 1
        else:
            found.sources.append(Source(match))


def _unlisted(parts: list[str]) -> list[Path]:
    """Find folders that match the leading parts of a pattern and cannot be listed: `glob` skips them silently."""
    ways = (os.path.join(*parts[: n + 1], "") for n in range(len(parts)))
    folders = {Path(folder) for way in ways for folder in glob.glob(way, recursive=True)}
    return sorted(folder for folder in folders if _listing_error(folder))


def _pattern(path: Path) -> list[str]:
    """Split a pattern into parts. The first is the leading folders that exist, taken literally: `dir[1]`, `*.png`."""
    folder = next(p for p in path.parents if p.is_dir() or p == p.parent)
    return [glob.escape(str(folder)), *path.relative_to(folder).parts]


def _walk(folder: Path, leave_out: Path | None, found: FoundFiles) -> None:
    seen: set[str] = set()  # a link may lead back

    def add_unlisted(error: OSError) -> None:
        found.sources.append(Source(Path(error.filename)))

    for here, folders, files in os.walk(folder, onerror=add_unlisted, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        if _holds_results(Path(here), leave_out):
            found.left_out[EARLIER] += 1
            folders.clear()
            continue
        folders[:] = sorted(d for d in folders if not d.startswith("."))
        for name in sorted(files):
            path = Path(here) / name
            if label := _label(path, os.path.exists):
                found.left_out[label] += 1
            elif _is_wanted_or_unreadable(name, functools.partial(_head, path)):
                found.sources.append(Source(path))
            else:
                found.left_out[_kind(path)] += 1


def _kind(path: PurePath) -> str:
    """Name the kind under which a file that is left out is counted."""
    return HIDDEN if path.name.startswith(".") else path.suffix.lower() or path.name


def suffixes_in_words(left_out: Counter[str]) -> str:
    """The most frequent kinds of files that are left out: "2 .txt, 1 hidden file"."""
    most = left_out.most_common(5)
    return ", ".join(amount(n, kind) if kind in (HIDDEN, MASK) else f"{n} {kind}" for kind, n in most)


def _label(path: PurePath, exists: Callable[[str], bool]) -> str:
    """The kind of a file that is the label of a frame, and no frame: `ANNOTATION`, `MASK`; else empty.

    Args:
      path: of the file, or of an archive's member.
      exists: whether there is a file or member of a path.
    """

    def of_frame(end: str, suffixes: tuple[str, ...]) -> bool:
        stem = str(path).removesuffix(end)
        return path.name.endswith(end) and any(exists(stem + suffix) for suffix in suffixes)

    if _OF_HC18.fullmatch(path.name) or of_frame(ANNOTATION, (".png",)):
        return ANNOTATION
    in_masks = path.parent.name == _MASKS and path.suffix == ".png" and exists(str(path.parent.parent / _TABLE))
    return MASK if in_masks or of_frame(_MASK_END, SUFFIXES) else ""


def _holds_results(folder: Path, out: Path | None) -> bool:
    """Whether `measure` or `archive` writes there, or has written: overlays and reports are not frames."""
    here = out is not None and folder.resolve() == out.resolve()
    return here or ((folder / RESULTS).is_file() and (folder / OVERLAYS).is_dir()) or is_archived(folder)


def is_archived(folder: Path) -> bool:
    """Whether `archive` has written there: `measure` has a `call.json` too, and its user may have a folder `frames`."""
    return (folder / CALL).is_file() and any((folder / "frames").glob("*.parquet"))


def _in_results(folder: Path, out: Path | None) -> bool:
    """Whether a folder holds results, or is inside such a folder: the reports of `archive` are two levels down."""
    return (
        _holds_results(folder, out)
        or (folder.name in PARTS and _holds_results(folder.parent, out))
        or any(map(is_archived, folder.parents[:2]))
    )


def is_wanted(name: str, head: Callable[[], bytes]) -> bool:
    """Whether a file in a folder is to be read: by its name, else by its first bytes, which `head` reads."""
    suffix = PurePosixPath(name).suffix.lower()
    if name.startswith(".") or name == "DICOMDIR":
        return False
    if suffix in (*SUFFIXES, *DICOM_SUFFIXES) or is_archive(name):
        return True
    # exports of picture archives name their files IM_0001, or by a UID: 1.2.840.10008
    return (not suffix or suffix[1:].isdigit()) and is_dicom(head())


def _is_wanted_or_unreadable(name: str, head: Callable[[], bytes]) -> bool:
    """As `is_wanted`; a file whose first bytes cannot be read is a source too: reading it gives the reason."""
    try:
        return is_wanted(name, head)
    except Exception:  # OSError of a file; a member with a password, damage or another compression raises anything
        return True


def _head(path: Path) -> bytes:
    try:
        return head_of(path) if stat.S_ISREG(path.stat().st_mode) else b""
    except FileNotFoundError:  # a link to nothing
        return b""


def expand(path: Path, left_out: Counter[str]) -> list[Source]:
    """List the frames of an archive, or the file itself; an archive not (fully) listed is itself a source as well.

    Args:
      path: of a file.
      left_out: counts the archive's other files.
    """
    if not is_archive(path.name):
        return [Source(path)]
    try:
        entries, whole = archives.entries(path)
        names, sources = {entry.name for entry in entries}, []
        for entry in entries:
            name = PurePosixPath(entry.name)
            if "__MACOSX" in name.parts:
                continue
            if label := _label(name, names.__contains__):
                left_out[label] += 1
            elif _is_wanted_or_unreadable(name.name, entry.head):
                sources.append(Source(path, entry.name))
            else:
                left_out[_kind(name)] += 1
        found = list(dict.fromkeys(sources))  # a name may occur twice, which its row reports
        return found if whole else [*found, Source(path)]
    except Exception:  # a mutated archive raises anything; the file gets a row that reports it
        return [Source(path)]
