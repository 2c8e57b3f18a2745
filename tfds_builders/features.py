"""The features dictionary shared by all builders, and the example that fills it."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
import tensorflow_datasets as tfds
from numpy.typing import NDArray

from fetal_jax import geometry, planes

Array = NDArray[Any]

NO_SHAPE = np.full(5, np.nan, np.float32)


def features() -> tfds.features.FeaturesDict:
    """Make the features: pixels, geometry, scale and origin. Unknown values are NaN, -1 or `unknown`."""
    scalar = tfds.features.Scalar(np.float32)
    shape = tfds.features.Tensor(shape=(5,), dtype=np.float32)
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 1), dtype=np.uint8, encoding_format="png"),
            "segmentation_mask": tfds.features.Image(shape=(None, None, 1), dtype=np.uint8, encoding_format="png"),
            "plane": tfds.features.ClassLabel(names=list(planes.PLANES)),
            "geometry": tfds.features.ClassLabel(names=list(planes.GEOMETRIES)),
            "ellipse": shape,
            "shaft": shape,
            "spacing_mm": scalar,
            **dict.fromkeys(planes.MILLIMETRES, scalar),
            "subject": tfds.features.Text(),
            "device": tfds.features.Text(),
            "filename": tfds.features.Text(),
        }
    )


def png(image: Array) -> io.BytesIO:
    """Encode a grey image as PNG in memory: TFDS without TensorFlow takes encoded bytes, not arrays."""
    return io.BytesIO(cv2.imencode(".png", image)[1].tobytes())


def example(
    image: Array,
    plane: str,
    shape: geometry.Ellipse | geometry.Shaft | None,
    spacing_mm: float,
    *,
    subject: str,
    device: str,
    filename: str,
    millimetres: dict[str, float],
) -> dict[str, Any]:
    """Build one example from a grey frame (H, W) uint8 and its geometry in the frame's pixels.

    Args:
      image: the frame.
      plane: one of `planes.PLANES`.
      shape: the measured structure; None if the frame has no structure, or no annotation of it.
      spacing_mm: mm per pixel, NaN if unknown.
      subject: label of a woman or examination, whose frames all belong to one split.
      device: the ultrasound machine, "" if unknown.
      filename: name of the source file.
      millimetres: the lengths of `planes.MILLIMETRES` that the source gives.
    """
    inside = np.zeros(image.shape, np.uint8) if shape is None else geometry.mask(shape, *image.shape).astype(np.uint8)
    without = "unknown" if plane in planes.SHAPE_OF_PLANE else "none"
    kind = {geometry.Ellipse: "ellipse", geometry.Shaft: "shaft", type(None): without}[type(shape)]
    return {
        "image": png(image),
        "segmentation_mask": png(inside),
        "plane": plane,
        "geometry": kind,
        "ellipse": np.asarray(shape, np.float32) if kind == "ellipse" else NO_SHAPE,
        "shaft": np.asarray(shape, np.float32) if kind == "shaft" else NO_SHAPE,
        "spacing_mm": np.float32(spacing_mm),
        **{name: np.float32(millimetres.get(name, np.nan)) for name in planes.MILLIMETRES},
        "subject": subject,
        "device": device,
        "filename": filename,
    }
