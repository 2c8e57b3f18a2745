"""What a bundle holds: read, write, check. Plain Python.

A bundle is one directory: `bundle.json` beside the exported network (`model.onnx`, `model.stablehlo`) and its
`MODEL_CARD.md`. The network takes grey frames (B, H, W, 1) uint8, normalises them itself, and gives the map's logits
(B, H, W) and the planes' logits (B, P), float32.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from fetal_jax.errors import UserError

SCHEMA = 1
INFO = "bundle.json"
ONNX, STABLEHLO, CARD = "model.onnx", "model.stablehlo", "MODEL_CARD.md"
DEFAULT = Path(__file__).parent / "bundles" / "default"


@dataclass(frozen=True)
class BundleInfo:
    """How a network is to be fed and read, and where it comes from."""

    planes: tuple[str, ...]
    """What the class head tells apart, in the order of its logits."""
    input_shape: tuple[int, int]
    """(H, W) of the letterbox: grey, isotropic in millimetres, centred, black around."""
    flip_average: bool
    """Whether the map and the planes are averaged with those of the mirrored frame."""
    shaft_width: str = "1/12 of the length, at least 3 network pixels, where the calipers give none"
    training: dict[str, Any] = field(default_factory=dict)
    """The recipe, the data set, its fingerprint and the number of steps."""
    licence: str = ""
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each file of the bundle."""
    schema: int = SCHEMA


def sha256(path: Path) -> str:
    """The digest of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(folder: Path, info: BundleInfo) -> None:
    """Write `bundle.json` for the files that lie in the folder, with their digests."""
    files = {name: sha256(folder / name) for name in (ONNX, STABLEHLO, CARD) if (folder / name).is_file()}
    text = json.dumps(asdict(info) | {"files": files}, indent=2)
    (folder / INFO).write_text(text + "\n")


def read(folder: Path) -> BundleInfo:
    """The info of a bundle whose files are all as they were written.

    Raises:
      UserError: no bundle there, a newer one, or a damaged one; says which file.
    """
    path = folder / INFO
    try:
        saved = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{folder} is no bundle: it has no {INFO}; make one with fetal-jax export") from None
    except ValueError:
        raise UserError(f"{path} is damaged: export the bundle again") from None
    if not isinstance(saved, dict) or "schema" not in saved:
        raise UserError(f"{path} is not a bundle of fetal-jax: make one with fetal-jax export")
    if saved["schema"] != SCHEMA:
        raise UserError(f"{path} has schema {saved['schema']}, this program reads {SCHEMA}: update fetal_jax")
    names = {f.name for f in fields(BundleInfo)}
    if set(saved) != names:
        raise UserError(f"{path}: wrong keys {', '.join(sorted(set(saved) ^ names))}: export the bundle again")
    for name, digest in saved["files"].items():
        if not (folder / name).is_file():
            raise UserError(f"{folder / name} is missing: copy or export the bundle again")
        if sha256(folder / name) != digest:
            raise UserError(f"{folder / name} is not what {INFO} describes: copy or export the bundle again")
    saved["planes"], saved["input_shape"] = tuple(saved["planes"]), tuple(saved["input_shape"])
    return BundleInfo(**saved)
