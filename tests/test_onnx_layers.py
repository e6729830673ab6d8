"""Every ONNX layer that is read: shapes as onnx's reference runs it, counts by arithmetic."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the extra alphaflops[onnx] is not installed")

from onnx import TensorProto  # noqa: E402
from onnx_checks import F32, X, check  # noqa: E402
from onnx_models import model_of, node, ops_of  # noqa: E402

# Convolutions: multiply-accumulates of every output element, 2 c_in/g k each; of every input
# element where they are transposed.
CONVOLUTIONS = [
    ((2, 4, 9), (6, 4, 3), {}, 2 * 6 * 7 * 4 * 3),
    ((2, 4, 9), (6, 2, 3), {"group": 2, "strides": [2]}, 2 * 6 * 4 * 2 * 3),
    (X, (6, 4, 3, 3), {"pads": [1, 1, 1, 1]}, 2 * 6 * 72 * 4 * 9),
    (X, (8, 1, 3, 3), {"group": 4, "dilations": [2, 2]}, 2 * 8 * 20 * 9),
    ((1, 4, 5, 6, 7), (6, 4, 3, 1, 2), {}, 6 * 3 * 6 * 6 * 4 * 6),
]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("shape", "weight", "attributes", "macs"), CONVOLUTIONS)
def test_convolutions(*, tmp_path, shape, weight, attributes, macs, bias):
    layer = node("Conv", "x", "w", *(["b"] if bias else []), **attributes)
    weights = {"w": weight, **({"b": (weight[0],)} if bias else {})}
    params = int(np.prod(weight)) + (weight[0] if bias else 0)
    check(tmp_path, model_of([layer], weights, shape), macs, params)


@pytest.mark.parametrize(
    ("shape", "weight", "attributes", "out"),
    [
        ((2, 4, 9), (4, 6, 3), {"strides": [2]}, None),
        ((2, 4, 9), (4, 6, 3), {"strides": [3], "output_padding": [2], "pads": [1, 0]}, None),
        (X, (4, 3, 3, 2), {"strides": [2, 1], "pads": [1, 0, 1, 1]}, None),
        (X, (4, 3, 3, 3), {"strides": [2, 3], "auto_pad": "SAME_UPPER"}, None),
        ((1, 4, 3, 4, 5), (4, 2, 2, 2, 2), {"strides": [2, 2, 2]}, None),
        # The reference runs neither groups nor a stated output.
        (X, (4, 3, 3, 3), {"group": 2, "dilations": [2, 1]}, (2, 6, 13, 10)),
        (X, (4, 3, 3, 3), {"strides": [2, 2], "output_shape": [18, 16]}, (2, 3, 18, 16)),
    ],
)
def test_transposed_convolutions(*, tmp_path, shape, weight, attributes, out):
    layer = node("ConvTranspose", "x", "w", **attributes)
    per_group = weight[1] * int(np.prod(weight[2:]))
    macs = int(np.prod(shape)) * per_group
    model = model_of([layer], {"w": weight}, shape)
    graph = check(tmp_path, model, macs, int(np.prod(weight)), out is None)
    assert out in (None, graph.shape(len(graph) - 1))


@pytest.mark.parametrize(
    ("layer", "shapes", "weights", "macs", "params"),
    [
        (node("MatMul", "x", "z"), [(2, 3, 4), (2, 4, 5)], {}, 2 * 3 * 4 * 5, 0),
        (node("MatMul", "x", "z"), [(7, 1, 3, 4), (2, 4, 5)], {}, 14 * 60, 0),
        (node("MatMul", "x", "z"), [(4,), (2, 4, 5)], {}, 2 * 4 * 5, 0),
        (node("MatMul", "x", "z"), [(2, 3, 4), (4,)], {}, 2 * 3 * 4, 0),
        (node("MatMul", "x", "z"), [(4,), (4,)], {}, 4, 0),
        (node("MatMul", "x", "w"), [(2, 3, 4)], {"w": (4, 5)}, 2 * 3 * 20, 20),
        (node("MatMul", "x", "w"), [(2, 3, 4)], {"w": (2, 4, 5)}, 2 * 3 * 20, 40),
        (node("MatMul", "w", "x"), [(3, 4)], {"w": (5, 3)}, 60, 15),
        (node("Gemm", "x", "z"), [(3, 4), (4, 5)], {}, 60, 0),
        (node("Gemm", "x", "z", transA=1, transB=1), [(4, 3), (5, 4)], {}, 60, 0),
        (node("Gemm", "x", "w", "b", transB=1), [(3, 4)], {"w": (5, 4), "b": (5,)}, 60, 25),
        (node("Gemm", "x", "w", "b"), [(3, 4)], {"w": (4, 5), "b": (3, 5)}, 60, 35),
        (node("Einsum", "x", "z", equation="bij,bjk->bik"), [(2, 3, 4), (2, 4, 5)], {}, 120, 0),
        (
            node("Einsum", "x", "z", equation="bqhd,bkhd->bhqk"),
            [(2, 3, 4, 5), (2, 6, 4, 5)],
            {},
            2 * 4 * 3 * 6 * 5,
            0,
        ),
        (node("Einsum", "x", "z", equation="...ij,jk"), [(2, 3, 4), (4, 5)], {}, 120, 0),
        (
            node("Einsum", "x", "w", equation="bld,dhk->bhlk"),
            [(2, 3, 4)],
            {"w": (4, 5, 6)},
            2 * 3 * 4 * 30,
            120,
        ),
        (node("Einsum", "x", "z", equation="i,j->ij"), [(3,), (4,)], {}, 0, 0),
        (node("Einsum", "x", equation="bij->ib"), [(2, 3, 4)], {}, 0, 0),
        (
            node("Einsum", "x", "z", "x", equation="ij,jk,ij->k"),
            [(3, 4), (4, 5)],
            {},
            60,
            0,
        ),
    ],
)
def test_products(*, tmp_path, layer, shapes, weights, macs, params):
    others = {"z": shapes[1]} if len(shapes) > 1 else {}
    check(tmp_path, model_of([layer], weights, shapes[0], **others), macs, params)


CELLS = {"RNN": 1, "GRU": 3, "LSTM": 4}


@pytest.mark.parametrize("op", CELLS)
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("layout", [0, 1])
def test_recurrences(tmp_path, op, direction, layout):
    gates, directions = CELLS[op], 2 if direction == "bidirectional" else 1
    steps, batch, inputs, hidden = 7, 3, 5, 4
    weights = {
        "w": (directions, gates * hidden, inputs),
        "r": (directions, gates * hidden, hidden),
        "b": (directions, 2 * gates * hidden),
    }
    outputs = ["y", "last", "cell"][: 3 if op == "LSTM" else 2]
    attributes = {"hidden_size": hidden, "direction": direction, "layout": layout}
    layer = node(op, "x", "w", "r", "b", outputs=outputs, **attributes)
    shape = (batch, steps, inputs) if layout else (steps, batch, inputs)
    model = model_of([layer], weights, shape, outputs=outputs)
    macs = steps * batch * directions * gates * hidden * (inputs + hidden)
    params = directions * gates * hidden * (inputs + hidden + 2)
    runs = not layout and direction == "forward"  # the reference knows no more
    graph = check(tmp_path, model, macs, params, runs)
    whole = (batch, steps, directions, hidden) if layout else (steps, directions, batch, hidden)
    last = (batch, directions, hidden) if layout else (directions, batch, hidden)
    assert [shape for _, shape in ops_of(graph)][-len(outputs) :] == [whole, last, last][
        : len(outputs)
    ]


@pytest.mark.parametrize("op", CELLS)
def test_states_that_recurrences_start_from(tmp_path, op):
    """Those that come from the input are operands; a stored one is none."""
    weights = {"w": (1, CELLS[op] * 4, 5), "r": (1, CELLS[op] * 4, 4)}
    states = {"h": (1, 3, 4), "c": (1, 3, 4)} if op == "LSTM" else {"h": (1, 3, 4)}
    layer = node(op, *"xwr", "", "", *states, hidden_size=4)
    macs, params = 7 * 3 * CELLS[op] * 4 * 9, CELLS[op] * 4 * 9
    graph = check(tmp_path, model_of([layer], weights, (7, 3, 5), **states), macs, params)
    recurrence = next(i for i in range(len(graph)) if graph.node_op(i) == op.lower())
    read = [graph.node_name(x) for x in graph.node_inputs(recurrence)]
    assert read == ["layer.part", *states]
    graph = check(tmp_path, model_of([layer], weights | states, (7, 3, 5)), macs, params)
    recurrence = next(i for i in range(len(graph)) if graph.node_op(i) == op.lower())
    assert len(graph.node_inputs(recurrence)) == 1


def test_a_recurrence_of_which_only_the_last_state_is_read(tmp_path):
    layer = node("GRU", "x", "w", "r", outputs=["", "y"], hidden_size=4)
    model = model_of([layer], {"w": (1, 12, 5), "r": (1, 12, 4)}, (7, 3, 5))
    check(tmp_path, model, 7 * 3 * 12 * 9, 12 * 9)


@pytest.mark.parametrize("masked", [False, True])
def test_deformable_convolutions(tmp_path, masked):
    others = {"o": (2, 18, 7, 6), **({"m": (2, 9, 7, 6)} if masked else {})}
    layer = node("DeformConv", "x", "w", "o", "b", *(["m"] if masked else []), group=2)
    model = model_of([layer], {"w": (6, 2, 3, 3), "b": (6,)}, X, 19, **others)
    graph = check(tmp_path, model, 2 * 6 * 42 * 18, 6 * 18 + 6)
    ops = [op for op, _ in ops_of(graph)]
    assert ops == ["interpolate_bilinear", *(["mul"] if masked else []), "conv2d"]
    assert ops_of(graph)[0][1] == (2, 4, 21, 18)


QKV = {"k": (2, 6, 5, 8), "v": (2, 6, 5, 8)}
SCORES = 2 * 6 * 3 * 5


@pytest.mark.parametrize(
    ("inputs", "attributes", "shape", "others", "outputs", "macs"),
    [
        ("x k v", {}, (2, 6, 3, 8), QKV, 1, SCORES * 16),
        ("x k v", {"is_causal": 1}, (2, 6, 3, 8), QKV, 1, SCORES * 16),
        ("x k v m", {}, (2, 6, 3, 8), {**QKV, "m": (3, 5)}, 1, SCORES * 16),
        ("x k v", {}, (2, 6, 3, 8), {"k": (2, 3, 5, 8), "v": (2, 3, 5, 7)}, 1, SCORES * 15),
        (
            "x k v",
            {"q_num_heads": 6, "kv_num_heads": 2},
            (2, 3, 48),
            {"k": (2, 5, 16), "v": (2, 5, 16)},
            1,
            SCORES * 16,
        ),
        (
            "x k v  pk pv",
            {},
            (2, 6, 3, 8),
            {**QKV, "pk": (2, 6, 9, 8), "pv": (2, 6, 9, 8)},
            3,
            2 * 6 * 3 * 14 * 16,
        ),
    ],
)
def test_attention(*, tmp_path, inputs, attributes, shape, others, outputs, macs):
    names = ["y", "keys", "values"][:outputs]
    layer = node("Attention", *inputs.split(" "), outputs=names, **attributes)
    model = model_of([layer], None, shape, 23, names, **others)
    check(tmp_path, model, macs, 0)


@pytest.mark.parametrize(
    ("layer", "weights", "opset", "params", "op"),
    [
        (node("LayerNormalization", "x", "s", "b"), {"s": (8,), "b": (8,)}, 17, 16, "layer_norm"),
        (node("LayerNormalization", "x", "s", axis=2), {"s": (9, 8)}, 17, 72, "layer_norm"),
        (node("RMSNormalization", "x", "s"), {"s": (8,)}, 23, 8, "rms_norm"),
        (
            node("InstanceNormalization", "x", "s", "s2"),
            {"s": (4,), "s2": (4,)},
            20,
            8,
            "instance_norm",
        ),
        (
            node("GroupNormalization", "x", "s", "b", num_groups=2),
            {"s": (4,), "b": (4,)},
            21,
            8,
            "group_norm",
        ),
        (
            node("BatchNormalization", "x", "s", "b", "m", "v"),
            dict.fromkeys("sbmv", (4,)),
            15,
            8,
            "batch_norm",
        ),
        (node("MeanVarianceNormalization"), {}, 13, 0, "instance_norm"),
        (node("LpNormalization", axis=1), {}, 22, 0, "norm div"),
        (node("LRN", size=3), {}, 13, 0, "mul flatten avg_pool pow flatten div"),
    ],
)
def test_norms(*, tmp_path, layer, weights, opset, params, op):
    model = model_of([layer], weights, X, opset)
    graph = check(tmp_path, model, 0, params, layer.op_type != "RMSNormalization")
    assert [name for name, _ in ops_of(graph)] == op.split()
    assert ops_of(graph)[-1][1] == X


@pytest.mark.parametrize(
    ("layer", "shape", "op"),
    [
        (node("MaxPool", kernel_shape=[3], strides=[2]), (2, 4, 9), "max_pool"),
        (node("AveragePool", kernel_shape=[2, 2, 3]), (1, 4, 5, 6, 7), "avg_pool"),
        (node("AveragePool", kernel_shape=[2, 3], dilations=[3, 2]), X, "avg_pool"),
        (node("LpPool", kernel_shape=[2, 2], strides=[2, 2]), X, "pow avg_pool pow"),
        (node("GlobalMaxPool"), X, "adaptive_max_pool"),
        (node("GlobalAveragePool"), (2, 4, 9), "adaptive_avg_pool"),
        (node("GlobalAveragePool"), (2, 4, 5, 6, 7), "adaptive_avg_pool"),
        (node("DepthToSpace", blocksize=2), X, "pixel_shuffle"),
        (node("SpaceToDepth", blocksize=2), (2, 4, 6, 8), "pixel_shuffle"),
    ],
)
def test_pools(*, tmp_path, layer, shape, op):
    graph = check(tmp_path, model_of([layer], None, shape, 20), 0, 0)
    assert [name for name, _ in ops_of(graph)] == op.split()


def test_places_of_the_maxima(tmp_path):
    layer = node("MaxPool", outputs=["y", "at"], kernel_shape=[2, 2])
    check(tmp_path, model_of([layer], None, X, 20, ["y", "at"]), 0, 0)


def as_int8(model, *names):
    for value in model.graph.input:
        if value.name in names:
            value.type.tensor_type.elem_type = TensorProto.INT8
    return model


def test_quantised_layers(tmp_path):
    one, zero = F32(1), np.int8(0)
    weights = {"w": np.zeros((6, 4, 3, 3), np.int8), "b": np.zeros(6, np.int32), "s": one}
    scales = ["s", "zp"]
    layer = node("QLinearConv", "x", *scales, "w", *scales, *scales, "b")
    model = as_int8(model_of([layer], {**weights, "zp": zero}, X, 13), "x")
    graph = check(tmp_path, model, 2 * 6 * 42 * 36, 6 * 36 + 6)
    assert graph.dtype == "int8"
    layer = node("ConvInteger", "x", "w")
    model = as_int8(model_of([layer], {"w": weights["w"]}, X, 13), "x")
    check(tmp_path, model, 2 * 6 * 42 * 36, 6 * 36)
    layer = node("QLinearMatMul", "x", *scales, "w", *scales, *scales)
    model = model_of([layer], {"w": np.zeros((8, 5), np.int8), "s": one, "zp": zero}, X, 13)
    check(tmp_path, as_int8(model, "x"), 2 * 36 * 40, 40)
    model = as_int8(model_of([node("MatMulInteger", "x", "z")], None, (3, 4), z=(4, 5)), "x", "z")
    check(tmp_path, model, 60, 0)


def test_quantise_and_dequantise_around_a_layer(tmp_path):
    layers = [
        node("QuantizeLinear", "x", "s", "zp", outputs=["q"], name="q"),
        node("DequantizeLinear", "q", "s", "zp", outputs=["d"], name="d"),
        node("DequantizeLinear", "w", "s", "zp", outputs=["v"], name="v"),
        node("Conv", "d", "v"),
    ]
    weights = {"w": np.zeros((6, 4, 3, 3), np.int8), "s": F32(1), "zp": np.int8(0)}
    graph = check(tmp_path, model_of(layers, weights, X), 2 * 6 * 42 * 36, 216)
    assert [op for op, _ in ops_of(graph)] == ["quantize", "dequantize", "conv2d"]


@pytest.mark.parametrize(
    ("layer", "weights", "shape", "macs", "params", "ops"),
    [
        (node("FusedMatMul", "x", "x", transB=1), {}, (2, 3, 4), 2 * 9 * 4, 0, "part matmul"),
        (
            node("FusedConv", "x", "w", activation="Relu"),
            {"w": (6, 4, 3, 3)},
            X,
            2 * 6 * 42 * 36,
            216,
            "conv2d relu",
        ),
        (node("BiasGelu", "x", "b"), {"b": (8,)}, X, 0, 8, "parameter add gelu"),
        (node("FastGelu", "x"), {}, X, 0, 0, "gelu_tanh"),
        (
            node("SkipLayerNormalization", "x", "x", "s", "b"),
            {"s": (8,), "b": (8,)},
            X,
            0,
            16,
            "add layer_norm",
        ),
        (
            node("SkipSimplifiedLayerNormalization", "x", "x", "s"),
            {"s": (8,)},
            X,
            0,
            8,
            "add rms_norm",
        ),
        (
            node("Attention", "x", "w", "b", num_heads=2),
            {"w": (8, 24), "b": (24,)},
            (3, 5, 8),
            3 * 5 * 8 * 24 + 3 * 2 * 25 * 8,
            8 * 24 + 24,
            "linear part part part attention part",
        ),
        (
            node("MultiHeadAttention", "x", "x", "x", num_heads=2),
            {},
            (3, 5, 8),
            3 * 2 * 25 * 8,
            0,
            "part part part attention part",
        ),
    ],
)
def test_operators_of_a_runtime(*, tmp_path, layer, weights, shape, macs, params, ops):
    layer.domain = "com.microsoft"
    graph = check(tmp_path, model_of([layer], weights, shape), macs, params, runs=False)
    assert [op for op, _ in ops_of(graph)] == ops.split()
