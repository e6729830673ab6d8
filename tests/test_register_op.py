"""Operators that users count themselves, in ONNX files."""

from __future__ import annotations

import pytest

import alphaflops as af
from alphaflops import errors
from alphaflops.frontends import registry

onnx = pytest.importorskip("onnx")


@pytest.fixture(autouse=True)
def operators():
    before = dict(registry.OPERATORS)
    yield
    registry.OPERATORS.clear()
    registry.OPERATORS.update(before)


@pytest.fixture
def path(tmp_path):
    """A file with an operator of nobody's, between two that are known."""

    def value(name, shape):
        return onnx.helper.make_tensor_value_info(name, 1, shape)

    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Relu", ["x"], ["a"]),
            onnx.helper.make_node("Rotation", ["a"], ["b"], domain="com.example", angles=3),
            onnx.helper.make_node("Relu", ["b"], ["y"]),
        ],
        "rotated",
        [value("x", [2, 8])],
        [value("y", [2, 5])],
        value_info=[value("b", [2, 5])],
    )
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("com.example", 1)]
    file = tmp_path / "rotated.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9), file)
    return file


def test_an_operator_of_a_users_own(path):
    seen = {}

    def rotation(graph, inputs, shapes_out, attributes):
        seen.update(inputs=[graph.shape(x) for x in inputs], shapes=shapes_out, **attributes)
        return graph.custom(inputs, "rotation", shapes_out[0], macs=7, flops=21, params=3)

    unknown = af.lower(af.load(path))
    assert "Rotation" in [af.load(path).node_op(i) for i in range(len(af.load(path)))]
    assert int(unknown.macs.sum()) == 0
    af.register_op("com.example::Rotation", rotation)
    work = af.lower(af.load(path, strict=True))
    assert seen == {"inputs": [(2, 8)], "shapes": [(2, 5)], "angles": 3}
    assert int(work.macs.sum()) == 7
    assert int(work.params.sum()) == 3
    assert int(work.flops.sum()) == 2 * 8 + 21 + 2 * 5


def test_one_that_leaves_it_to_the_front_end(path):
    af.register_op("com.example::Rotation", lambda *_: None)
    with pytest.raises(errors.UnsupportedError, match="Rotation"):
        af.load(path, strict=True)


def test_a_known_operator_counted_otherwise(path):
    af.register_op(
        "ai.onnx::Relu", lambda graph, inputs, shapes, _: graph.activation(inputs[0], "gelu")
    )
    assert int(af.lower(af.load(path)).flops.sum()) == 5 * (2 * 8 + 2 * 5)


def test_what_is_no_counter():
    with pytest.raises(TypeError, match="counter is 3"):
        af.register_op("com.example::Rotation", 3)
