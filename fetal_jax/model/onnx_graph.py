"""The network as an ONNX graph, built from its parameters.

Arrays are channels-first. Initializers of parameters are named by their path in the tree, so that a run can start from
a bundle (`init.bundle`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fetal_jax.config import ModelConfig
from fetal_jax.errors import UserError

Array = NDArray[Any]
OPSET, IR_VERSION = 18, 9


class Graph:
    """Nodes and initializers, in the order of execution."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: dict[str, Array] = {}

    def add(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        """Add a node; returns the name of its output."""
        output = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        """Add an initializer unless one of that name exists; returns the name."""
        self.initializers.setdefault(name, np.asarray(value, dtype))
        return name

    def convolution(self, x: str, path: str, kernel: Array, bias: str = "") -> str:
        """'SAME' convolution with a kernel (k, k, in, out), or 1x1 with a dense layer's (in, out)."""
        kernel, half = kernel if kernel.ndim == 4 else kernel[None, None], kernel.dtype == np.float16
        weights = self.constant(f"{path}/kernel", kernel.transpose(3, 2, 0, 1), np.float16 if half else np.float32)
        if half:  # a runtime casts them once, when it loads the file
            weights = self.add("Cast", [weights], to=TensorProto.FLOAT)
        inputs = [x, weights]
        # a missing bias is left out: with an empty name, ONNX Runtime loses the fast blocked layout and half its speed
        inputs += [bias] if bias else []
        return self.add("Conv", inputs, pads=[kernel.shape[0] // 2] * 4)

    def group_norm(self, x: str, path: str, scale: Array, bias: Array, groups: int, shape: tuple[int, int]) -> str:
        """`ops.group_norm`, as instance norm of the reshaped array (B, groups, rest)."""
        channels = len(scale)
        grouped = self.constant(f"shape/groups{groups}", [0, groups, -1], np.int64)
        whole = self.constant(f"shape/{channels}x{shape[0]}x{shape[1]}", [0, channels, *shape], np.int64)
        ones = self.constant(f"ones{groups}", np.ones(groups))
        zeros = self.constant(f"zeros{groups}", np.zeros(groups))
        x = self.add("InstanceNormalization", [self.add("Reshape", [x, grouped]), ones, zeros], epsilon=1e-6)
        x = self.add("Reshape", [x, whole])
        x = self.add("Mul", [x, self.constant(f"{path}/scale", scale.reshape(-1, 1, 1))])
        return self.add("Add", [x, self.constant(f"{path}/bias", bias.reshape(-1, 1, 1))])


def build(params: Any, config: ModelConfig, input_shape: tuple[int, int]) -> onnx.ModelProto:
    """Build the graph of `model.UNet` with these parameters.

    Args:
      params: the tree, as NumPy arrays; float16 kernels are stored as float16, the arithmetic is float32.
      config: the `model` group of the configuration.
      input_shape: (H, W).

    Returns:
      A model from `frames` (b, H, W, 1) uint8 to `map_logits` (b, H, W) and `plane_logits` (b, P), float32.
    """
    g = Graph()
    height, width = input_shape

    def block(x: str, name: str, depth: int, shape: tuple[int, int]) -> str:
        for i in range(depth):
            part, path = params[name][f"conv{i}"], f"{name}/conv{i}"
            if "scale" not in part:  # no norm
                bias = g.constant(f"{path}/bias", part["bias"])
                x = g.add("Relu", [g.convolution(x, f"{path}/conv", part["conv"]["kernel"], bias)])
                continue
            x = g.convolution(x, f"{path}/conv", part["conv"]["kernel"])
            groups = min(config.groups, len(part["scale"]))
            x = g.add("Relu", [g.group_norm(x, path, part["scale"], part["bias"], groups, shape)])
        return x

    def dense(x: str, path: str, part: Any) -> str:
        return g.convolution(x, path, part["kernel"], g.constant(f"{path}/bias", part["bias"]))

    x = g.add("Transpose", [g.add("Cast", ["frames"], to=TensorProto.FLOAT)], perm=[0, 3, 1, 2])
    if config.standardise:  # ops.standardise
        axes = g.constant("axes", [1, 2, 3], np.int64)
        x = g.add("Sub", [x, g.add("ReduceMean", [x, axes])])
        variance = g.add("ReduceMean", [g.add("Mul", [x, x]), axes])
        x = g.add("Div", [x, g.add("Sqrt", [g.add("Add", [variance, g.constant("one", 1)])])])
    else:
        x = g.add("Div", [g.add("Sub", [x, g.constant("mean", config.mean)]), g.constant("std", config.std)])
    shapes = [(height // (config.stem * 2**i), width // (config.stem * 2**i)) for i in range(len(config.multipliers))]
    if config.stem > 1:
        x = g.add("SpaceToDepth", [x], blocksize=config.stem)

    skips = []
    for i, depth in enumerate(config.depths):
        x = g.add("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2]) if i else x
        x = block(x, f"down{i}", depth, shapes[i])
        skips.append(x)

    c = g.add("Relu", [dense(x, "head", params["head"])]) if config.classifier_width else x
    c = dense(g.add("GlobalAveragePool", [c]), "plane", params["plane"])
    planes = params["plane"]["kernel"].shape[1] // config.subclasses
    c = g.add("Reshape", [c, g.constant("shape/subclasses", [0, planes, config.subclasses], np.int64)])
    g.add("ReduceLogSumExp", [c, g.constant("axis2", [2], np.int64)], "plane_logits", keepdims=0)

    for i in reversed(range(len(skips) - 1)):
        x = dense(x, f"upsample{i}/project", params[f"upsample{i}"]["project"])
        x = g.add("DepthToSpace", [x], blocksize=2, mode="DCR")
        x = block(g.add("Concat", [skips[i], x], axis=1), f"up{i}", 2, shapes[i])

    x = dense(x, "map", params["map"])
    if config.stem > 1:
        x = g.add("DepthToSpace", [x], blocksize=config.stem, mode="DCR")
    g.add("Squeeze", [x, g.constant("axis1", [1], np.int64)], "map_logits")

    graph = helper.make_graph(
        g.nodes,
        "fetal_jax",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["b", height, width, 1])],
        [
            helper.make_tensor_value_info("map_logits", TensorProto.FLOAT, ["b", height, width]),
            helper.make_tensor_value_info("plane_logits", TensorProto.FLOAT, ["b", planes]),
        ],
        [numpy_helper.from_array(np.ascontiguousarray(v), k) for k, v in g.initializers.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(made, full_check=True)
    return made


def parameters(model: onnx.ModelProto, like: Any) -> Any:
    """Read the parameters of a graph made by `build`, as a tree like `like`.

    Raises:
      UserError: the graph is of another network; names the first parameter that differs.
    """
    stored = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}

    def take(tree: Any, path: str) -> Any:
        if isinstance(tree, dict):
            return {k: take(v, f"{path}/{k}" if path else k) for k, v in tree.items()}
        array = stored.get(path)
        if array is not None and array.ndim == 4:  # (out, in, k, k), or 1x1 for a dense layer
            array = array.transpose(2, 3, 1, 0)
        if array is None or array.size != tree.size or (tree.ndim > 1 and array.shape[-2:] != tree.shape[-2:]):
            raise UserError(f"init.bundle holds another network: {path} is {getattr(array, 'shape', 'missing')}")
        return array.reshape(tree.shape).astype(np.float32)

    return take(like, "")
