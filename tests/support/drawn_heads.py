"""A split of drawn heads and a network that finds them: bright discs on black."""

from __future__ import annotations

import numpy as np

from fetal_jax import geometry
from fetal_jax.bundle import BundleInfo
from fetal_jax.data.source import Frame
from fetal_jax.geometry import Ellipse
from fetal_jax.inference import Predictor

SPACING_MM = 0.8
DARK, BRIGHT = 20, 220


class Drawn(list):
    """Frames that are opened as a split."""

    dataset, name = "drawn/heads/1.0.0", "test"

    @property
    def fingerprint(self) -> str:
        return f"{self.dataset} {len(self)} frames"


def head(i: int) -> Frame:
    rng = np.random.default_rng(i)
    a = rng.uniform(36, 44)
    e = Ellipse(*(100 + rng.uniform(-4, 4, 2)), a, a * rng.uniform(0.75, 0.85), rng.uniform(-0.5, 0.5))
    fine = geometry.mask(e.transform(geometry.stretch(4, 4)), 800, 800)
    cover = fine.reshape(200, 4, 200, 4).mean((1, 3))
    image = np.round(DARK + (BRIGHT - DARK) * cover).astype(np.uint8)
    return Frame(image, "head", "ellipse", e, SPACING_MM, {"hc_mm": SPACING_MM * e.perimeter}, f"s{i // 2}", f"{i}.png")


def heads(count: int) -> Drawn:
    return Drawn(head(i) for i in range(count))


def bright_is_head(fed):
    """Logits of the share of each pixel that is bright; every frame is a head."""
    share = np.clip((fed[..., 0].astype(np.float32) - DARK) / (BRIGHT - DARK), 1e-4, 1 - 1e-4)
    return np.log(share / (1 - share)), np.tile(np.float32([3.0, 0.0]), (len(fed), 1))


PREDICTOR = Predictor(BundleInfo(("head", "other"), (160, 160), False), bright_is_head)
