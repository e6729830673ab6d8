"""Small ONNX models read and compared: shapes as onnx's reference runs them, counts as given."""

from __future__ import annotations

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
from onnx_models import I64, saved

import alphaflops as af
from alphaflops.frontends.onnx_bind import bound_shapes
from alphaflops.frontends.onnx_file import read_model
from alphaflops.frontends.onnx_network import Network

F32 = np.float32
X = (2, 4, 9, 8)


def ints(*values):
    return np.array(values, I64)


def network_of(path):
    model = read_model(path)
    bound = bound_shapes(str(path), model.graph, None, {})
    network = Network(str(path), model, bound.shapes, bound.symbols)
    network.build()
    return network


def run(model):
    """Shapes of all outputs, from running the model on ones."""
    feeds = {}
    stored = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        if value.name not in stored:
            tensor = value.type.tensor_type
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
            feeds[value.name] = np.ones([d.dim_value for d in tensor.shape.dim], dtype)
    return [np.shape(x) for x in ReferenceEvaluator(model).run(None, feeds)]


def check(folder, model, macs, params, runs=True):
    """Compare counts and, with what the reference makes, shapes; returns the graph."""
    path = saved(folder, model)
    network = network_of(path)
    assert not network.unknown
    if runs:
        names = [value.name for value in model.graph.output]
        assert [network.shape(name) for name in names] == run(model)
    work = af.lower(network.graph, "eager")
    assert (int(work.macs.sum()), int(work.params.sum())) == (macs, params)
    return network.graph
