"""Small ONNX models, put together node by node; importing this needs onnx."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

I64 = np.int64


def model_of(nodes, weights=None, shape=(2, 4, 9, 8), opset=20, outputs=("y",), **inputs):
    """A model whose inputs are `x` and those named; weights are shapes or arrays."""
    inputs = {"x": shape, **inputs}
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()]
    tensors = []
    for name, weight in (weights or {}).items():
        given = isinstance(weight, np.ndarray | np.generic)
        array = np.asarray(weight) if given else np.zeros(weight, np.float32)
        tensors.append(numpy_helper.from_array(array, name))
    out = [onnx.ValueInfoProto(name=name) for name in outputs]
    graph = helper.make_graph(nodes, "test", values, out, tensors)
    domains = {node.domain for node in nodes if node.domain}
    imports = [helper.make_opsetid("", opset), *[helper.make_opsetid(d, 1) for d in domains]]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def node(op, *inputs, name="layer", outputs=("y",), **attributes):
    return helper.make_node(op, inputs or ["x"], list(outputs), name=name, **attributes)


def saved(folder, model):
    path = Path(folder) / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def ops_of(graph):
    nodes = [(graph.node_op(i), graph.shape(i)) for i in range(len(graph))]
    return [(op, shape) for op, shape in nodes if op != "input"]
