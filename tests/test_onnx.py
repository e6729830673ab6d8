"""The ONNX front end: single operators, and shapes that are not fixed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import alphaflops as af
from alphaflops import errors

onnx = pytest.importorskip("onnx", reason="the extra alphaflops[onnx] is not installed")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx_models import I64, model_of, node, ops_of, saved  # noqa: E402

from alphaflops.frontends.onnx import load_onnx  # noqa: E402
from alphaflops.frontends.onnx_file import read_model  # noqa: E402

IMAGE = (2, 4, 9, 8)


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
        ([node("Gelu", approximate="tanh")], {}, [("gelu_tanh", IMAGE)]),
        ([node("LeakyRelu")], {}, [("leaky_relu", IMAGE)]),
        (
            [node("Clip", "x", "low", "high")],
            {"low": np.float32(0), "high": np.float32(6)},
            [("relu6", IMAGE)],
        ),
        ([node("Clip", "x", "low")], {"low": np.float32(0)}, [("relu", IMAGE)]),
        ([node("Clip", "x", "low")], {"low": np.float32(-1)}, [("clip", IMAGE)]),
        ([node("Clip")], {}, [("clip", IMAGE)]),
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
            [("avg_pool", (2, 4, 7, 6))],
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
            [("mean", (2, 1, 9, 8))],
        ),
        (
            [node("BatchNormalization", "x", "s", "b", "m", "v")],
            dict.fromkeys("sbmv", (4,)),
            [("batch_norm", IMAGE)],
        ),
        ([node("Add", "x", "x")], {}, [("add", IMAGE)]),
        ([node("Sum", "x", "x")], {}, [("add", IMAGE)]),
        ([node("Add", "x", "c")], {"c": (1,)}, [("add", IMAGE)]),
        ([node("Mul", "x", "x")], {}, [("mul", IMAGE)]),
        (
            [node("GlobalAveragePool", outputs=["g"]), node("Mul", "g", "x")],
            {},
            [("global_avg_pool", (2, 4, 1, 1)), ("mul", IMAGE)],
        ),
        ([node("Concat", "x", "x", axis=1)], {}, [("concat", (2, 8, 9, 8))]),
        ([node("Concat", "x", "x", axis=-3)], {}, [("concat", (2, 8, 9, 8))]),
        ([node("Concat", "x", "x", axis=2)], {}, [("concat", (2, 4, 18, 8))]),
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
        ([node("Transpose", perm=[0, 2, 3, 1])], {}, [("transpose", (2, 9, 8, 4))]),
        (
            [
                node("Split", "x", outputs=["y", "z"], axis=1, num_outputs=2),
                node("Add", "y", "z", outputs=["w"]),
            ],
            {},
            [("slice", (2, 2, 9, 8)), ("slice", (2, 2, 9, 8)), ("add", (2, 2, 9, 8))],
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
        # The product is read twice, so the addition is a launch of its own.
        (
            [
                node("MatMul", "x", "w", outputs=["m"]),
                node("Add", "m", "b", outputs=["a"]),
                node("Add", "a", "m", name="sum"),
            ],
            {"w": (5, 7), "b": (7,)},
            (105, 42, 3),
        ),
        ([node("Gemm", "x", "w", transA=1)], {"w": (3, 7)}, (105, 21, 1)),
        ([node("MatMul", "w", "x")], {"w": (5, 3)}, (75, 15, 1)),
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
    constant = numpy_helper.from_array(np.ones((200, 200), np.float32))
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=constant))
    read = read_model(saved(tmp_path, model))
    tensors = {tensor.name: tensor for tensor in read.graph.initializer}
    assert numpy_helper.to_array(tensors["small"]).tolist() == [0, 1, 2, 3]
    for name, dims in (("raw", [1000]), ("int64", [500]), ("floats", [30, 20])):
        assert list(tensors[name].dims) == dims
        assert tensors[name].ByteSize() < 40
    stripped = read.graph.node[1].attribute[0].t
    assert list(stripped.dims) == [200, 200]
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
    with pytest.raises(errors.ModelError, match="shape of tensor 'y', which odd"):
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
        (node("Conv", "x", "w"), (6, 4, 3), "as many axes are needed"),
        (node("Relu", "nowhere"), (1,), "reads 'nowhere', which nothing before it makes"),
        (node("MatMul", "x", "w"), (5, 2), "takes 5 features"),
    ],
)
def test_malformed_layers_are_named(tmp_path, layer, weight, message):
    path = saved(tmp_path, model_of([layer], {"w": weight}))
    with pytest.raises((errors.ModelError, errors.ShapeError), match=message):
        load_onnx(path)
