"""The whole way on drawn frames, on two CPU cores: `make demo`, under 6 minutes.

Expected on held-out phantoms: HC MAE <= 2, AC <= 2.5, FL <= 2 mm, recall of each plane >= 95 %.
"""

from fetal_jax.recipe import defaults


def get_config():
    config = defaults()
    config.data.name = "fetal_phantom/small"
    config.input_shape = (144, 192)
    config.model.multipliers = (1, 2, 4, 8)
    config.model.depths = (2, 2, 2, 2)
    config.batch_size = 16
    config.total_steps = 500
    config.eval_every = 250
    config.checkpoint_every = 100
    config.optim.lr = 4e-3
    config.optim.ema = 0.98
    return config
