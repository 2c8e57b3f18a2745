"""A frame -> its plane and millimetres: the one way in, for a bundle as for a run in training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from fetal_jax import bundle, geometry
from fetal_jax.biometry import Measurement, measure
from fetal_jax.bundle import BundleInfo
from fetal_jax.errors import UserError
from fetal_jax.planes import PRIMARY, SHAPE_OF_PLANE
from fetal_jax.preprocess import Letterbox, Spacing, to_grey

Array = NDArray[Any]
Forward = Callable[[Array], tuple[Array, Array]]
"""Grey frames (B, H, W, 1) uint8 -> logits of the map (B, H, W) and of the planes (B, P)."""


@dataclass(frozen=True)
class Prediction:
    """What the network says of one frame, before anything is measured."""

    probability: Array  # (H, W) in network pixels
    planes: dict[str, float]  # probability of each plane that the network tells apart


@dataclass(frozen=True)
class FrameResult:
    """What is said of one frame.

    `status` is "measured" or "refused", with a `reason` a person can act on. The measurement's geometry is in the
    frame's own pixels; None where nothing was looked for.
    """

    status: str
    plane: str
    plane_probability: float | None
    measurement: Measurement | None
    reason: str = ""
    interval_mm: tuple[float, float] | None = None
    """Where HC, AC or FL lies, as often as the bundle's table says; None where it has no table."""

    def value(self, name: str) -> Any:
        """A value of the measurement, such as "hc_mm"; None where it was not measured or not accepted."""
        return getattr(self.measurement, name) if self.status == "measured" else None

    @property
    def hc_mm(self) -> float | None:
        """Head circumference."""
        return self.value("hc_mm")

    @property
    def ac_mm(self) -> float | None:
        """Abdominal circumference."""
        return self.value("ac_mm")

    @property
    def fl_mm(self) -> float | None:
        """Femur length."""
        return self.value("fl_mm")


@dataclass(frozen=True)
class Predictor:
    """A network and how to feed it."""

    info: BundleInfo
    forward: Forward

    @classmethod
    def from_bundle(cls, path: str | Path = bundle.DEFAULT, runtime: str = "onnx") -> Self:
        """Open a bundle.

        Args:
          path: its directory, or the name of a shipped one: "default" or "heads".
          runtime: "onnx" (ONNX Runtime, the base install), "onnx-half" (its weights in half precision) or "jax"
            (StableHLO).

        Raises:
          UserError: no bundle, a damaged or newer one, or a runtime that is not installed.
        """
        from fetal_jax.inference import runtimes

        folder = bundle.find(path)
        info = bundle.read(folder)
        return cls(info, runtimes.load(folder, info, runtime))

    @property
    def letterbox(self) -> Letterbox:
        """Frame -> network pixels."""
        return Letterbox(*self.info.input_shape)

    def predict(self, frames: Sequence[Array], spacings: Sequence[Spacing | None]) -> list[Prediction]:
        """Maps and planes of frames (H, W[, C]) uint8 of any sizes, as one batch."""
        fed = np.stack([self.letterbox(to_grey(f), s) for f, s in zip(frames, spacings, strict=True)])[..., None]
        maps, planes = self._probabilities(fed)
        if self.info.flip_average:
            mirrored_maps, mirrored_planes = self._probabilities(np.ascontiguousarray(fed[:, :, ::-1]))
            maps, planes = (maps + mirrored_maps[:, :, ::-1]) / 2, (planes + mirrored_planes) / 2
        named = [dict(zip(self.info.planes, map(float, p), strict=True)) for p in planes]
        return [Prediction(m, p) for m, p in zip(maps, named, strict=True)]

    def _probabilities(self, fed: Array) -> tuple[Array, Array]:
        map_logits, plane_logits = self.forward(fed)
        return expit(map_logits), softmax(plane_logits / self.info.temperature, axis=-1)

    def measure(self, frame: Array, spacing_mm: Spacing | None, plane: str = "auto") -> FrameResult:
        """Measure one frame.

        Args:
          frame: (H, W), (H, W, 1) or (H, W, 3) uint8.
          spacing_mm: mm per pixel of the frame, one number or (row, column); None gives no millimetres.
          plane: "head", "abdomen" or "femur"; "auto" lets the network say.

        Raises:
          UserError: a plane that the network was not trained on, "auto" for one that cannot tell planes apart.
          ValueError: what is not a frame, a plane or a spacing.
        """
        return self.measure_batch([frame], [spacing_mm], plane)[0]

    def measure_batch(
        self, frames: Sequence[Array], spacings: Sequence[Spacing | None], plane: str = "auto"
    ) -> list[FrameResult]:
        """`measure` of several frames, as one batch through the network."""
        self.check_plane(plane)
        predictions = self.predict(frames, spacings)
        triples = zip(predictions, frames, spacings, strict=True)
        return [self._result(p, (f.shape[0], f.shape[1]), s, plane) for p, f, s in triples]

    def check_plane(self, plane: str) -> None:
        """Refuse a plane that is not measured or not the network's, and "auto" where it knows fewer than two."""
        if plane != "auto" and plane not in SHAPE_OF_PLANE:
            raise UserError(f"--plane={plane} is not measured; one of auto, {', '.join(SHAPE_OF_PLANE)} is")
        if plane != "auto" and plane not in self.info.planes:
            raise UserError(
                f"--plane={plane}: this bundle was not trained on it, only on {', '.join(self.info.planes)}: "
                "give another --bundle"
            )
        if plane == "auto" and len(self.info.planes) < 2:
            only = self.info.planes[0]
            raise UserError(
                f"this bundle cannot tell planes apart (it was trained on {only} alone): give --plane={only}"
            )

    def _result(self, seen: Prediction, shape: tuple[int, int], spacing: Spacing | None, asked: str) -> FrameResult:
        plane = max(seen.planes, key=lambda p: seen.planes[p]) if asked == "auto" else asked
        probability = seen.planes.get(plane) if len(self.info.planes) > 1 else None
        if plane not in SHAPE_OF_PLANE:
            reason = "not a plane that is measured; give --plane to measure it all the same"
            return FrameResult("refused", plane, probability, None, reason)
        found = self.measure_map(seen.probability, plane, shape, spacing)
        if found.accepted:
            return FrameResult("measured", plane, probability, found, interval_mm=self.interval(found))
        if found.flags == ("no spacing",):
            reason = "no spacing: give --spacing-mm or --spacing-csv for millimetres"
        else:
            reason = "; ".join(found.flags)
        return FrameResult("refused", plane, probability, found, reason)

    def interval(self, found: Measurement) -> tuple[float, float] | None:
        """Where HC, AC or FL lies in mm, by the bundle's table; None without a table, a figure or its estimate."""
        table = self.info.intervals.get(PRIMARY[found.plane])
        if table is None or found.primary_mm is None or found.sd_mm is None:
            return None
        half = table["factor"] * found.sd_mm
        return max(found.primary_mm - half, 0.0), found.primary_mm + half

    def measure_map(
        self, probability: Array, plane: str, shape: tuple[int, int], spacing: Spacing | None
    ) -> Measurement:
        """Measure a network map of a frame of `shape`; geometry comes back in the frame's own pixels."""
        to_network = self.letterbox.to_network(shape, spacing)
        x0, y0, x1, y1 = self.letterbox.frame_box(shape, spacing)
        network_mm = None
        if spacing is not None:
            row_mm = spacing[0] if isinstance(spacing, tuple) else spacing
            network_mm = float(row_mm / to_network[1, 1])
        found = measure(probability, plane, network_mm, frame=(x0, y0, x1, y1))
        back = geometry.invert(to_network)
        return replace(
            found,
            ellipse=found.ellipse and found.ellipse.transform(back),
            shaft=found.shaft and found.shaft.transform(back),
        )
