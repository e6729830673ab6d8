"""Every ONNX operator that is read: shapes as onnx's reference runs it, counts by arithmetic."""

import numpy as np
import pytest

import alphaflops as af
from alphaflops import errors

onnx = pytest.importorskip("onnx", reason="the extra alphaflops[onnx] is not installed")

from onnx import TensorProto  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402
from onnx_models import I64, model_of, node, ops_of, saved  # noqa: E402

from alphaflops.frontends.onnx import load_onnx  # noqa: E402
from alphaflops.frontends.onnx_bind import bound_shapes  # noqa: E402
from alphaflops.frontends.onnx_file import read_model  # noqa: E402
from alphaflops.frontends.onnx_network import Network  # noqa: E402

F32 = np.float32


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


X = (2, 4, 9, 8)

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


def test_random_numbers(tmp_path):
    layers = [
        onnx.helper.make_node("RandomNormal", [], ["r"], name="noise", shape=[4, 1, 1]),
        node("Add", "x", "r"),
    ]
    graph = check(tmp_path, model_of(layers, None, X), 0, 0)
    assert ops_of(graph) == [("fill", (4, 1, 1)), ("add", X)]


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


SCALES = {"r": np.zeros(0, F32), "s": np.array([1, 1, 2, 2], F32)}


@pytest.mark.parametrize(
    ("layer", "weights", "opset", "op"),
    [
        (node("Resize", "x", "r", "s"), SCALES, 13, "interpolate_nearest"),
        (node("Resize", "x", "r", "s", mode="linear"), SCALES, 13, "interpolate_bilinear"),
        (node("Resize", "x", "r", "s", mode="cubic"), SCALES, 13, "interpolate_bicubic"),
        (node("Resize", "x", "", "", "z"), {"z": ints(2, 4, 5, 3)}, 13, "interpolate_nearest"),
        (node("Upsample", "x", "s"), SCALES, 9, "interpolate_nearest"),
        (node("Pad", "x", "p"), {"p": ints(0, 0, 1, 2, 0, 0, 3, 4)}, 13, "pad"),
        (node("Slice", "x", "a", "b"), {"a": ints(0, 1), "b": ints(1, 3)}, 13, "slice"),
        (node("Slice", "x", starts=[1], ends=[9], axes=[2]), {}, 9, "slice"),
        (node("Slice", "x", starts=[0], ends=[2**31 - 1], axes=[2]), {}, 9, ""),
        (node("Expand", "x", "z"), {"z": ints(3, 1, 4, 1, 1)}, 13, "repeat"),
        (node("Expand", "x", "z"), {"z": ints(4, 1, 8)}, 13, ""),
        (node("Tile", "x", "z"), {"z": ints(1, 2, 1, 3)}, 13, "repeat"),
        (node("Transpose", perm=[0, 2, 1, 3]), {}, 13, "transpose"),
        (node("Transpose"), {}, 13, "transpose"),
        (node("Gather", "x", "z", axis=1), {"z": ints(0, 2)}, 13, "gather"),
        (node("Gather", "x", "z", axis=1), {"z": I64(2)}, 13, "part"),
        (node("GatherElements", "x", "z"), {"z": np.zeros((1, 4, 9, 8), I64)}, 13, "gather"),
        (node("GatherND", "x", "z"), {"z": ints([0, 1], [1, 3])}, 13, "gather"),
        (node("ScatterElements", "x", "z", "x"), {"z": np.zeros(X, I64)}, 18, "scatter"),
        (node("ScatterND", "x", "z", "u"), {"z": ints([0], [1]), "u": X}, 18, "scatter"),
        (node("Concat", "x", "x", "x", axis=-1), {}, 13, "concat"),
        (node("Unsqueeze", axes=[0, 2]), {}, 11, "flatten"),
        (node("Flatten", axis=0), {}, 13, "flatten"),
        (node("Cast", to=TensorProto.INT64), {}, 13, "cast"),
        (node("Trilu"), {}, 14, "copy"),
        (node("ReduceSum", "x", "z"), {"z": ints(1)}, 13, "sum"),
        (node("ReduceSum"), {}, 13, "sum"),
        (node("ReduceMean", axes=[1, -1], keepdims=0), {}, 11, "mean"),
        (node("ReduceMax", axes=[0]), {}, 13, "max"),
        (node("ReduceMin"), {}, 13, "min"),
        (node("ReduceProd"), {}, 13, "prod"),
        (node("ReduceL1"), {}, 13, "norm"),
        (node("ReduceL2", axes=[1]), {}, 13, "norm"),
        (node("ReduceSumSquare"), {}, 13, "norm"),
        (node("ReduceLogSum"), {}, 13, "sum log"),
        (node("ReduceLogSumExp"), {}, 13, "logsumexp"),
        (node("ArgMax", axis=1), {}, 13, "argmax"),
        (node("ArgMin", axis=-1, keepdims=0), {}, 13, "argmax"),
        (node("CumSum", "x", "z"), {"z": I64(1)}, 14, "cumsum"),
        (node("Softmax", axis=-1), {}, 13, "softmax"),
        (node("LogSoftmax", axis=-1), {}, 13, "log_softmax"),
        (node("QuantizeLinear", "x", "s1"), {"s1": F32(1)}, 13, "quantize"),
        (node("Dropout"), {}, 13, ""),
    ],
)
def test_movements_and_reductions(*, tmp_path, layer, weights, opset, op):
    if "r" in layer.input and opset == 13:
        weights = {"r": SCALES["r"], "s": SCALES["s"]}
    runs = layer.op_type != "Upsample"
    params = int(np.prod(X)) if layer.op_type == "ScatterND" else 0  # its updates are stored
    graph = check(tmp_path, model_of([layer], weights, X, opset), 0, params, runs)
    assert [name for name, _ in ops_of(graph) if name != "parameter"] == op.split()


def test_top_k_and_split(tmp_path):
    layers = [
        node("TopK", "x", "k", outputs=["a", "at"], axis=1),
        node("Split", "a", "sizes", outputs=["b", "c", "d"], axis=2),
        node("Split", "b", outputs=["e", "f"], axis=3, name="halves"),
    ]
    weights = {"k": ints(3), "sizes": ints(2, 3, 4)}
    names = ["at", "c", "d", "e", "f"]
    graph = check(tmp_path, model_of(layers, weights, X, 13, names), 0, 0)
    assert [op for op, _ in ops_of(graph)] == ["topk", "part", *["slice"] * 5]


UNARY = {
    **dict.fromkeys(("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "Log", "Neg", "Reciprocal"), 1),
    **dict.fromkeys(("Round", "Sign", "Sin", "Sqrt", "Tan", "Atan", "Relu", "Tanh"), 1),
    "Elu": 3,
    "Celu": 3,
    "Selu": 4,
    "LeakyRelu": 2,
    "Softplus": 3,
    "Softsign": 3,
    "Mish": 5,
    "Sigmoid": 4,
    "HardSigmoid": 4,
    "HardSwish": 5,
    "IsNaN": 1,
    "ThresholdedRelu": 2,
}


@pytest.mark.parametrize(("op", "flops"), UNARY.items())
def test_unary(tmp_path, op, flops):
    graph = check(tmp_path, model_of([node(op)], None, X), 0, 0)
    assert af.lower(graph, "eager").flops.sum() == flops * np.prod(X)


BINARY = ["Add", "Sub", "Mul", "Div", "Pow", "Greater", "Less", "Equal", "Max", "Min", "Sum"]


@pytest.mark.parametrize("op", BINARY)
@pytest.mark.parametrize("other", [X, (4, 1, 1), (8,), (3, 1, 1, 1, 1), (2, 4, 1, 1)])
def test_binary(tmp_path, op, other):
    graph = check(tmp_path, model_of([node(op, "x", "z")], None, X, z=other), 0, 0)
    assert af.lower(graph).flops.sum() == np.prod(np.broadcast_shapes(X, other))
    graph = check(tmp_path, model_of([node(op, "z", "x")], None, X, z=other), 0, 0)
    assert af.lower(graph).flops.sum() == np.prod(np.broadcast_shapes(X, other))


def test_operands_of_which_some_are_numbers_or_parameters(tmp_path):
    layers = [
        node("Mul", "x", "half", outputs=["a"]),
        node("Add", "a", "table", outputs=["b"], name="position"),
        node("Where", "mask", "b", "half", outputs=["c"], name="where"),
        node("Max", "c", "x", "b", name="max"),
    ]
    weights = {"half": F32(0.5), "table": (9, 8), "mask": np.ones((9, 8), bool)}
    graph = check(tmp_path, model_of(layers, weights, X), 0, 72)
    ops = [op for op, _ in ops_of(graph)]
    assert ops == ["mul", "parameter", "add", "constant", "where", "maximum", "maximum"]
    assert af.lower(graph).flops.sum() == 5 * np.prod(X)


@pytest.mark.parametrize("other", [(3,), (4, 2, 1)])
def test_operands_that_do_not_broadcast(tmp_path, other):
    with pytest.raises(errors.Error, match="broadcast"):
        load_onnx(saved(tmp_path, model_of([node("Sub", "x", "z")], None, X, z=other)))


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
