"""arXiv 2311.09607, as closely as its abstract and figure describe it, on synthetic frames.

From the paper: 256x256, five levels of two 3x3 convolutions, max-pool, up-convolution, skips; a classification head on
the bottleneck for three planes; one binary foreground map; λ·L_cls + (1-λ)·L_seg. λ, the optimiser, the width, the
augmentation, the split and the amount of data are not published; our choices are marked.

    fetal-jax train --config=configs/paper.py --workdir=runs/paper      about 20 h on two CPU cores
"""

from fetal_jax.config import defaults


def get_config():
    config = defaults()
    config.data.name = "fetal_phantom/large"  # ours: the paper's frames are private
    config.planes = ("head", "abdomen", "femur")
    config.input_shape = (256, 256)
    config.flip_average = False
    config.model.width = 32  # ours
    config.model.multipliers = (1, 2, 4, 8, 16)
    config.model.stem = 1
    config.loss.cls_weight = 0.5  # ours
    config.loss.binary = True
    config.batch_size = 16  # ours
    config.total_steps = 20_000  # ours
    config.checkpoint_every = 500
    config.optim.lr = 1e-3  # ours
    return config
