"""The result for one frame: its status, plane, values and reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fetal_jax.biometry import Measurement
from fetal_jax.inference import acceptance

VALUES = ("hc_mm", "bpd_mm", "ofd_mm", "ac_mm", "fl_mm", "diameters_mm", "sd_mm")
"""Names of the values of a result."""


@dataclass(frozen=True)
class FrameResult:
    """The result for one frame.

    Take values from here and not from `measurement`, which has values for refused frames, too. `status` is "measured"
    (usable without review), "review" (a person must look at it; `reason` says why) or "refused" (no value; `reason`
    says why and what to do). The measurement's geometry is in the frame's own pixels; the measurement is None if the
    plane is not one that is measured.
    """

    status: acceptance.Status
    plane: str
    plane_probability: float | None
    measurement: Measurement | None
    reasons: tuple[str, ...] = ()
    """Why it is not `measured`, worst first; empty for `measured`."""
    interval_mm: tuple[float, float] | None = None
    """Prediction interval (low, high) of HC, AC or FL in mm; None if the bundle has none for this kind of frame."""
    interval_data: str = ""
    """The data that the interval was calibrated on."""
    error_probability: float | None = None
    """Probability that HC is off by more than 5 %, AC or FL by more than 8 %; None if the bundle has no score."""

    @property
    def reason(self) -> str:
        """All reasons, joined by "; "."""
        return "; ".join(self.reasons)

    def value(self, name: str) -> Any:
        """Get a value of the measurement; None unless the status is "measured" or "review".

        Args:
          name: "hc_mm", "bpd_mm", "ofd_mm", "ac_mm", "fl_mm", "diameters_mm" or "sd_mm".

        Raises:
          ValueError: another name.
        """
        # before the status: a wrong name must not look like a value that is missing
        if name not in VALUES:
            raise ValueError(f"a value is one of {', '.join(VALUES)}, not {name!r}")
        found = getattr(Measurement(self.plane) if self.measurement is None else self.measurement, name)
        return found if self.status in acceptance.WITH_VALUE else None

    @property
    def hc_mm(self) -> float | None:
        """Head circumference in mm."""
        return self.value("hc_mm")

    @property
    def bpd_mm(self) -> float | None:
        """Biparietal diameter: the head's short axis, outer to outer."""
        return self.value("bpd_mm")

    @property
    def ofd_mm(self) -> float | None:
        """Occipitofrontal diameter: the head's long axis, outer to outer."""
        return self.value("ofd_mm")

    @property
    def ac_mm(self) -> float | None:
        """Abdominal circumference in mm."""
        return self.value("ac_mm")

    @property
    def fl_mm(self) -> float | None:
        """Femur length in mm."""
        return self.value("fl_mm")
