"""ONNX parameters that several nodes read: they count once."""

import pytest

pytest.importorskip("onnx", reason="the extra alphaflops[onnx] is not installed")

from onnx import TensorProto
from onnx_checks import X, check, ints
from onnx_models import model_of, node, ops_of


def test_a_weight_that_two_layers_have_counts_once(tmp_path):
    layers = [
        node("MatMul", "x", "w", outputs=["a"], name="first"),
        node("Add", "a", "b1", outputs=["c"], name="first.bias"),
        node("MatMul", "c", "w", outputs=["d"], name="second"),
        node("Add", "d", "b2", name="second.bias"),
    ]
    weights = {"w": (4, 4), "b1": (4,), "b2": (4,)}
    graph = check(tmp_path, model_of(layers, weights, (2, 4)), 2 * 2 * 16, 16 + 8)
    ops = [op for op, _ in ops_of(graph)]
    assert ops == ["linear", "linear", "parameter", "add"]


def test_a_head_that_is_the_table_of_the_embedding(tmp_path):
    layers = [
        node("Gather", "table", "x", outputs=["e"], name="embed"),
        node("Transpose", "table", outputs=["head"], perm=[1, 0], name="t"),
        node("MatMul", "e", "head", name="head"),
    ]
    model = model_of(layers, {"table": (50, 8)}, (2, 7))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    graph = check(tmp_path, model, 2 * 7 * 8 * 50, 400)
    assert [op for op, _ in ops_of(graph)] == ["embedding", "linear"]


def test_a_stored_token_that_is_repeated_and_a_table_that_is_cut_count_whole(tmp_path):
    layers = [
        node("Expand", "token", "to", outputs=["tokens"], name="expand"),
        node("Concat", "tokens", "x", outputs=["c"], axis=1, name="cat"),
        node("Slice", "places", "from", "until", outputs=["p"], name="slice"),
        node("Add", "c", "p"),
    ]
    weights = {"token": (1, 1, 8), "places": (9, 8), "to": ints(2, 1, 8)}
    weights |= {"from": ints(0), "until": ints(5)}
    check(tmp_path, model_of(layers, weights, (2, 4, 8)), 0, 8 + 72)


def test_a_shared_module_of_two_convolutions(tmp_path):
    layers = [
        node("Conv", "x", "w", "b", outputs=["a"], name="one", pads=[1] * 4),
        node("Conv", "a", "w", "b", name="two", pads=[1] * 4),
    ]
    macs = 2 * 2 * 4 * 72 * 36
    check(tmp_path, model_of(layers, {"w": (4, 4, 3, 3), "b": (4,)}, X), macs, 148)


def test_a_bias_that_layers_share_is_one_of_each(tmp_path):
    layers = [
        node("Gemm", "x", "w1", "b", outputs=["a"], name="one"),
        node("MatMul", "a", "w2", outputs=["c"], name="two"),
        node("Add", "c", "b", outputs=["d"], name="two.bias"),
        node("Gemm", "d", "w1", "b", name="one again"),
    ]
    weights = {"w1": (4, 4), "w2": (4, 4), "b": (4,)}
    graph = check(tmp_path, model_of(layers, weights, (2, 4)), 3 * 2 * 16, 2 * (16 + 4))
    assert [op for op, _ in ops_of(graph)] == ["linear"] * 3
    assert graph.tied_to(3) == 1
