"""How sizes of an ONNX model's inputs are bound, and what shapes are computed from them."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import alphaflops as af
from alphaflops import errors
from alphaflops.cli import app

pytest.importorskip("onnx", reason="the extra alphaflops[onnx] is not installed")

from onnx import TensorProto, helper, numpy_helper
from onnx_checks import X
from onnx_models import I64, model_of, node, ops_of, saved

from alphaflops.frontends.onnx import load_onnx


def last_shape(graph):
    return graph.shape(len(graph) - 1)


def two_inputs(folder):
    shapes = ("n", "length", 8), ("n", 8, "length")
    return saved(folder, model_of([node("MatMul", "x", "z")], None, shapes[0], z=shapes[1]))


def test_a_symbol_that_one_input_binds_is_bound_in_all(tmp_path):
    graph = load_onnx(two_inputs(tmp_path), inputs={"x": [2, 5, 8]})
    assert last_shape(graph) == (2, 5, 5)
    graph = load_onnx(two_inputs(tmp_path), batch=3, inputs={"z": [3, 8, 6]})
    assert last_shape(graph) == (3, 6, 6)


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({}, errors.ModelError, "input 'x' has the symbolic batch dimension 'n'"),
        ({"y": [1]}, errors.ModelError, "it has no input 'y'; it has x, z"),
        ({"x": [1, 2]}, errors.ModelError, r"input 'x' has 3 axes; .*\[1, 2\], has 2"),
        ({"x": [1, 2, 0]}, errors.ShapeError, "input 'x': dimension 2 is 0"),
        ({"x": [1, 2, 1.5]}, errors.ShapeError, "dimension 2 is 1.5"),
        ({"x": [1, -2, 8]}, errors.ShapeError, "dimension 1 is -2"),
        (
            {"x": [1, 2, 8], "z": [1, 8, 3]},
            errors.ModelError,
            "'length' is 2 in one input and 3 in 'z'",
        ),
        ({"x": [1, 2, 7]}, errors.ShapeError, r"operands have shapes \[1, 2, 7\] and \[1, 8, 2\]"),
    ],
)
def test_shapes_that_cannot_be(tmp_path, given, kind, message):
    with pytest.raises(kind, match=message):
        load_onnx(two_inputs(tmp_path), inputs=given)


def test_a_fixed_size_may_be_another(tmp_path):
    path = saved(tmp_path, model_of([node("Relu")], None, (1, 3, 8, 8)))
    assert last_shape(load_onnx(path, inputs={"x": (2, 3, 16, 9)})) == (2, 3, 16, 9)


def test_an_input_without_a_shape(tmp_path):
    model = model_of([node("Relu")], None, (1, 3))
    model.graph.input[0].type.tensor_type.ClearField("shape")
    path = saved(tmp_path, model)
    with pytest.raises(errors.ModelError, match="the shape of input 'x' is not in the file"):
        load_onnx(path)
    assert last_shape(load_onnx(path, inputs={"x": [4, 5]})) == (4, 5)


def test_negative_and_unnamed_sizes_are_not_sizes(tmp_path):
    model = model_of([node("Relu")], None, (1, -3, None))
    with pytest.raises(errors.ModelError, match=r"symbolic dimensions -3, \? besides the batch"):
        load_onnx(saved(tmp_path, model))


def test_an_input_that_is_no_tensor(tmp_path):
    model = model_of([node("Relu")])
    tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, [1])
    model.graph.input[0].type.CopyFrom(helper.make_sequence_type_proto(tensor))
    with pytest.raises(errors.ModelError, match="input 'x' is a sequence, not a tensor"):
        load_onnx(saved(tmp_path, model))


def test_a_number_as_input(tmp_path):
    model = model_of([node("Mul", "x", "scale")], None, (2, 3), scale=())
    assert last_shape(load_onnx(saved(tmp_path, model))) == (2, 3)


def test_nodes_in_a_cycle(tmp_path):
    nodes = [node("Add", "x", "b", outputs=["a"], name="one"), node("Relu", "a", outputs=["b"])]
    with pytest.raises(errors.ModelError, match=r"one \(Add\): it reads 'b'.*without cycles"):
        load_onnx(saved(tmp_path, model_of(nodes)))


def test_shape_arithmetic(tmp_path):
    """What exporters write for x.view(n, h * w // 2, -1) and for a window of half the image."""
    constants = {"two": I64(2), "zero": ints(0), "minus": ints(-1), "axis2": ints(2)}
    nodes = [
        node("Shape", "x", outputs=["s"]),
        *[node("Gather", "s", f"i{i}", outputs=[f"d{i}"], name=f"g{i}") for i in (0, 2, 3)],
        node("Mul", "d2", "d3", outputs=["hw"], name="mul"),
        node("Div", "hw", "two", outputs=["half"], name="div"),
        node("Cast", "half", outputs=["cast"], to=TensorProto.FLOAT, name="cast"),
        node("Floor", "cast", outputs=["floor"], name="floor"),
        node("Cast", "floor", outputs=["rows"], to=TensorProto.INT64, name="back"),
        *[
            node("Unsqueeze", d, "zero", outputs=[f"{d}u"], name=f"u{d}")
            for d in ("d0", "rows", "half")
        ],
        node("Concat", "d0u", "rowsu", "minus", outputs=["to"], axis=0, name="cat"),
        node("Reshape", "x", "to", outputs=["v"], name="view"),
        node("Div", "d2", "two", outputs=["h"], name="h"),
        node("Unsqueeze", "h", "zero", outputs=["hu"], name="hu"),
        node("Slice", "x", "zero", "hu", "axis2", outputs=["window"], name="slice"),
        node("Equal", "d2", "two", outputs=["is"], name="is"),
        node("Where", "is", "d2", "two", outputs=["w"], name="where"),
        node("Unsqueeze", "w", "zero", outputs=["wu"], name="wu"),
        node("Expand", "v", "grow", outputs=["e"], name="expand"),
    ]
    weights = {**constants, **{f"i{i}": I64(i) for i in range(4)}, "grow": ints(1, 1, 1)}
    nodes += [node("ConstantOfShape", "wu", outputs=["c"], name="fill")]
    outputs = ["v", "window", "e", "c"]
    graph = load_onnx(saved(tmp_path, model_of(nodes, weights, (2, 3, 9, 8), 17, outputs)))
    shapes = {graph.node_name(i): graph.shape(i) for i in range(len(graph))}
    assert shapes == {"x": (2, 3, 9, 8), "view": (2, 36, 6), "slice": (2, 3, 4, 8)}


def ints(*values):
    return np.array(values, I64)


def branch(name, op):
    out = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)]
    return helper.make_graph([helper.make_node(op, ["x"], [name], name=name)], name, [], out)


@pytest.mark.parametrize(("condition", "op"), [(True, "relu"), (False, "sigmoid")])
def test_a_branch_whose_condition_is_known_is_followed(tmp_path, condition, op):
    layer = node("If", "c", then_branch=branch("a", "Relu"), else_branch=branch("b", "Sigmoid"))
    nodes = [layer, node("Tanh", "y", outputs=["z"], name="tanh")]
    graph = load_onnx(saved(tmp_path, model_of(nodes, {"c": np.bool_(condition)})), strict=True)
    assert [name for name, _ in ops_of(graph)] == [op, "tanh"]


def test_a_branch_with_results_of_its_own(tmp_path):
    nodes = [
        helper.make_node("Split", ["x"], ["a", "b"], name="split", axis=1, num_outputs=2),
        helper.make_node("MatMul", ["b", "w"], ["m"], name="product"),
        helper.make_node("Add", ["m", "bias"], ["r"], name="add"),
    ]
    out = [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)]
    stored = [numpy_helper.from_array(np.ones((8, 5), np.float32), "w")]
    stored.append(numpy_helper.from_array(np.ones(5, np.float32), "bias"))
    then = helper.make_graph(nodes, "then", [], out, stored)
    layer = node("If", "c", then_branch=then, else_branch=branch("e", "Relu"))
    graph = load_onnx(saved(tmp_path, model_of([layer], {"c": np.bool_(True)})), strict=True)
    work = af.lower(graph)
    assert (work.macs.sum(), work.params.sum()) == (2 * 2 * 9 * 40, 45)
    assert [op for op, _ in ops_of(graph)] == ["slice", "slice", "linear"]


def test_control_flow_that_depends_on_the_input_is_listed(tmp_path):
    layer = node("If", "c", then_branch=branch("a", "Relu"), else_branch=branch("b", "Sigmoid"))
    nodes = [
        node("ReduceMax", outputs=["m"], keepdims=0, name="max"),
        node("Cast", "m", outputs=["c"], to=TensorProto.BOOL, name="cast"),
        layer,
    ]
    model = model_of(nodes)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", 1, (2, 4, 9, 8)))
    path = saved(tmp_path, model)
    graph = load_onnx(path)
    assert ops_of(graph)[-1] == ("If", (2, 4, 9, 8))
    with pytest.raises(errors.UnsupportedError, match=r"1 of 3 tensors .*: If \(1\)"):
        af.load(path, strict=True)


def test_symbols_in_the_shape_that_the_file_states_for_a_custom_operator(tmp_path):
    model = model_of([node("Mystery", name="odd", domain="com.example")], None, ("n", 3))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", 1, ("n", 7)))
    path = saved(tmp_path, model)
    assert ops_of(load_onnx(path, batch=4)) == [("Mystery", (4, 7))]
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "m"
    with pytest.raises(
        errors.ModelError, match=r"'y', which odd \(Mystery\) makes, has .*\[n, m\]"
    ):
        load_onnx(saved(tmp_path, model), batch=4)


def test_the_command_line_binds_inputs(tmp_path):
    path = str(two_inputs(tmp_path))
    command = ["estimate", path, "--input", "x=2x5x8", "-f", "json"]
    made = CliRunner().invoke(app, command)
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["macs"] == 2 * 5 * 8 * 5
    for wrong in ("x", "x=", "=2x3", "x=2x", "x=-1x3", "x=axb"):
        failed = CliRunner().invoke(app, ["estimate", path, "--input", wrong])
        assert isinstance(failed.exception, errors.ModelError | SystemExit)
        assert failed.exit_code != 0


def test_two_shapes_for_one_input():
    from alphaflops.cli.options import shapes_of  # noqa: PLC0415

    assert shapes_of(["a=b=1x2", "c=3"]) == {"a=b": (1, 2), "c": (3,)}
    with pytest.raises(errors.ModelError, match="a stands twice"):
        shapes_of(["a=1", "a=2"])
    with pytest.raises(errors.ModelError, match="'a=1x' is not NAME=SIZES"):
        shapes_of(["a=1x"])


def test_shapes_are_for_onnx_files():
    with pytest.raises(errors.ModelError, match=r"only be given for \.onnx files"):
        af.load("resnet18", inputs={"x": [1, 3, 224, 224]})


def test_literals_of_constant_nodes(tmp_path):
    nodes = [
        helper.make_node("Constant", [], ["to"], value_ints=[2, -1]),
        helper.make_node("Constant", [], ["half"], value_float=0.5),
        helper.make_node("Constant", [], ["t"], value=numpy_helper.from_array(np.ones(6, "f"))),
        node("Reshape", "x", "to", outputs=["v"], name="view"),
        node("Mul", "v", "half", outputs=["m"], name="mul"),
        node("Add", "m", "t", name="add"),
    ]
    graph = load_onnx(saved(tmp_path, model_of(nodes, None, (4, 3))))
    assert ops_of(graph) == [
        ("flatten", (2, 6)),
        ("mul", (2, 6)),
        ("constant", (6,)),
        ("add", (2, 6)),
    ]
    assert af.lower(graph).params.sum() == 0


def test_another_size_than_the_one_that_stands_in_a_constant(tmp_path):
    layer = node("Add", "x", "table")
    path = saved(tmp_path, model_of([layer], {"table": (9, 8)}, X))
    assert last_shape(load_onnx(path, inputs={"x": [7, 4, 9, 8]})) == (7, 4, 9, 8)
    message = "do not broadcast.*the file states other sizes of x.*export it with dynamic axes"
    with pytest.raises(errors.Error, match=message):
        load_onnx(path, inputs={"x": [2, 4, 5, 8]})
    path = saved(tmp_path, model_of([layer], {"table": (9, 8)}, (2, "n", 5, 8)))
    with pytest.raises(errors.Error, match="do not broadcast") as raised:
        load_onnx(path, inputs={"x": [2, 4, 5, 8]})
    assert "other sizes" not in str(raised.value)
