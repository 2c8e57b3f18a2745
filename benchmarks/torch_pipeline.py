"""The peer's side of `pipeline.py`: a PyTorch DataLoader whose data set does our warp and grey values by OpenCV.

The frames are the decoded ones of our own preparation: the peer need not decode either.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from rounds import compete, parser
from torch.utils.data import DataLoader, Dataset

SHAPE = (224, 288)


class Frames(Dataset):
    def __init__(self, folder: Path):
        pixels, start = np.memmap(folder / "pixels.u8", np.uint8, "r"), 0
        self.frames = []
        for record in json.loads((folder / "frames.json").read_text()):
            h, w = record["image"]
            self.frames.append(pixels[start : start + h * w].reshape(h, w))
            start += h * w

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, i: int) -> torch.Tensor:
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        return torch.from_numpy(intensity(rng, warp(rng, self.frames[i])))[None]


def warp(rng: np.random.Generator, frame: Any) -> Any:
    """Shrink by areas where a pixel covers more than one, then warp once: rotation, zoom, shift, flip."""
    h, w = SHAPE
    scale = min(h / frame.shape[0], w / frame.shape[1]) * np.exp(rng.uniform(np.log(0.8), np.log(1.25)))
    shrink = int(1 / scale + 1e-6)
    if shrink > 1:
        frame = cv2.resize(frame, (frame.shape[1] // shrink, frame.shape[0] // shrink), interpolation=cv2.INTER_AREA)
        scale *= shrink
    centre = frame.shape[1] / 2, frame.shape[0] / 2
    matrix = cv2.getRotationMatrix2D(centre, rng.uniform(-20, 20), scale)
    matrix[:, 2] += np.array([w, h]) * (0.5 + rng.uniform(-0.08, 0.08, 2)) - centre
    if rng.random() < 0.5:
        matrix[0] = [-matrix[0, 0], -matrix[0, 1], w - 1 - matrix[0, 2]]
    return cv2.warpAffine(frame, matrix, (w, h), flags=cv2.INTER_LINEAR)


def intensity(rng: np.random.Generator, image: Any) -> Any:
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.2, 1.0))
    grey = np.linspace(0, 1, 256, dtype=np.float32) ** np.exp(rng.uniform(-0.3, 0.3))
    grey = grey * rng.uniform(0.75, 1.25) + rng.uniform(-0.08, 0.08)
    image = cv2.LUT(image, np.clip(255 * grey + 0.5, 0, 255).astype(np.uint8))
    if rng.random() < 0.5:
        noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(255 * rng.uniform(0, 0.04))
        image = cv2.add(image, noise, dtype=cv2.CV_8U)
    return image


def main() -> None:
    options = parser(__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--frames", type=int, default=1600)
    args = options.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    kept = args.workers > 0
    loader = DataLoader(
        Frames(args.folder), 16, shuffle=True, drop_last=True, num_workers=args.workers, persistent_workers=kept
    )

    def endless() -> Any:
        while True:
            yield from loader

    batches = endless()
    next(batches)

    def work() -> None:
        for _ in range(args.frames // 16):
            next(batches)

    compete({"version": torch.__version__, "frames": args.frames}, work)


if __name__ == "__main__":
    main()
