"""Groups of values that several configurations share."""

from __future__ import annotations

from typing import Any

OTHER_MACHINES: dict[str, Any] = {
    "zoom": (0.7, 1.3),
    "gain": 0.4,
    "gamma": 0.5,
    "speckle": 0.1,
    "bands": 0.2,
    "shadow": 0.4,
    "border": 0.08,
    "calipers": True,
    "jpeg": 40.0,
}
"""`augment` for frames of hospitals outside the training data: other gains and depths, tighter crops, shadows, and
calipers left in the frame."""

SONONET16: dict[str, Any] = {
    "width": 32,
    "multipliers": (1, 2, 4, 4),
    "depths": (4, 3, 3, 3),
    "stem": 2,
    "encoder_norm": False,
    "standardise": True,
    "classifier_width": 64,
    "subclasses": 10,
}
"""The part of `model` that a start from SonoNet16 (`init.sononet`) needs: its encoder behind a 2x2 stem."""
