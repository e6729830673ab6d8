"""The ONNX front end: exports of torch modules, single operators, and bad files."""

import contextlib
import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import alphaflops as af
from alphaflops import errors

onnx = pytest.importorskip("onnx", reason="the extra alphaflops[onnx] is not installed")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from alphaflops.frontends.onnx import load_onnx  # noqa: E402
from alphaflops.frontends.onnx_file import read_model  # noqa: E402

TORCH_REASON = "the exporter is torch's"


# --- exports of the zoo's networks -----------------------------------------------------------

# The new exporter at batch 2 and, where the network takes it, at 192 pixels; the old one at 1, 224.
SLOW = pytest.mark.slow
EXPORTS = [
    pytest.param("densenet121", "legacy", 1, 224),
    pytest.param("mobilenet_v2", "legacy", 1, 224),
    pytest.param("resnet18", "legacy", 1, 224),
    pytest.param("resnet50", "legacy", 1, 224),
    pytest.param("vgg16", "legacy", 1, 224, marks=SLOW),
    pytest.param("densenet121", "dynamo", 2, 192, marks=SLOW),
    pytest.param("mobilenet_v2", "dynamo", 2, 192),
    pytest.param("resnet18", "dynamo", 2, 192),
    pytest.param("resnet50", "dynamo", 2, 192),
    pytest.param("vgg16", "dynamo", 2, 224),  # its file is the one of the memory test
]


def export(module, example, path, exporter, batch_name=None):
    """Write one file, weights included; the batch is symbolic where it has a name."""
    torch = pytest.importorskip("torch", reason=TORCH_REASON)
    if exporter == "dynamo":
        pytest.importorskip("onnxscript", reason="torch's exporter needs it")
        options = {"dynamo": True, "external_data": False, "verbose": False}
        if batch_name:
            options["dynamic_shapes"] = ({0: batch_name},)
    else:
        options = {"dynamo": False, "input_names": ["x"]}
        if batch_name:
            options["dynamic_axes"] = {"x": {0: batch_name}}
    with warnings.catch_warnings():
        # The exporters warn about themselves and about what they call in torch.
        for category in (DeprecationWarning, FutureWarning, UserWarning):
            warnings.simplefilter("ignore", category)
        torch.onnx.export(module, (example,), str(path), **options)
    return path


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A function from (name, exporter, batch, image size) to a file, each made once."""
    torch = pytest.importorskip("torch", reason=TORCH_REASON)
    networks = pytest.importorskip("networks", reason=TORCH_REASON)
    folder = tmp_path_factory.mktemp("onnx")
    made = {}

    def get(name, exporter, batch, image_size):
        key = (name, exporter, batch, image_size)
        if key not in made:
            example = torch.zeros(batch, 3, image_size, image_size)
            path = folder / f"{name}-{exporter}.onnx"
            made[key] = export(networks.build(name), example, path, exporter)
        return made[key]

    yield get
    for path in made.values():
        path.unlink()


def multiplying_rows(work):
    """The rows that do MACs, in an order that does not depend on the graph's."""
    columns = ("kind", "batch", "groups", "c_in", "c_out", "spatial", "kernel_volume", "stride")
    columns += ("activations_read", "elements_written", "macs")
    rows = np.stack([getattr(work, c).astype(np.int64) for c in columns], axis=1)
    return sorted(rows[work.macs > 0].tolist())


def params_with_norms_folded(graph):
    """Parameters of the zoo's graph when each norm behind a convolution has become a bias."""
    norms = [i for i in range(len(graph)) if graph.node_op(i) == "batch_norm"]
    folded = [i for i in norms if graph.node_op(graph.node_inputs(i)[0]) == "conv2d"]
    return af.lower(graph).params.sum() - sum(graph.shape(i)[1] for i in folded)


@pytest.mark.parametrize(("name", "exporter", "batch", "image_size"), EXPORTS)
def test_export_equals_the_zoo(exported, name, exporter, batch, image_size):
    graph = load_onnx(exported(name, exporter, batch, image_size), strict=True)
    zoo = af.zoo.build(name, batch, image_size)
    work, expected = af.lower(graph), af.lower(zoo)
    assert work.macs.sum() == expected.macs.sum()
    assert multiplying_rows(work) == multiplying_rows(expected)
    assert work.params.sum() == params_with_norms_folded(zoo)
    # The identity pool of VGG-16 and the concatenation of one tensor of DenseNet come and go.
    assert abs(len(work) - len(expected)) <= 4
    assert graph.dtype == "fp32"


def test_another_batch_of_a_file_with_a_fixed_one(exported):
    path = exported("resnet18", "dynamo", 2, 192)
    work = af.lower(af.load(path, batch=5, dtype="fp16"))
    expected = af.lower(af.zoo.build("resnet18", 5, 192))
    assert multiplying_rows(work) == multiplying_rows(expected)
    assert af.load(path, batch=5, dtype="fp16").dtype == "fp16"
    assert af.load(path, batch=2).batch == 2


def test_names_of_layers_are_names_of_nodes(exported):
    graph = load_onnx(exported("resnet18", "legacy", 1, 224))
    names = [graph.node_name(i) for i in range(len(graph))]
    assert "/layer1/layer1.0/conv1/Conv" in names
    assert names[-1] == "/fc/Gemm"


MEMORY = """
import sys, onnx, onnx.inliner, onnx.shape_inference
from alphaflops.frontends.onnx import load_onnx
def peak_kib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
before = peak_kib()
graph = load_onnx(sys.argv[1])
print(len(graph), peak_kib() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_weights_are_not_loaded(exported):
    path = exported("vgg16", "dynamo", 2, 224)
    assert path.stat().st_size > 500e6
    command = [sys.executable, "-c", MEMORY, str(path)]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    nodes, kib = map(int, out.split())
    assert nodes > 30
    assert kib < 60 * 1024


@pytest.mark.parametrize("exporter", ["legacy", "dynamo"])
def test_symbolic_batch_gates_and_patterns_of_the_exporters(tmp_path, exporter):
    torch = pytest.importorskip("torch", reason=TORCH_REASON)
    nn, functional = torch.nn, torch.nn.functional

    class Gated(nn.Module):
        """Squeeze and excite with linear layers, and shapes computed from the batch."""

        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16)
            self.down, self.up = nn.Linear(16, 4), nn.Linear(4, 16, bias=False)
            self.head = nn.Linear(1024, 10)

        def forward(self, x):
            x = functional.hardswish(self.norm(self.conv(x)))
            gate = functional.adaptive_avg_pool2d(x, 1).view(x.size(0), -1)
            gate = functional.hardsigmoid(self.up(functional.relu(self.down(gate))))
            x = functional.relu6(functional.silu(x * gate.view(x.size(0), 16, 1, 1)))
            x = x.mean((2, 3), keepdim=True) * x
            return functional.softmax(self.head(x.view(x.size(0), -1)), -1)

    torch.manual_seed(0)
    path = export(Gated().eval(), torch.zeros(2, 3, 16, 16), tmp_path / "g.onnx", exporter, "n")
    with pytest.raises(errors.ModelError, match=r"symbolic batch dimension 'n'; .*--batch"):
        af.load(path)
    graph = load_onnx(path, batch=4, strict=True)
    ops = [graph.node_op(i) for i in range(len(graph)) if graph.node_op(i) != "flatten"]
    expected = "input conv2d hardswish global_avg_pool linear relu linear hardsigmoid mul sigmoid "
    expected += "mul relu6 global_avg_pool mul linear softmax"
    assert ops == expected.split()
    assert graph.shape(len(graph) - 1) == (4, 10)
    work = af.lower(graph)
    assert work.macs.sum() == 4 * (64 * 16 * 27 + 2 * 16 * 4 + 1024 * 10)
    assert work.params.sum() == 16 * 27 + 16 + 16 * 4 + 4 + 4 * 16 + 1024 * 10 + 10


@pytest.mark.parametrize("exporter", ["legacy", "dynamo"])
def test_operators_that_are_not_counted_are_listed(tmp_path, exporter):
    torch = pytest.importorskip("torch", reason=TORCH_REASON)
    nn = torch.nn

    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8)
            self.hidden = nn.Linear(8, 16)

        def forward(self, x):
            x = self.conv(x).flatten(2).transpose(1, 2)
            return nn.functional.gelu(self.hidden(self.norm(x)))

    torch.manual_seed(0)
    path = export(Tokens().eval(), torch.zeros(1, 3, 16, 16), tmp_path / "t.onnx", exporter)
    graph = af.load(path)
    ops = [graph.node_op(i) for i in range(len(graph))]
    assert {"Transpose", "LayerNormalization", "linear"} <= set(ops)
    # A product with a constant and the addition of one are a linear layer with bias.
    work = af.lower(graph)
    assert work.macs.sum() == 16 * 8 * 48 + 16 * 8 * 16
    assert work.params.sum() == 8 * 48 + 8 + 8 * 16 + 16
    unknown = int((work.kind == af._core.KINDS.index("unknown")).sum())
    with pytest.raises(errors.UnsupportedError, match=rf"{unknown} of .*Transpose \(1\)"):
        load_onnx(path, strict=True)


# --- single operators ------------------------------------------------------------------------


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


IMAGE = (2, 4, 9, 8)
I64 = np.int64


@pytest.mark.parametrize(
    ("nodes", "weights", "expected"),
    [
        ([node("Conv", "x", "w")], {"w": (6, 4, 3, 3)}, [("conv2d", (2, 6, 7, 6))]),
        (
            [node("Conv", "x", "w", "b", strides=[2, 1], pads=[1, 0, 2, 3], dilations=[1, 2])],
            {"w": (6, 4, 3, 2), "b": (6,)},
            [("conv2d", (2, 6, 5, 9))],
        ),
        ([node("Conv", "x", "w", group=4)], {"w": (8, 1, 3, 3)}, [("conv2d", (2, 8, 7, 6))]),
        (
            [node("Conv", "x", "w", auto_pad="VALID", strides=[2, 2])],
            {"w": (6, 4, 2, 2)},
            [("conv2d", (2, 6, 4, 4))],
        ),
        ([node("Relu")], {}, [("relu", IMAGE)]),
        ([node("Sigmoid")], {}, [("sigmoid", IMAGE)]),
        ([node("HardSigmoid")], {}, [("hardsigmoid", IMAGE)]),
        ([node("HardSwish")], {}, [("hardswish", IMAGE)]),
        ([node("Tanh")], {}, [("tanh", IMAGE)]),
        ([node("Gelu")], {}, [("gelu", IMAGE)]),
        ([node("Gelu", approximate="tanh")], {}, [("Gelu", IMAGE)]),
        ([node("LeakyRelu")], {}, [("LeakyRelu", IMAGE)]),
        (
            [node("Clip", "x", "low", "high")],
            {"low": np.float32(0), "high": np.float32(6)},
            [("relu6", IMAGE)],
        ),
        ([node("Clip", "x", "low")], {"low": np.float32(0)}, [("relu", IMAGE)]),
        ([node("Clip", "x", "low")], {"low": np.float32(-1)}, [("Clip", IMAGE)]),
        ([node("Clip")], {}, [("Clip", IMAGE)]),
        (
            [node("MaxPool", kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1)],
            {},
            [("max_pool", (2, 4, 5, 4))],
        ),
        (
            [node("MaxPool", kernel_shape=[2, 2], dilations=[3, 1])],
            {},
            [("max_pool", (2, 4, 6, 7))],
        ),
        (
            [node("AveragePool", kernel_shape=[2, 2], pads=[1, 0, 0, 1])],
            {},
            [("avg_pool", (2, 4, 9, 8))],
        ),
        (
            [node("AveragePool", kernel_shape=[2, 2], dilations=[2, 2])],
            {},
            [("AveragePool", (2, 4, 7, 6))],
        ),
        ([node("GlobalAveragePool")], {}, [("global_avg_pool", (2, 4, 1, 1))]),
        (
            [node("ReduceMean", "x", "axes")],
            {"axes": np.array([-1, 2], I64)},
            [("global_avg_pool", (2, 4, 1, 1))],
        ),
        (
            [node("ReduceMean", "x", "axes", keepdims=0)],
            {"axes": np.array([2, 3], I64)},
            [("global_avg_pool", (2, 4, 1, 1)), ("flatten", (2, 4))],
        ),
        (
            [node("ReduceMean", "x", "axes")],
            {"axes": np.array([1], I64)},
            [("ReduceMean", (2, 1, 9, 8))],
        ),
        (
            [node("BatchNormalization", "x", "s", "b", "m", "v")],
            dict.fromkeys("sbmv", (4,)),
            [("batch_norm", IMAGE)],
        ),
        ([node("Add", "x", "x")], {}, [("add", IMAGE)]),
        ([node("Sum", "x", "x")], {}, [("add", IMAGE)]),
        ([node("Add", "x", "c")], {"c": (1,)}, [("Add", IMAGE)]),
        ([node("Mul", "x", "x")], {}, [("mul", IMAGE)]),
        (
            [node("GlobalAveragePool", outputs=["g"]), node("Mul", "g", "x")],
            {},
            [("global_avg_pool", (2, 4, 1, 1)), ("mul", IMAGE)],
        ),
        ([node("Concat", "x", "x", axis=1)], {}, [("concat", (2, 8, 9, 8))]),
        ([node("Concat", "x", "x", axis=-3)], {}, [("concat", (2, 8, 9, 8))]),
        ([node("Concat", "x", "x", axis=2)], {}, [("Concat", (2, 4, 18, 8))]),
        ([node("Softmax", axis=1)], {}, [("softmax", IMAGE)]),
        ([node("Flatten")], {}, [("flatten", (2, 288))]),
        ([node("Flatten", axis=2)], {}, [("flatten", (8, 72))]),
        (
            [node("Reshape", "x", "s")],
            {"s": np.array([0, 2, -1, 8], I64)},
            [("flatten", (2, 2, 18, 8))],
        ),
        (
            [node("Unsqueeze", "x", "a")],
            {"a": np.array([2], I64)},
            [("flatten", (2, 4, 1, 9, 8))],
        ),
        ([node("Identity"), node("Relu", "y", outputs=["z"])], {}, [("relu", IMAGE)]),
        ([node("Dropout"), node("Relu", "y", outputs=["z"])], {}, [("relu", IMAGE)]),
        ([node("Cast", to=TensorProto.FLOAT16)], {}, []),
        ([node("Transpose", perm=[0, 2, 3, 1])], {}, [("Transpose", (2, 9, 8, 4))]),
        (
            [
                node("Split", "x", outputs=["y", "z"], axis=1, num_outputs=2),
                node("Add", "y", "z", outputs=["w"]),
            ],
            {},
            [("Split", (2, 2, 9, 8)), ("Split", (2, 2, 9, 8)), ("add", (2, 2, 9, 8))],
        ),
        # A quantized weight is a constant still.
        (
            [node("DequantizeLinear", "q", "scale", outputs=["w"]), node("Conv", "x", "w")],
            {"q": np.zeros((6, 4, 3, 3), np.int8), "scale": np.float32(1)},
            [("conv2d", (2, 6, 7, 6))],
        ),
    ],
)
def test_operator(tmp_path, nodes, weights, expected):
    assert ops_of(load_onnx(saved(tmp_path, model_of(nodes, weights)))) == expected


def linear_row(graph):
    work = af.lower(graph)
    return int(work.macs.sum()), int(work.params.sum()), len(work)


@pytest.mark.parametrize(
    ("nodes", "weights", "counts"),
    [
        ([node("Gemm", "x", "w", transB=1)], {"w": (7, 5)}, (105, 35, 1)),
        ([node("Gemm", "x", "w", "b")], {"w": (5, 7), "b": (7,)}, (105, 42, 1)),
        ([node("MatMul", "x", "w")], {"w": (5, 7)}, (105, 35, 1)),
        (
            [node("MatMul", "x", "w", outputs=["m"]), node("Add", "b", "m", name="bias")],
            {"w": (5, 7), "b": (7,)},
            (105, 42, 1),
        ),
        # The product is read twice, so the addition is a launch of its own, and not counted.
        (
            [
                node("MatMul", "x", "w", outputs=["m"]),
                node("Add", "m", "b", outputs=["a"]),
                node("Add", "a", "m", name="sum"),
            ],
            {"w": (5, 7), "b": (7,)},
            (105, 35, 3),
        ),
        ([node("Gemm", "x", "w", transA=1)], {"w": (3, 7)}, (0, 0, 1)),
        ([node("MatMul", "w", "x")], {"w": (5, 3)}, (0, 0, 1)),
    ],
)
def test_linear(tmp_path, nodes, weights, counts):
    graph = load_onnx(saved(tmp_path, model_of(nodes, weights, shape=(3, 5))))
    assert linear_row(graph) == counts


def test_bias_added_behind_a_convolution(tmp_path):
    nodes = [node("Conv", "x", "w", outputs=["c"]), node("Add", "c", "b", name="bias")]
    nodes.append(node("Relu", "y", outputs=["z"]))
    graph = load_onnx(saved(tmp_path, model_of(nodes, {"w": (6, 4, 1, 1), "b": (1, 6, 1, 1)})))
    assert [op for op, _ in ops_of(graph)] == ["conv2d", "relu"]
    assert af.lower(graph).params.sum() == 30


@given(
    extent=st.integers(1, 12),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 3),
    upper=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_same_padding(*, tmp_path_factory, extent, kernel, stride, dilation, upper):
    layer = node(
        "Conv",
        "x",
        "w",
        auto_pad="SAME_UPPER" if upper else "SAME_LOWER",
        strides=[stride, 1],
        dilations=[dilation, 1],
    )
    model = model_of([layer], {"w": (1, 1, kernel, 1)}, shape=(1, 1, extent, 3))
    graph = load_onnx(saved(tmp_path_factory.getbasetemp(), model))
    assert graph.shape(1) == (1, 1, -(-extent // stride), 3)


def test_clip_of_opset_6_and_constants_from_nodes(tmp_path):
    clip = helper.make_node("Clip", ["x"], ["y"], name="c", min=0.0, max=6.0)
    assert ops_of(load_onnx(saved(tmp_path, model_of([clip], opset=10)))) == [("relu6", IMAGE)]
    bounds = [
        helper.make_node(
            "Constant", [], [name], value=numpy_helper.from_array(np.array(v, np.float32))
        )
        for name, v in (("low", 0), ("high", 6))
    ]
    graph = load_onnx(saved(tmp_path, model_of([*bounds, node("Clip", "x", "low", "high")])))
    assert ops_of(graph) == [("relu6", IMAGE)]


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (TensorProto.FLOAT16, "fp16"),
        (TensorProto.BFLOAT16, "bf16"),
        (TensorProto.FLOAT, "fp32"),
        (TensorProto.UINT8, "int8"),
    ],
)
def test_dtype_is_that_of_the_file(tmp_path, kind, dtype):
    model = model_of([node("Identity"), node("Transpose", "y", outputs=["z"])])
    model.graph.input[0].type.tensor_type.elem_type = kind
    assert load_onnx(saved(tmp_path, model)).dtype == dtype


def test_dtype_without_a_cost_model(tmp_path):
    model = model_of([node("Relu")])
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    with pytest.raises(errors.UnsupportedError, match="'x' is DOUBLE"):
        load_onnx(saved(tmp_path, model))


def test_functions_of_the_model_are_inlined(tmp_path):
    body = [helper.make_node("Relu", ["a"], ["b"], name="inner")]
    opset = [helper.make_opsetid("", 20)]
    model = model_of([node("Act", domain="local")])
    model.functions.append(helper.make_function("local", "Act", ["a"], ["b"], body, opset))
    assert ops_of(load_onnx(saved(tmp_path, model))) == [("relu", IMAGE)]


def test_initializers_among_the_inputs_are_no_inputs(tmp_path):
    model = model_of([node("Conv", "x", "w")], {"w": (6, 4, 3, 3)}, w=(6, 4, 3, 3))
    assert ops_of(load_onnx(saved(tmp_path, model))) == [("conv2d", (2, 6, 7, 6))]


def test_external_weights_need_not_be_there(tmp_path):
    model = model_of([node("Conv", "x", "w", "b")], {"w": (64, 4, 3, 3), "b": (64,)})
    onnx.save(
        model,
        tmp_path / "m.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    (tmp_path / "weights.bin").unlink()
    work = af.lower(af.load(tmp_path / "m.onnx"))
    assert work.params.tolist() == [64 * 36 + 64]


def test_large_tensors_lose_their_elements_and_small_ones_keep_them(tmp_path):
    weights = {
        "raw": np.ones(1000, np.float32),
        "small": np.arange(4, dtype=I64),
        "int64": np.arange(500, dtype=I64),
    }
    model = model_of([node("Relu")], weights)
    model.graph.initializer.append(
        helper.make_tensor("floats", TensorProto.FLOAT, [30, 20], np.zeros(600))
    )
    constant = numpy_helper.from_array(np.ones((40, 40), np.float32))
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=constant))
    read = read_model(saved(tmp_path, model))
    tensors = {tensor.name: tensor for tensor in read.graph.initializer}
    assert numpy_helper.to_array(tensors["small"]).tolist() == [0, 1, 2, 3]
    for name, dims in (("raw", [1000]), ("int64", [500]), ("floats", [30, 20])):
        assert list(tensors[name].dims) == dims
        assert tensors[name].ByteSize() < 40
    stripped = read.graph.node[1].attribute[0].t
    assert list(stripped.dims) == [40, 40]
    assert not stripped.raw_data
    assert read.graph.input == model.graph.input


# --- shapes that are not fixed ---------------------------------------------------------------


def test_symbolic_batch(tmp_path):
    path = saved(tmp_path, model_of([node("Relu")], shape=("N", 4, 9, 8)))
    assert ops_of(load_onnx(path, batch=3)) == [("relu", (3, 4, 9, 8))]
    with pytest.raises(errors.ModelError, match="input 'x' has the symbolic batch dimension 'N'"):
        load_onnx(path)
    for batch in (0, -2):
        with pytest.raises(errors.ShapeError, match=f"batch is {batch}"):
            load_onnx(path, batch=batch)


def test_unnamed_batch_and_two_inputs(tmp_path):
    model = model_of([node("Add", "x", "z")], shape=(None, 4), z=(None, 4))
    assert ops_of(load_onnx(saved(tmp_path, model), batch=3)) == [("add", (3, 4))]


def test_other_symbolic_dimensions_are_named(tmp_path):
    path = saved(tmp_path, model_of([node("Relu")], shape=("N", 4, "height", "width")))
    with pytest.raises(errors.ModelError, match="symbolic dimensions height, width"):
        load_onnx(path, batch=1)


def test_shape_that_cannot_be_inferred_is_named(tmp_path):
    path = saved(tmp_path, model_of([node("Mystery", name="odd", domain="com.example")]))
    with pytest.raises(errors.ModelError, match="shape of tensor 'y' is not known"):
        load_onnx(path)


@pytest.mark.parametrize(
    ("layer", "weight", "message"),
    [
        (node("Conv", "x", "w"), (6, 3, 3, 3), "layer .Conv.*takes 3 channels"),
        (node("Conv", "x", "w", group=2), (6, 4, 3, 3), "in 2 groups; the input has 4"),
        (node("Conv", "x", "w", strides=[1]), (6, 4, 3, 3), r"strides is \[1\]"),
        (node("Conv", "x", "w", strides=[0, 1]), (6, 4, 3, 3), "stride_h is 0"),
        (node("Conv", "x", "w", pads=[-1, 0, 0, 0]), (6, 4, 3, 3), "pad_top is -1"),
        (node("Conv", "x", "w", dilations=[2**40, 1]), (6, 4, 3, 3), "dilations is"),
        (node("Conv", "x", "w", auto_pad="HALF"), (6, 4, 3, 3), "auto_pad is 'HALF'"),
        (node("Conv", "x", "w"), (6, 4, 11, 3), "the kernel spans 11"),
        (node("Conv", "x", "w"), (6, 4, 3), "four axes"),
        (node("Relu", "nowhere"), (1,), "reads 'nowhere', which nothing before it makes"),
        (node("MatMul", "x", "w"), (5, 2), "takes 5 features"),
    ],
)
def test_malformed_layers_are_named(tmp_path, layer, weight, message):
    path = saved(tmp_path, model_of([layer], {"w": weight}))
    with pytest.raises((errors.ModelError, errors.ShapeError), match=message):
        load_onnx(path)


# --- what MODEL may be -----------------------------------------------------------------------


def test_load_of_a_zoo_name():
    graph = af.load("resnet18", batch=2, dtype="bf16")
    assert (graph.name, graph.batch, graph.dtype) == ("resnet18", 2, "bf16")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet19", "neither an .onnx file nor a network of the zoo: did you mean resnet18"),
        ("", "neither an .onnx file"),
        ("torchvision.models:resnet18", "not supported in this version"),
        ("missing.onnx", "missing.onnx: there is no such file"),
    ],
)
def test_load_of_something_else(name, message):
    with pytest.raises(errors.ModelError, match=message):
        af.load(name)


PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x10\x00\x00\x00\x10\x08\x06\x00\x00\x00"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 4096,
        b"\xff" * 4096,
        PNG,
        b"version https://git-lfs.github.com/spec/v1\n",
        b"# a text\n" * 50,
        json.dumps({"model": [1, 2, 3]}).encode(),
        b"PK\x03\x04" + b"\x00" * 100,
        b"\x08\x0a",  # a model of nothing but a version
    ],
)
def test_foreign_files(tmp_path, content):
    path = tmp_path / "network.onnx"
    path.write_bytes(content)
    with pytest.raises(errors.ModelError, match=r"network\.onnx: ") as caught:
        af.load(path)
    assert "onnx" in str(caught.value).lower()


def test_foreign_file_of_another_name_and_a_folder(tmp_path):
    (tmp_path / "photo.png").write_bytes(PNG)
    with pytest.raises(errors.ModelError, match="not an ONNX model"):
        af.load(tmp_path / "photo.png")
    with pytest.raises(errors.ModelError, match="this is a folder"):
        af.load(tmp_path)


def test_messages_nested_too_deep(tmp_path):
    # Graph in attribute in node in graph, each long enough to be opened.
    content = b"\x12\x00" * 600
    for field in (7, *([1, 5, 6] * 60))[::-1]:
        size = helper.make_opsetid("x" * len(content), 1).SerializeToString()
        varint = size[1 : size.index(b"x")]
        content = bytes([field << 3 | 2]) + varint + content
    path = tmp_path / "deep.onnx"
    path.write_bytes(content)
    with pytest.raises(errors.ModelError, match="nested too deep"):
        af.load(path)


def test_missing_extra():
    code = (
        "import sys; sys.modules['onnx'] = None\n"
        "import alphaflops as af\n"
        "af.load('resnet18')\n"
        "try:\n    af.load('m.onnx')\n"
        "except af.errors.MissingExtraError as error:\n    print(error)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "alphaflops[onnx]"' in out.stdout


# --- damaged files ---------------------------------------------------------------------------


def everything():
    """Bytes of a model with most of what the reader handles, a large tensor included."""
    nodes = [
        node("Conv", "x", "w", "b", outputs=["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        node("BatchNormalization", "c", "b", "b", "b", "b", outputs=["n"]),
        node("Clip", "n", "low", "high", outputs=["r"]),
        node("MaxPool", "r", outputs=["p"], kernel_shape=[2, 2], auto_pad="SAME_UPPER"),
        node("Concat", "p", "p", outputs=["k"], axis=1),
        node("Shape", "k", outputs=["shape"]),
        node("Gather", "shape", "zero", outputs=["first"]),
        node("Concat", "first", "rest", outputs=["to"], axis=0),
        node("ReduceMean", "k", "axes", outputs=["mean"]),
        node("Mul", "k", "mean", outputs=["m"]),
        node("Reshape", "m", "to", outputs=["flat"]),
        node("MatMul", "flat", "v", outputs=["mm"]),
        node("Add", "mm", "vb", outputs=["h"]),
        node("Sin", "h", outputs=["s"]),
        node("Softmax", "s", outputs=["y"]),
    ]
    weights = {
        "w": (16, 4, 3, 3),
        "b": (16,),
        "low": np.float32(0),
        "high": np.float32(6),
        "zero": np.array([0], I64),
        "rest": np.array([-1], I64),
        "axes": np.array([2, 3], I64),
        "v": (640, 10),
        "vb": (10,),
    }
    return model_of(nodes, weights).SerializeToString()


EVERYTHING = everything()
# Where the graph's own bytes are, outside the elements of the large tensors.
EDGE = [*range(1400), *range(len(EVERYTHING) - 500, len(EVERYTHING))]


def load_bytes(folder, content):
    path = Path(folder) / "damaged.onnx"
    path.write_bytes(content)
    return af.lower(load_onnx(path))


def test_the_model_that_is_damaged_below(tmp_path):
    work = load_bytes(tmp_path, EVERYTHING)
    assert work.macs.sum() == 2 * (20 * 16 * 36 + 640 * 10)
    assert work.params.sum() == 16 * 37 + 32 + 6410


@given(st.integers(0, len(EVERYTHING) - 1))
@settings(max_examples=200, deadline=None)
def test_truncated_files(tmp_path_factory, size):
    with pytest.raises(errors.ModelError, match=r"damaged\.onnx"):
        load_bytes(tmp_path_factory.getbasetemp(), EVERYTHING[:size])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(EDGE), st.sampled_from(["set", "drop", "add"]), st.binary(max_size=3)
        ),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=400, deadline=5000, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_files_give_a_result_or_an_error_of_ours(tmp_path_factory, changes):
    content = bytearray(EVERYTHING)
    for at, how, new in changes:
        content[at : at + {"set": len(new), "drop": 1, "add": 0}[how]] = (
            b"" if how == "drop" else new
        )
    with contextlib.suppress(errors.Error):
        load_bytes(tmp_path_factory.getbasetemp(), bytes(content))
