"""The peers' side of `step.py`, in an environment of its own: the same network in PyTorch, and MONAI's BasicUNet.

The peer has what its users have: channels-last, transposed convolutions, fused AdamW and running mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from rounds import compete, network_options
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


class Block(nn.Sequential):
    def __init__(self, inside: int, features: int, groups: int, depth: int = 2):
        layers: list[nn.Module] = []
        for i in range(depth):
            layers += [
                nn.Conv2d(inside if i == 0 else features, features, 3, padding=1, bias=False),
                nn.GroupNorm(min(groups, features), features, eps=1e-6),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class UNet(nn.Module):
    """`fetal_jax.model.unet.UNet`, layer by layer, with a transposed convolution where that has depth-to-space."""

    def __init__(self, width: int, multipliers: Sequence[int], stem: int, planes: int, groups: int = 8):
        super().__init__()
        levels = [width * m for m in multipliers]
        self.stem = stem
        before = [stem**2, *levels[:-1]]
        self.down = nn.ModuleList(Block(i, f, groups) for i, f in zip(before, levels, strict=True))
        self.upsample = nn.ModuleList(nn.ConvTranspose2d(i, f, 2, 2) for f, i in pairwise(levels))
        self.up = nn.ModuleList(Block(2 * f, f, groups) for f in levels[:-1])
        self.plane = nn.Linear(levels[-1], planes)
        self.map = nn.Conv2d(levels[0], stem**2, 1)

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = (frames.float() - 64) / 64
        x = F.pixel_unshuffle(x, self.stem) if self.stem > 1 else x
        x = x.contiguous(memory_format=torch.channels_last)
        skips = []
        for i, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if i else x)
            skips.append(x)
        planes = self.plane(x.mean((2, 3)))
        for i in reversed(range(len(self.up))):
            x = self.up[i](torch.cat([skips[i], self.upsample[i](x)], 1))
        x = self.map(x)
        return (F.pixel_shuffle(x, self.stem) if self.stem > 1 else x)[:, 0], planes


class Monai(nn.Module):
    """MONAI's BasicUNet of five levels, with instance norm and without a class head."""

    def __init__(self, width: int):
        from monai.networks.nets import BasicUNet

        super().__init__()
        self.net = BasicUNet(2, 1, 1, features=tuple(width * m for m in (1, 2, 4, 8, 16, 1)), upsample="deconv")

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        return self.net((frames.float() - 64) / 64)[:, 0], None


def loss_of(logits: torch.Tensor, planes: torch.Tensor | None, target: torch.Tensor, plane: torch.Tensor) -> Any:
    """The joint loss of `fetal_jax.training.losses`."""
    p = torch.sigmoid(logits)
    overlap, size = (p * target).sum((1, 2)), (p.square() + target.square()).sum((1, 2))
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean((1, 2))
    seg = (entropy + 1 - (2 * overlap + 1) / (size + 1)).mean()
    return seg if planes is None else 0.3 * F.cross_entropy(planes, plane) + 0.7 * seg


def main() -> None:
    args = network_options(__doc__, ("eager", "compile", "monai"))
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.precision == "default"
    device = "cuda" if args.device == "gpu" else args.device

    net = Monai(args.width) if args.way == "monai" else UNet(args.width, args.multipliers, args.stem, args.planes)
    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    frames = torch.randint(0, 255, (args.batch, 1, *args.size), dtype=torch.uint8, device=device)
    target = (torch.rand(args.batch, *args.size, device=device) > 0.5).float()
    plane = torch.randint(0, args.planes, (args.batch,), device=device)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        net(frames[:1])
    facts = {
        "parameters": sum(p.numel() for p in net.parameters()),
        "upsampling_biases": sum(m.bias.numel() for m in net.modules() if isinstance(m, nn.ConvTranspose2d)),
        "GFLOP per frame": counter.get_total_flops() / 1e9,
        "version": torch.__version__,
    }
    run = torch.compile(net) if args.way == "compile" else net
    low = args.dtype == "bfloat16"
    mean = [p.detach().clone() for p in net.parameters()]
    adam = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=1e-4, fused=True)

    def forward() -> None:
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=low):
            run(frames)
        if device == "cuda":
            torch.cuda.synchronize()

    def step() -> None:
        for _ in range(args.repeat):
            with torch.autocast(device, torch.bfloat16, enabled=low):
                out = run(frames)
            loss = loss_of(*(o if o is None else o.float() for o in out), target, plane)  # type: ignore[arg-type]
            adam.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            adam.step()
            with torch.no_grad():
                torch._foreach_lerp_(mean, list(net.parameters()), 0.005)
        loss.item()

    work = step if args.what == "step" else forward
    work()
    work()
    compete(facts, work)


if __name__ == "__main__":
    main()
