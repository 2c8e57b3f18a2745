"""A frame -> its plane and millimetres: the single entry point, for a bundle and for a network in training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL.Image import Image
from scipy.special import expit, softmax

from fetal_jax import bundle, geometry
from fetal_jax.biometry import Measurement, measure
from fetal_jax.bundle import BundleInfo
from fetal_jax.errors import UserError
from fetal_jax.inference import acceptance, score
from fetal_jax.inference.margin import MARGIN, has_margin
from fetal_jax.inference.result import FrameResult
from fetal_jax.planes import PRIMARY, SHAPE_OF_PLANE
from fetal_jax.preprocess import Letterbox, Spacing, close_up, resample, to_grey, warp
from fetal_jax.reading.frame import Frame
from fetal_jax.reading.spacing import NOT_COVERED, PixelSize
from fetal_jax.reading.spacing_table import Spacings

Array = NDArray[Any]
Forward = Callable[[Array], tuple[Array, Array]]
"""Grey frames (B, H, W, 1) uint8 -> logits of the map (B, H, W) and of the planes (B, P)."""

SUCH_AS = "such as Spacings('flag', 0.12).of(frame)"
GIVE_SIZE = f"give its size, {SUCH_AS}"
SEVERAL = "several structures"
CLOSE_UP_WEIGHT = {"head": 1.0, "abdomen": 0.5, "femur": 2.0}
"""Weight of the second look's map beside the first one's in their mean. A close-up shows a femur's ends better, but not
what lies around an abdomen. Out of fold, values within 8 % with weights 0, 0.5, 1, 2 and 4: 113, 113, 110, 108 and 107
of 118 abdomens, 68, 71, 73, 75 and 73 of 92 femurs; mean errors of 523 heads: 1.60, 1.54, 1.49, 1.49 and 1.51 %."""
SYNTHETIC = "fetal_phantom/"
"""Prefix of the synthetic data sets' names."""


@dataclass(frozen=True)
class Prediction:
    """The network's output for one frame, before anything is measured.

    Attributes:
      probability: (H, W) in network pixels, that a pixel is of the structure.
      planes: probability of each plane that the network knows.
      pixels: (H, W) uint8, the frame in network pixels.
      to_network: (2, 3) affine map from the frame's pixels to the network's.
    """

    probability: Array
    planes: dict[str, float]
    pixels: Array
    to_network: Array


@dataclass(frozen=True)
class MeasuredMap:
    """A measurement on a map, with its geometry in network pixels."""

    seen: Prediction
    measurement: Measurement
    box: tuple[float, ...]  # (x0, y0, x1, y1) of the frame in the map; outside is padding


@dataclass(frozen=True)
class Predictor:
    """A network with its preprocessing, post-processing and acceptance rule."""

    info: BundleInfo
    forward: Forward
    runtime: str = "onnx"

    def __repr__(self) -> str:
        height, width = self.info.input_shape
        return f"<Predictor of {', '.join(self.info.planes)} at {width}x{height} pixels, runtime {self.runtime}>"

    @classmethod
    def from_bundle(cls, path: str | Path = bundle.DEFAULT, runtime: str = "onnx", threads: int = 0) -> Self:
        """Open a bundle.

        Args:
          path: its directory, or the name of a shipped one: "default" or "heads".
          runtime: "onnx" (ONNX Runtime, the base install) or "jax" (StableHLO).
          threads: number of threads of ONNX Runtime; 0: one per core.

        Raises:
          UserError: there is no bundle, it is damaged or newer than this version, or the runtime is not installed.
        """
        from fetal_jax.inference import runtimes

        folder = bundle.find(path)
        info = bundle.read(folder)
        return cls(info, runtimes.load(folder, info, runtime, threads), runtime)

    @property
    def letterbox(self) -> Letterbox:
        """The map from a frame to the network's canvas."""
        return Letterbox(*self.info.input_shape)

    def predict(self, frames: Sequence[Array], spacings: Sequence[Spacing | None]) -> list[Prediction]:
        """Maps and planes of whole frames (H, W[, C]) uint8 of any sizes, as one batch: the first look."""
        each = zip(frames, spacings, strict=True)
        return self._look(frames, [self.letterbox.to_network((f.shape[0], f.shape[1]), s) for f, s in each])

    def _look(self, frames: Sequence[Array], to_network: Sequence[Array], mirrored: bool = False) -> list[Prediction]:
        """Run the network on frames warped by affine maps (2, 3), or on their mirror images."""
        shape = self.info.input_shape
        fed = np.stack([warp(to_grey(f), m, shape) for f, m in zip(frames, to_network, strict=True)])
        maps, planes = self._probabilities((fed[:, :, ::-1] if mirrored else fed)[..., None])
        maps = maps[:, :, ::-1] if mirrored else maps
        named = [dict(zip(self.info.planes, map(float, p), strict=True)) for p in planes]
        return [Prediction(*each) for each in zip(maps, named, fed, to_network, strict=True)]

    def _probabilities(self, fed: Array) -> tuple[Array, Array]:
        """Probabilities of maps (B, H, W) and planes (B, P) for frames (B, H, W, 1) in network pixels."""
        flip = self.info.flip_average
        # one call for both: its threads synchronise half as often as in two calls
        map_logits, plane_logits = self.forward(np.concatenate([fed, fed[:, :, ::-1]]) if flip else fed)
        maps, planes = expit(map_logits), softmax(plane_logits, axis=-1)
        if flip:
            (maps, mirrored), (planes, mirrored_planes) = np.split(maps, 2), np.split(planes, 2)
            maps, planes = (maps + mirrored[:, :, ::-1]) / 2, (planes + mirrored_planes) / 2
        # after the average: the temperature was fitted to averaged probabilities
        return maps, tempered(planes, self.info.temperature)

    def measure(
        self, frame: Array | Image, spacing_mm: Any = None, plane: str = "auto", warnings: Sequence[str] = ()
    ) -> FrameResult:
        """Measure one frame.

        Args:
          frame: (H, W), (H, W, 1) or (H, W, 3) uint8, or a Pillow image. Two arrays give wrong values without a
            warning: np.asarray of an image with a palette, which holds the numbers of its colours, and pydicom's
            `pixel_array` of MONOCHROME1, in which echoes are dark. Give the Pillow image, and read DICOM by
            `fetal_jax.reading.isolated.read`.
          spacing_mm: mm per pixel of the frame: one number, or (row, column) as a tuple, list, array or pydicom's
            PixelSpacing; None gives no millimetres.
          plane: "head", "abdomen" or "femur"; "auto" takes the one that the network sees.
          warnings: doubts about the frame itself, such as a decoder's warnings; any of them makes a value `review`.

        Raises:
          UserError: the plane is not one that is measured or that the network was trained on, or is "auto" for a
            network of one plane.
          ValueError: the array is not a frame, the spacing is not one or two positive numbers, or the warnings are not
            a sequence of texts.
        """
        return self.measure_batch([frame], [spacing_mm], plane, [warnings])[0]

    def measure_frame(self, frame: Frame, plane: str = "auto", size: PixelSize | None = None) -> FrameResult:
        """Measure a frame of a file (`fetal_jax.reading.isolated.read`), as `fetal-jax measure` does.

        Unlike `measure`, it heeds the part of the frame where the spacing holds, and says why there is none.

        Args:
          frame: with its pixels, its spacing and the decoder's warnings.
          plane: as in `measure`.
          size: in place of the frame's own spacing, from `Spacings.of(frame)`.

        Raises:
          UserError, ValueError: as `measure`; ValueError also for what is no `Frame`, such as a `Failure`, or no
            `PixelSize`.
        """
        if not isinstance(frame, Frame) or not isinstance(size, PixelSize | None):
            given = frame if not isinstance(frame, Frame) else size
            raise ValueError(
                f"give a Frame of fetal_jax.reading.isolated.read, and as its size a PixelSize, {SUCH_AS}, "
                f"not {type(given).__name__}"
            )
        size = size or Spacings("none", advice=GIVE_SIZE).of(frame)
        result = self.measure(frame.pixels, size.mm, plane, frame.warnings)
        shape = result.measurement and (result.measurement.ellipse or result.measurement.shaft)
        if shape and not size.covers(shape):
            return replace(result, status="refused", interval_mm=None, reasons=(NOT_COVERED,))
        why = f"no spacing: {size.reason}" if size.reason else acceptance.NO_SPACING
        return replace(result, reasons=tuple(why if r == acceptance.NO_SPACING else r for r in result.reasons))

    def measure_batch(
        self,
        frames: Iterable[Array | Image],
        spacings: Iterable[Any],
        plane: str = "auto",
        warnings: Sequence[Sequence[str]] | None = None,
    ) -> list[FrameResult]:
        """Measure several frames of any sizes, as one batch through the network.

        Args:
          frames: as in `measure`.
          spacings: one for each frame; None gives no millimetres.
          plane: one for all frames.
          warnings: a sequence of texts for each frame; None: no warnings.

        Raises:
          UserError, ValueError: as `measure`; ValueError also if there is not one spacing for each frame.
        """
        self.check_plane(plane)
        frames = list(frames)
        spacings = _one_for_each_frame("spacings", spacings, len(frames))
        warned = [()] * len(frames) if warnings is None else _one_for_each_frame("warnings", warnings, len(frames))
        for texts in warned:
            if isinstance(texts, str) or not isinstance(texts, Sequence):  # a string would be split into letters
                raise ValueError(f'warnings is a sequence of texts, such as ["premature end of file"], not {texts!r}')
        if not frames:
            return []
        pairs = [None if s is None else geometry.row_column_mm(s) for s in spacings]
        greys = [to_grey(f) for f in frames]  # once for both looks
        predictions = self.predict(greys, pairs)
        each = zip(predictions, greys, pairs, warned, strict=True)
        return [self.result(p, f, s, plane, w) for p, f, s, w in each]

    def check_plane(self, plane: str, argument: str = "plane") -> None:
        """Refuse a plane that is not measured or unknown to the network, and "auto" if it knows only one.

        Args:
          plane: as in `measure`.
          argument: its name in messages: "plane", or "--plane" on the command line.

        Raises:
          UserError: says which planes there are.
          ValueError: not a text.
        """
        known = self.info.planes
        if not isinstance(plane, str):
            raise ValueError(f"{argument} is one plane for all frames, such as 'head', not {plane!r}")
        if plane != "auto" and plane not in SHAPE_OF_PLANE:
            raise UserError(f"{argument}={plane} is not measured: give one of auto, {', '.join(SHAPE_OF_PLANE)}")
        if plane != "auto" and plane not in known:
            only = ", ".join(known)
            raise UserError(
                f"{argument}={plane}: this bundle was not trained on it, only on {only}: give another bundle"
            )
        if plane == "auto" and len(known) < 2:
            raise UserError(
                f"this bundle cannot tell planes apart (it was trained on {known[0]} alone): give {argument}={known[0]}"
            )

    def result(
        self,
        seen: Prediction,
        frame: Array,
        spacing: Spacing | None,
        asked: str = "auto",
        warnings: Sequence[str] = (),
    ) -> FrameResult:
        """Make the result from a prediction; `asked` and `warnings` as in `measure`."""
        plane = max(seen.planes, key=lambda p: seen.planes[p]) if asked == "auto" else asked
        probability = seen.planes.get(plane) if len(self.info.planes) > 1 else None
        if plane not in SHAPE_OF_PLANE:
            decision = acceptance.decide(None, seen.planes, plane, None)
            return FrameResult(decision.status, plane, probability, None, decision.reasons)
        looked = self.find(seen, frame, plane, spacing)
        found = looked.measurement
        rule = self.info.acceptance.get(plane)
        wrong, where = self._doubt(looked, rule)
        doubts = (*warnings, MARGIN) if has_margin(to_grey(frame)) else warnings
        decision = acceptance.decide(found, seen.planes, plane, rule, wrong, doubts, where)
        data = self._interval_data(plane)
        holds = data and decision.status in acceptance.WITH_VALUE and acceptance.plane_is_sure(seen.planes, plane)
        interval = self.interval(found) if holds else None
        return FrameResult(
            status=decision.status,
            plane=plane,
            plane_probability=probability,
            measurement=_in_frame_pixels(found, looked.seen.to_network),
            reasons=decision.reasons,
            interval_mm=interval,
            interval_data=data if interval else "",
            error_probability=wrong,
        )

    def find(self, seen: Prediction, frame: Array, plane: str, spacing: Spacing | None) -> MeasuredMap:
        """Measure the structure of a plane from a prediction.

        If `BundleInfo.close_up` is set, the network runs again on the structure that was found, enlarged and mirrored.
        The mean of both maps is measured, in which the second one has the plane's `CLOSE_UP_WEIGHT`.
        """
        first = self._measured(seen, frame, plane, spacing)
        outline = first.measurement.ellipse or first.measurement.shaft
        if outline is None or not self.info.close_up:
            return first
        shape, weight = self.info.input_shape, CLOSE_UP_WEIGHT[plane]
        to_network = close_up(seen.to_network, outline, shape, self.info.close_up)
        (closer,) = self._look([frame], [to_network], mirrored=True)
        again = geometry.compose(to_network, geometry.invert(seen.to_network))
        mean = (resample(seen.probability, again, shape) + weight * closer.probability) / (1 + weight)
        second = self._measured(replace(closer, probability=mean, planes=seen.planes), frame, plane, spacing)
        if SEVERAL not in first.measurement.flags or SEVERAL in second.measurement.flags:
            return second
        flags = (SEVERAL, *second.measurement.flags)  # the second picture may show only one of them
        return replace(second, measurement=replace(second.measurement, flags=flags))

    def _measured(self, seen: Prediction, frame: Array, plane: str, spacing: Spacing | None) -> MeasuredMap:
        height, width = self.info.input_shape
        (x0, y0), (x1, y1) = geometry.apply(seen.to_network, [(0, 0), (frame.shape[1], frame.shape[0])])
        box = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
        network_mm = None
        if spacing is not None:
            row_mm = spacing[0] if isinstance(spacing, tuple) else spacing
            network_mm = float(row_mm / seen.to_network[1, 1])
        return MeasuredMap(seen, measure(seen.probability, plane, network_mm, frame=box), box)

    def _doubt(self, looked: MeasuredMap, rule: dict[str, Any] | None) -> tuple[float | None, dict[str, str]]:
        """Compute the error probability, and the sides that flags refer to; fast if there is no doubt."""
        seen, found, box = looked.seen, looked.measurement, looked.box
        outline = found.ellipse or found.shaft
        if outline is None:
            return None, {}
        wrong, where = None, {}
        if rule is not None and "score" in rule:
            given = score.inputs(seen.probability, found, seen.planes[found.plane], box, seen.pixels)
            wrong = score.error_probability(rule["score"], given)
        if {"poor fit", "low confidence"} & set(found.flags):
            where = score.sides_in_words(seen.probability, seen.pixels, outline, box)
        return wrong, where

    def interval(self, found: Measurement) -> tuple[float, float] | None:
        """Conformal prediction interval (low, high) of HC, AC or FL in mm; None without a table, value or `sd_mm`."""
        table = self.info.intervals.get(PRIMARY[found.plane])
        if table is None or found.primary_mm is None or found.sd_mm is None:
            return None
        half = table["factor"] * found.sd_mm
        return max(found.primary_mm - half, 0.0), found.primary_mm + half

    def _interval_data(self, plane: str) -> str:
        """The data that a plane's interval was calibrated on; empty if the interval is not to be shown.

        Errors on synthetic frames do not apply to real ones, and an interval that does not name its data is not shown.
        """
        data = str(self.info.intervals.get(PRIMARY[plane], {}).get("data", ""))
        return "" if data.startswith(SYNTHETIC) else data


def tempered(probability: ArrayLike, temperature: float) -> Array:
    """Temper probabilities (N, C): divide their logarithms by a temperature, and normalise (Guo et al., ICML 2017)."""
    return np.asarray(softmax(np.log(np.maximum(probability, 1e-30)) / temperature, axis=-1))


def _one_for_each_frame(name: str, given: Any, count: int) -> list[Any]:
    # a set has no order, and a mapping gives its keys: the entries would be of other frames
    in_order = hasattr(given, "__iter__") and not isinstance(given, str | Set | Mapping)
    entries = list(given) if in_order else None
    if entries is None or len(entries) != count:
        raise ValueError(f"{name} has one entry for each of the {count} frames, not {given!r}")
    return entries


def _in_frame_pixels(found: Measurement, to_network: Array) -> Measurement:
    back = geometry.invert(to_network)
    return replace(
        found,
        ellipse=found.ellipse and found.ellipse.transform(back),
        shaft=found.shaft and found.shaft.transform(back),
    )
