"""The peer's side of `measure_folder.py`: a frame through a PyTorch U-Net shaped as `heads`, its outline by OpenCV.

Its weights are random, so it measures any outline, with the same amount of work.
"""

from __future__ import annotations

import sys

import cv2
import torch
from torch_unet import UNet

SHAPE = (192, 288)


def main() -> None:
    frame = cv2.imread(sys.argv[1], cv2.IMREAD_GRAYSCALE)
    scale = min(SHAPE[0] / frame.shape[0], SHAPE[1] / frame.shape[1])
    small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    bottom, right = SHAPE[0] - small.shape[0], SHAPE[1] - small.shape[1]
    small = cv2.copyMakeBorder(small, 0, bottom, 0, right, cv2.BORDER_CONSTANT)
    net = UNet(16, (1, 2, 4, 8, 8), stem=2, planes=1).eval()
    with torch.inference_mode():
        both = torch.from_numpy(small)[None, None]
        logits = net(torch.cat([both, both.flip(-1)]))[0]
        probability = torch.sigmoid((logits[0] + logits[1].flip(-1)) / 2).numpy()
    mask = cv2.resize(probability, (frame.shape[1], frame.shape[0])) > float(probability.mean())
    contours, _ = cv2.findContours(mask.astype("uint8"), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    _, axes, _ = cv2.fitEllipse(max(contours, key=len))
    print(sum(axes) / 2 * 3.1416 * 0.1)


if __name__ == "__main__":
    main()
