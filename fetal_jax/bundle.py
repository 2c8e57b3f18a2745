"""A bundle, the folder that holds an exported network: read, write, check. Plain Python.

It has `bundle.json`, the network (`model.onnx`, `model.stablehlo`) and `MODEL_CARD.md`. The network takes grey frames
(B, H, W, 1) uint8, normalises them itself, and returns the logits of the map (B, H, W) and of the planes (B, P),
float32. Its weights are stored in half precision; those of older bundles in single precision.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from fetal_jax import files
from fetal_jax.errors import UserError
from fetal_jax.planes import PLANES

SCHEMA = 1
INFO = "bundle.json"
ONNX, STABLEHLO, CARD = "model.onnx", "model.stablehlo", "MODEL_CARD.md"
HALF = "model.half.onnx"
"""Older bundles may have it: the network with half-precision weights, which `model.onnx` itself has now. Nothing runs
it."""
SHIPPED = Path(__file__).parent / "bundles"
DEFAULT = SHIPPED / "default"
"""Classifies planes and measures all three structures; `heads` beside it measures only heads like those of HC18."""
PREPROCESSING = (
    "grey (ITU-R BT.601); the whole frame letterboxed, isotropic in millimetres, centred, black around; "
    "shrunk by areas (Hamming window), then bilinear; bytes, which the network normalises itself"
)
"""Preprocessing of `preprocess.py`. A bundle made for another one is refused."""
OUTLINE = 0.5
"""Probability at which the contour is measured."""


@dataclass(frozen=True)
class BundleInfo:
    """Input and output of a network, its calibration and its origin: the content of `bundle.json`."""

    planes: tuple[str, ...]
    """Classes of the plane classifier, in the order of its logits."""
    input_shape: tuple[int, int]
    """(H, W) of the letterbox: grey, isotropic in millimetres, centred, black around."""
    flip_average: bool
    """Whether predictions are averaged with those of the mirrored frame."""
    close_up: float = 0.0
    """Share of the canvas that a structure fills when the network looks at it a second time; 0: it looks once."""
    preprocessing: str = PREPROCESSING
    outline: float = OUTLINE
    temperature: float = 1.0
    """Divisor of the plane logits (temperature scaling)."""
    intervals: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Conformal intervals of "hc_mm", "ac_mm", "fl_mm": {"level": 0.9, "factor": q} means that 90 % of the values are
    within q `sd_mm` of the truth. With `frames`, `subjects` and `data`: the calibration split it was computed on."""
    acceptance: dict[str, dict[str, Any]] = field(default_factory=dict)
    """For "head", "abdomen", "femur": {"data": …}, the rule that decides which values need no review, and the data that
    it was chosen on. With a score also `score`, a logistic model of the error probability (`inference/score.py`), and
    `limit`; without one, values without a flag need no review. A plane without a rule is not calibrated: each of its
    values must be reviewed."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """`metrics.json` of an evaluation."""
    shaft_width: str = "1/12 of the length, at least 3 network pixels, where the calipers give none"
    training: dict[str, Any] = field(default_factory=dict)
    """The configuration, the data set, its fingerprint and the number of steps."""
    licence: str = ""
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each file of the bundle."""
    schema: int = SCHEMA


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def find(name: str | Path) -> Path:
    """Folder of a bundle: a shipped one by its bare name, any other by its path.

    A bare name means the shipped bundle even where the current folder has a folder of that name; `./heads` means the
    folder. A `Path` is never taken as a name: it has lost its `./`, and `find` must leave its own results unchanged.
    """
    if not isinstance(name, str):
        return Path(name)
    shipped = SHIPPED / name
    if os.sep in name or name in ("", ".", "..") or not shipped.is_dir():
        return Path(name)
    if Path(name).is_dir():
        print(f"note: {name} is the shipped bundle; for the folder {name}, give ./{name}", file=sys.stderr)
    return shipped


def is_shipped(folder: Path) -> bool:
    """Whether a bundle came with the program."""
    return folder.resolve().is_relative_to(SHIPPED.resolve())


def write(folder: Path, info: BundleInfo) -> None:
    """Write `bundle.json` for the network's files in the folder, with their digests."""
    digests = {name: sha256(folder / name) for name in (ONNX, HALF, STABLEHLO, CARD) if (folder / name).is_file()}
    files.write_whole(folder / INFO, json.dumps(asdict(info) | {"files": digests}, indent=2) + "\n")


def update(folder: Path, info: BundleInfo, copy: Path) -> Path:
    """Write new info into a bundle, or into a copy of a shipped one: the installed package is not changed.

    Args:
      folder: the bundle.
      info: the new content of its `bundle.json`.
      copy: where a copy of a shipped bundle goes.

    Returns:
      The folder of the bundle that has the new info.

    Raises:
      UserError: `copy` is a folder that holds something else.
    """
    if is_shipped(folder):
        with replacing(copy) as draft:
            for name in info.files:
                (draft / name).write_bytes((folder / name).read_bytes())
            write(draft, info)
        return copy
    write(folder, info)
    return folder


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Make a bundle whole or not at all: write its files into the folder that this yields.

    When the block ends they take the places of the old ones, `bundle.json` last; if it raises, nothing has changed. A
    kill between two files leaves a folder that `read` refuses, and that the next call replaces.

    Raises:
      UserError: the folder holds something else than a bundle, or another process writes there.
    """
    if files.in_bucket(folder):
        yield folder
        return
    folder = Path(folder)  # it may be an `epath.Path`
    draft = folder / ".fetal-jax-bundle.draft"
    others = {path.name for path in folder.iterdir()} - {files.LOCK} if folder.exists() else set()
    if others and not _is_ours(folder / INFO) and draft.name not in others:
        raise UserError(f"{folder} is not empty and not a bundle: give another --out")
    with files.lock(folder, "wait for it to end, or give another --out"):
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        try:
            yield draft
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        for name in (ONNX, HALF, STABLEHLO, CARD, INFO):
            if (draft / name).is_file():
                os.replace(draft / name, folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
        draft.rmdir()


def _is_ours(path: Path) -> bool:
    """Whether this program wrote a `bundle.json`, in any version: other programs have files of that name too."""
    try:
        saved = json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return isinstance(saved, dict) and {"schema", "files"} <= set(saved)


def read(folder: Path) -> BundleInfo:
    """Read `bundle.json` and check the files of a bundle.

    Raises:
      UserError: the folder is no folder or not a bundle, cannot be read, or is a newer or damaged bundle; names the
        file.
    """
    path = folder / INFO
    try:
        saved = json.loads(path.read_text())
    except FileNotFoundError:
        shipped = ", ".join(sorted(p.name for p in SHIPPED.iterdir() if p.is_dir()))
        what = f"give the name of a shipped one as text ({shipped}), or make one with fetal-jax export"
        if (folder / "config.json").exists():
            what = f"it is a run: fetal-jax export --workdir={folder} --out=BUNDLE makes one"
        raise UserError(f"{folder} is not a bundle: it has no {INFO}; {what}") from None
    except NotADirectoryError:
        raise UserError(f"{folder} is not a folder: if it is a file of a bundle, give its folder") from None
    except OSError as e:
        raise UserError(
            f"{path} cannot be read ({e.strerror or e}): make it readable, or give another bundle"
        ) from None
    except ValueError:
        raise UserError(f"{path} is damaged: export the bundle again, into another folder") from None
    if not isinstance(saved, dict) or "schema" not in saved:
        raise UserError(f"{path} is not a bundle of fetal-jax: make one with fetal-jax export")
    if saved["schema"] != SCHEMA:
        raise UserError(f"{path} has schema {saved['schema']}, this program reads {SCHEMA}: update fetal_jax")
    names = {f.name for f in fields(BundleInfo)}
    wrong = (set(saved) - names) | (names - set(saved) - _LATER)
    if wrong:
        raise UserError(f"{path}: wrong keys {', '.join(sorted(wrong))}: export the bundle again")
    _check_values(path, saved)
    for name, digest in saved["files"].items():
        if not (folder / name).is_file():
            raise UserError(f"{folder / name} is missing: copy or export the bundle again")
        if sha256(folder / name) != digest:
            raise UserError(f"{folder / name} is not what {INFO} describes: copy or export the bundle again")
    saved["planes"], saved["input_shape"] = tuple(saved["planes"]), tuple(saved["input_shape"])
    return BundleInfo(**saved)


_LATER = {"close_up", "preprocessing", "outline", "temperature", "intervals", "acceptance", "metrics"}
"""Keys that the first bundles do not have; the defaults are right for them."""


def _check_values(path: Path, saved: dict[str, Any]) -> None:
    """Refuse impossible values, and a bundle that needs another preprocessing or contour."""
    planes, shape, files = saved["planes"], saved["input_shape"], saved["files"]
    temperature, intervals = saved.get("temperature", 1.0), saved.get("intervals", {})
    possible = {
        "planes": isinstance(planes, list) and planes and set(map(str, planes)) <= set(PLANES),
        "input_shape": isinstance(shape, list) and len(shape) == 2 and all(isinstance(v, int) and v > 0 for v in shape),
        "flip_average": isinstance(saved["flip_average"], bool),
        "close_up": isinstance(share := saved.get("close_up", 0.0), int | float) and 0 <= share <= 1,
        "files": isinstance(files, dict) and set(files) <= {ONNX, HALF, STABLEHLO, CARD},
        "temperature": isinstance(temperature, int | float) and 0.01 < temperature < 100,
        "intervals": isinstance(intervals, dict)
        and all(
            isinstance(i, dict) and {"level", "factor"} <= set(i) <= {"level", "factor", "frames", "subjects", "data"}
            for i in intervals.values()
        ),
        "acceptance": _fine_acceptance(saved.get("acceptance", {})),
    }
    for key, fine in possible.items():
        if not fine:
            raise UserError(f"{path}: {key} is {str(saved[key])[:60]}: export the bundle again")
    for key, ours in (("preprocessing", PREPROCESSING), ("outline", OUTLINE)):
        if saved.get(key, ours) != ours:
            raise UserError(f"{path} was made for another {key} than this program's: update fetal_jax")


def _fine_acceptance(rules: Any) -> bool:
    """Whether each rule names its data, and a rule with a score all that the score needs."""
    return isinstance(rules, dict) and all(
        isinstance(rule, dict)
        and {"data"} <= set(rule) <= {"data", "frames", "subjects", "score", "limit"}
        and ("score" in rule) == ("limit" in rule)
        and {"inputs", "weights", "bias"} == set(rule.get("score", ("inputs", "weights", "bias")))
        for rule in rules.values()
    )
