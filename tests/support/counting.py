"""A predictor that counts the frames it measures and can stop, and three drawn heads as files of one name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from fetal_jax.inference.predictor import Predictor
from fetal_jax.reading.sources import Source, find
from tfds_builders.fetal_phantom.phantom import draw

HEADS = [draw("head", seed) for seed in (1, 0, 2)]


@dataclass(frozen=True)
class Counting(Predictor):
    """Counts frames; is interrupted at one, as by Ctrl-C."""

    fail_at: int = -1
    seen: tuple = ()

    def measure(self, frame, spacing_mm, plane="auto", warnings=()):
        self.seen[0].append(1)
        if len(self.seen[0]) == self.fail_at:
            raise KeyboardInterrupt
        return super().measure(frame, spacing_mm, plane, warnings)


def counting(fail_at: int = -1) -> Counting:
    real = Predictor.from_bundle()
    return Counting(real.info, real.forward, fail_at=fail_at, seen=([],))


def three_heads(folder: Path) -> list[Source]:
    """`d0/head.png`, `d1/head.png`, `d2/head.png`."""
    for i, phantom in enumerate(HEADS):
        (folder / f"d{i}").mkdir()
        Image.fromarray(phantom.image).save(folder / f"d{i}" / "head.png")
    return find([folder]).sources
