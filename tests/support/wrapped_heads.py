"""A drawn head in a file of any format, depth, orientation, aspect and calibration, from one seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, TiffImagePlugin
from pydicom.dataset import FileDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian
from scipy import ndimage

from fetal_jax.geometry import Ellipse, perimeter, pixel_centres
from fetal_jax.reading.frame import Failure
from fetal_jax.reading.isolated import read
from fetal_jax.reading.sources import Source
from fetal_jax.reading.spacing import NOT_COVERED
from fetal_jax.reading.spacing_table import Spacings
from tests.support.dicom_files import GDCM_SYNTAXES, region, save, ultrasound

BRIGHT, THRESHOLD = 220, 140
Rng = np.random.Generator


@dataclass(frozen=True)
class Wrapped:
    """A file, what the caller says of its spacing, and the circumference that its plain PNG gives."""

    path: Path
    spacings: Spacings
    hc_mm: float
    says: str
    """Names of the wrapping, for messages."""
    misleading: bool
    """Whether its calibration is that of another size, so that only a refusal is right."""


def ellipse_of(pixels: np.ndarray) -> Ellipse:
    """The bright disc as the ellipse of the same moments."""
    labels, _ = ndimage.label(pixels > THRESHOLD)
    y, x = np.nonzero(labels == np.bincount(labels.ravel())[1:].argmax() + 1)
    covariance = np.cov(np.stack([x, y])) + np.eye(2) / 12
    values, vectors = np.linalg.eigh(covariance)
    return Ellipse.from_matrix((x.mean() + 0.5, y.mean() + 0.5), vectors * (2 * np.sqrt(values)))


def circumference(pixels: np.ndarray, mm: tuple[float, float]) -> float:
    """HC in mm of the bright disc at (row, column) millimetres per pixel."""
    matrix = np.diag([mm[1], mm[0]]) @ ellipse_of(pixels).axes_matrix
    b, a = sorted(np.linalg.svd(matrix, compute_uv=False))
    return float(perimeter(a, b))


def outcome(wrapped: Wrapped) -> float | str:
    """Millimetres, or the reason for none."""
    (item,) = read(Source(wrapped.path))
    if isinstance(item, Failure):
        return item.reason
    size = wrapped.spacings.of(item)
    if size.mm is None:
        return size.reason
    return circumference(item.pixels, size.mm) if size.covers(ellipse_of(item.pixels)) else NOT_COVERED


def draw(rng: Rng, folder: Path) -> Wrapped:
    """One file in `folder`."""
    height, width = int(rng.integers(180, 300)), 4 * int(rng.integers(55, 100))  # GDCM compresses no odd lengths
    pixels = _head(rng, height, width)
    mm = float(rng.uniform(0.1, 0.6))
    hc = circumference(pixels, (mm, mm))
    aspect = float(rng.choice([1, 1, 1, 0.5, 0.75, 1.5]))  # height of a pixel over its width
    if aspect != 1:
        pixels = _resized(pixels, round(height / aspect), width)
    sizes = (mm * height / len(pixels), mm)
    if rng.random() < 0.55:
        return _dicom(rng, folder, pixels, sizes, hc)
    return _image(rng, folder, pixels, sizes, hc, aspect)


def _head(rng: Rng, height: int, width: int) -> np.ndarray:
    a = rng.uniform(0.22, 0.38) * height
    ellipse = Ellipse(
        width * rng.uniform(0.4, 0.6),
        height * rng.uniform(0.45, 0.55),
        a,
        a * rng.uniform(0.7, 0.95),
        rng.uniform(-1, 1),
    )
    local = (pixel_centres(height, width) - ellipse.ends.mean(0)) @ np.linalg.inv(ellipse.axes_matrix).T
    inside = np.clip((1 - np.hypot(*np.moveaxis(local, -1, 0))) * ellipse.b + 0.5, 0, 1)  # a soft edge of a pixel
    speckle = ndimage.gaussian_filter(rng.uniform(0, 120, (height, width)), 1.5)
    return np.round(speckle + inside * (BRIGHT - speckle)).astype(np.uint8)


def _resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def _given(rng: Rng, path: Path, sizes: tuple[float, float]) -> tuple[Spacings, str]:
    """A number, or a table with one or two columns; one number for both axes only where a file may contradict it."""
    if rng.random() < 0.4:
        return Spacings("csv", table={path.name: sizes}), "table of pairs"
    return Spacings("flag", constant=float(rng.choice(sizes))), "one number"


def _image(rng: Rng, folder: Path, pixels: np.ndarray, sizes: tuple[float, float], hc: float, aspect: float) -> Wrapped:
    suffix = str(rng.choice(["png", "jpg", "tif", "bmp"]))
    mode = str(rng.choice(["L", "RGB", "P"] if suffix != "jpg" else ["L", "RGB"]))
    orientation = int(rng.integers(1, 9)) if suffix != "bmp" and rng.random() < 0.5 else 1
    path = folder / f"head.{suffix}"
    spacings, given = _given(rng, path, sizes)
    inverse = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: np.transpose}
    inverse |= {6: np.rot90, 7: lambda a: np.rot90(a, 2).T, 8: lambda a: np.rot90(a, -1)}
    image = Image.fromarray(np.ascontiguousarray(inverse[orientation](pixels))).convert(mode)
    dpi = (100.0, 100 / aspect)  # of the upright picture: height over width is x / y
    dpi = (round(dpi[1]), round(dpi[0])) if orientation >= 5 else (round(dpi[0]), round(dpi[1]))
    options: dict = {"quality": 95} if suffix == "jpg" else {}
    if aspect != 1 or rng.random() < 0.5:
        options["dpi"] = dpi
    if orientation != 1 and suffix == "tif":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[274] = orientation
        options["tiffinfo"] = tags
    elif orientation != 1:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    image.save(path, **options)
    return Wrapped(path, spacings, hc, f"{suffix} {mode} orientation {orientation} aspect {aspect} {given}", False)


def _dicom(rng: Rng, folder: Path, pixels: np.ndarray, sizes: tuple[float, float], hc: float) -> Wrapped:
    ds, kind = _stored(rng, pixels)
    syntaxes = [None, None, "rle", "jpeg_lossless", "jpeg_2000_lossless", "jpeg_ls_lossless", "deflated"]
    syntax = rng.choice(syntaxes) if kind in ("grey", "rgb", "inverted") else rng.choice([None, "deflated"])
    path = folder / "head.dcm"
    spacings, given = Spacings("none"), "header"
    calibration = str(rng.choice(["region", "spacing", "both", "placeholder", "part", "aspect", "none"]))
    box: dict[str, object] = {}
    if calibration == "part":
        left, top = (int(rng.integers(0, side // 3)) for side in (ds.Columns, ds.Rows))
        right, bottom = (int(rng.integers(side // 2, side)) for side in (ds.Columns, ds.Rows))
        box = {"RegionLocationMinX0": left, "RegionLocationMinY0": top}
        box |= {"RegionLocationMaxX1": right, "RegionLocationMaxY1": bottom}
    scale, misleading = 1.0, False
    if calibration in ("region", "both", "placeholder", "part"):
        last = {"RegionLocationMaxX1": int(ds.Columns) - 1, "RegionLocationMaxY1": int(ds.Rows) - 1}
        ds.SequenceOfUltrasoundRegions = [region(*sizes, **(last | box))]
    if calibration in ("spacing", "both"):
        ds.PixelSpacing = [f"{s:.6g}" for s in sizes]
    if calibration == "placeholder":
        ds.PixelSpacing = [1, 1]
    if calibration == "aspect":
        ds.PixelAspectRatio = [round(1000 * sizes[0] / sizes[1]), 1000]
    if calibration in ("aspect", "none"):
        spacings, given = _given(rng, path, sizes)
        if calibration == "none" and given == "one number" and sizes[0] != sizes[1]:
            spacings, given = Spacings("csv", table={path.name: sizes}), "table of pairs"
    if calibration in ("region", "placeholder") and kind == "grey" and rng.random() < 0.4:
        scale, misleading = float(rng.choice([0.5, 0.75, 1.5, 2.0])), True
        small = _resized(pixels, 2 * round(len(pixels) * scale / 2), round(pixels.shape[1] * scale))
        ds.Rows, ds.Columns, ds.PixelData = *small.shape, small.tobytes() + b"\0" * (small.size % 2)
    if syntax == "deflated":
        ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    save(ds, path, syntax if syntax in GDCM_SYNTAXES else None)
    return Wrapped(path, spacings, hc, f"{kind} {syntax} {calibration} {given} {sizes} scale {scale}", misleading)


def _stored(rng: Rng, pixels: np.ndarray) -> tuple[FileDataset, str]:
    """A data set that shows these pixels, and how."""
    kind = str(rng.choice(["grey", "grey", "inverted", "rgb", "ybr", "palette", "deep", "unused", "signed"]))
    if kind == "inverted":
        return ultrasound(255 - pixels, None, "MONOCHROME1"), kind
    if kind == "rgb":
        return ultrasound(np.stack([pixels] * 3, -1)), kind
    if kind == "ybr":
        return ultrasound(np.stack([pixels, *[np.full_like(pixels, 128)] * 2], -1), None, "YBR_FULL"), kind
    if kind == "deep":
        ds = ultrasound(pixels.astype(np.uint16) * 16)
        ds.BitsStored, ds.HighBit = 12, 11
        return ds, kind
    if kind == "unused":
        return ultrasound(pixels.astype(np.uint16)), kind
    if kind == "signed":
        ds = ultrasound(pixels)
        data = (pixels.astype(int) - 128).astype(np.int8).tobytes()
        ds.PixelRepresentation, ds.PixelData = 1, data + b"\0" * (len(data) % 2)
        return ds, kind
    if kind == "palette":
        ds, scale = ultrasound(pixels, None, "PALETTE COLOR"), int(rng.choice([1, 257]))
        for name in ("Red", "Green", "Blue"):
            setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
            ds[f"{name}PaletteColorLookupTableDescriptor"].VR = "US"
            setattr(ds, f"{name}PaletteColorLookupTableData", (np.arange(256) * scale).astype("<u2").tobytes())
        return ds, kind
    return ultrasound(pixels), "grey"
