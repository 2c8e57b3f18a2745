"""Our side of `step.py`: the train step or forward pass of the network, as `fetal-jax train` and `measure` run them."""

from __future__ import annotations

import os
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rounds import compete, network_options

from fetal_jax import config as configs
from fetal_jax.cli.train import keep_compiled_programs
from fetal_jax.model import cpu, unet
from fetal_jax.planes import GEOMETRIES
from fetal_jax.training.sharding import Sharding
from fetal_jax.training.step import compiled_step, initial_state, optimiser


def main() -> None:
    args = network_options(__doc__, ("xla", "onnx"))
    cpu.keep_freed_memory()
    keep_compiled_programs()
    jax.config.update("jax_platforms", {"gpu": "cuda"}.get(args.device, args.device))
    cores = len(os.sched_getaffinity(0))
    if args.device == "cpu":
        jax.config.update("jax_num_cpu_devices", max(n for n in range(1, cores + 1) if args.batch % n == 0))

    config: Any = configs.defaults()
    config.update({"input_shape": tuple(args.size), "batch_size": args.batch, "loss": {"cls_weight": 0.3}})
    config.planes = ("abdomen", "head", "femur", "other")[: args.planes]
    shape = {"width": args.width, "multipliers": tuple(args.multipliers), "depths": (2,) * len(args.multipliers)}
    config.model.update({**shape, "stem": args.stem, "dtype": args.dtype, "precision": args.precision})
    network, tx = unet.from_config(config.model, args.planes), optimiser(config)
    sharding = Sharding.create(-1, 1)
    state = jax.jit(lambda: initial_state(network, tx, config), out_shardings=sharding.replicated)()
    facts = {
        "parameters": sum(p.size for p in jax.tree.leaves(state.params)),
        "GFLOP per frame": flops(network, state.params, args.size) / 1e9,
        "GB a frame": moved(network, state.params, args.size) / 1e9,
        "version": jax.__version__,
    }
    batch = batch_of(args.batch, args.size)
    if args.what == "forward":
        forward = onnx_forward(config, state.params) if args.way == "onnx" else None
        forward = forward or xla_forward(network, state.params, sharding)
        forward(batch["frames"])
        compete(facts, lambda: forward(batch["frames"]))
        return

    abstract = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), state)
    batch["stop"] = np.zeros(args.batch, bool)
    began = time.perf_counter()
    run, held = compiled_step(network, tx, config, sharding, abstract), [state]

    def step() -> None:
        for _ in range(args.repeat):  # the losses are read at the end, as training reads them a step late
            held[0], logs = run(held[0], sharding.put(batch))
        float(logs["loss"])

    step()
    facts["first step s"] = time.perf_counter() - began
    step()
    cost = run.cost_analysis()
    facts |= {"XLA's GFLOP": cost.get("flops", 0) / 1e9, "XLA's GB": cost.get("bytes accessed", 0) / 1e9}
    facts["XLA's temporaries MB"] = run.memory_analysis().temp_size_in_bytes / 2**20  # of each device
    memory = jax.devices()[0].memory_stats()
    facts |= {"device_peak_mb": memory["peak_bytes_in_use"] / 2**20} if memory else {}
    compete(facts, step)


def batch_of(count: int, size: tuple[int, int]) -> dict[str, Any]:
    """Random frames, each with a head."""
    h, w = size
    head = [w / 2, h / 2, 0.35 * w, 0.25 * w, 0.3]
    return {
        "frames": np.random.default_rng(0).integers(0, 255, (count, h, w, 1), dtype=np.uint8),
        "geometry": np.full(count, GEOMETRIES.index("ellipse"), np.int32),
        "shape_params": np.tile(np.asarray(head, np.float32), (count, 1)),
        "plane": np.zeros(count, np.int32),
    }


def xla_forward(network: Any, params: Any, sharding: Sharding) -> Any:
    shardings = sharding.replicated, sharding.batch
    call = jax.jit(lambda params, frames: network.apply({"params": params}, frames), in_shardings=shardings)
    return lambda frames: [np.asarray(out) for out in call(params, frames)]


def onnx_forward(config: Any, params: Any) -> Any:
    import onnxruntime

    from fetal_jax.model import onnx_graph

    graph = onnx_graph.build(jax.tree.map(np.asarray, params), config.model, tuple(config.input_shape))
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda frames: session.run(None, {"frames": frames})


def flops(network: Any, params: Any, size: tuple[int, int]) -> int:
    """Twice the multiply-adds of the convolutions and matrix products of one frame, from the traced program."""
    return sum(map(_flops, _products(network, params, size)))


def moved(network: Any, params: Any, size: tuple[int, int]) -> int:
    """Bytes that a train step moves at least for one frame: the input and output of each product, or their gradients.

    Forward, gradient of the input and gradient of the kernel each touch two arrays of an input's and an output's size.
    """
    arrays = [array.aval for e in _products(network, params, size) for array in (e.invars[0], e.outvars[0])]
    return 3 * sum(a.size * a.dtype.itemsize for a in arrays)


def _products(network: Any, params: Any, size: tuple[int, int]) -> list[Any]:
    frame = jnp.zeros((1, *size, 1), jnp.uint8)
    equations = _equations(jax.make_jaxpr(lambda x: network.apply({"params": params}, x))(frame).jaxpr)
    return [e for e in equations if e.primitive.name in ("conv_general_dilated", "dot_general")]


def _equations(jaxpr: Any) -> Any:
    for e in jaxpr.eqns:
        inner = [p for p in e.params.values() if hasattr(p, "jaxpr") or hasattr(p, "eqns")]
        for p in inner[:1]:  # a custom derivative's first is the function itself
            yield from _equations(getattr(p, "jaxpr", p))
        if not inner:
            yield e


def _flops(e: Any) -> int:
    if e.primitive.name == "conv_general_dilated":
        terms = e.invars[1].aval.shape[:-1]
    else:
        (contracted, _), _ = e.params["dimension_numbers"]
        terms = [e.invars[0].aval.shape[i] for i in contracted]
    return 2 * e.outvars[0].aval.size * int(np.prod(terms))


if __name__ == "__main__":
    main()
