"""Copies into another order of axes: how they read, from every frontend and in PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import alphaflops as af
from alphaflops import _core
from alphaflops.errors import ShapeError, TableError, UnsupportedError
from alphaflops.measuring.batches import with_large
from alphaflops.measuring.families_tokens import rearranged
from alphaflops.measuring.sampling import sample_shapes
from alphaflops.measuring.shapes import graphs_of, to_table
from alphaflops.measuring.torch_operators import operator_of
from alphaflops.scenarios.calibrate import POINTS
from alphaflops.table import check_table, work_table

torch = pytest.importorskip("torch")


def reads(work, row=0):
    return work.width[row], work.stride[row], work.kernel_volume[row]


def how_it_reads(x):
    """Return the run, the stride and its power of two from where elements lie: the definition."""
    where = torch.arange(x.untyped_storage().nbytes() // 4).as_strided(x.shape, x.stride())
    flat = where.contiguous().reshape(-1).numpy()
    steps = np.diff(flat)
    stride = int(steps[0])
    run = int(np.argmax(steps != stride)) + 1 if (steps != stride).any() else len(flat)
    return run, stride, stride & -stride


@pytest.mark.parametrize("seed", range(30))
def test_runs_and_strides_are_where_elements_lie(seed):
    random = np.random.default_rng(seed)
    axes = int(random.integers(2, 5))
    shape = random.integers(2, 9, axes).tolist()
    order = random.permutation(axes).tolist()
    x = torch.empty([shape[axis] for axis in order]).permute(np.argsort(order).tolist())
    assert list(x.shape) == shape
    graph = af.Graph("copy")
    source = graph.input([shape[axis] for axis in order])
    node = graph.element([source], "contiguous", shape, order=order)
    work = af.lower(graph)
    assert reads(work) == how_it_reads(x)
    assert work.spatial[0] * work.batch[0] == work.elements_written[0]
    # As the torch backend runs it.
    numbers = torch.randn(graph.shape(source))
    run = operator_of(graph, node, is_only_reader=True)
    back = np.argsort(order).tolist()
    assert torch.equal(run(numbers), numbers.permute(back).contiguous())


def traced(function, *shape):
    class Module(torch.nn.Module):
        def forward(self, x):
            return function(x)

    graph = af.from_torch(Module(), torch.empty(*shape))
    return graph, af.lower(graph, "eager")


@pytest.mark.parametrize(
    ("function", "read"),
    [
        (lambda x: x.flatten(2).transpose(1, 2).contiguous(), (8, 30, 2)),
        (lambda x: x.flatten(2).transpose(1, 2).reshape(1, -1), (8, 30, 2)),
        (lambda x: x.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format), (8, 30, 2)),
        (lambda x: x.permute(0, 2, 1, 3).reshape(1, 5, -1), (6, 1, 1)),  # heads
        (lambda x: x.transpose(2, 3).contiguous(), (5, 6, 2)),
    ],
)
def test_modules_say_how_copies_read(function, read):
    graph, work = traced(function, 1, 8, 5, 6)
    (row,) = np.flatnonzero(work.op == _core.OPERATORS.index("contiguous"))
    assert reads(work, row) == read
    assert work.elements_written[row] == 240
    twice = af.lower(graph.with_batch(2), "eager")
    assert reads(twice, row) == read
    assert twice.elements_written[row] == 480


def test_what_a_convolution_copies_into_channels_last():
    """Its weights lie so: the image is turned, as `contiguous` of the other format would."""
    conv = torch.nn.Conv2d(8, 8, 3).to(memory_format=torch.channels_last)
    graph, work = traced(conv, 1, 8, 5, 6)
    (row,) = np.flatnonzero(work.op == _core.OPERATORS.index("contiguous"))
    assert reads(work, row) == (8, 30, 2)
    assert graph.shape(len(graph) - 1) == (1, 8, 3, 4)


def test_traced_copies_are_run_as_they_read():
    """A view stands before them; the tensor that a network of operators holds is dense."""
    graph, work = traced(lambda x: x.flatten(2).transpose(1, 2).contiguous(), 1, 8, 5, 6)
    node = int(work.node[work.op == _core.OPERATORS.index("contiguous")][0])
    run = operator_of(graph, node, is_only_reader=True)
    numbers = torch.randn(1, 8, 30)
    assert torch.equal(run(numbers.reshape(1, 30, 8)), numbers.transpose(1, 2))


def test_what_is_repeated_or_keeps_its_order_is_a_plain_copy():
    for function in (
        lambda x: x[:, :, None].expand(1, 8, 3, 5, 6).reshape(1, 24, 5, 6),
        lambda x: x.permute(0, 2, 3, 1).clone(),
        lambda x: x[:, ::2].reshape(-1),
    ):
        graph, _ = traced(function, 1, 8, 5, 6)
        assert "contiguous" not in {graph.node_op(i) for i in range(len(graph))}


def test_onnx_says_how_a_transpose_reads(tmp_path):
    onnx = pytest.importorskip("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    ends = [helper.make_tensor_value_info("x", floats, [1, 8, 5, 6]),
            helper.make_tensor_value_info("y", floats, [1, 5, 6, 8])]  # fmt: skip
    node = helper.make_node("Transpose", ["x"], ["y"], perm=[0, 2, 3, 1])
    model = helper.make_model(helper.make_graph([node], "turn", ends[:1], ends[1:]))
    onnx.save(model, str(tmp_path / "turn.onnx"))
    assert reads(af.lower(af.load(tmp_path / "turn.onnx"))) == (8, 30, 2)


def test_files_keep_the_order(tmp_path):
    graph = af.Graph("copy")
    graph.element([graph.input((2, 3, 4))], "transpose", (4, 2, 3), order=(1, 2, 0))
    af.save_graph(graph, tmp_path / "copy.json")
    again = af.load(tmp_path / "copy.json")
    assert again.node_attributes(1) == graph.node_attributes(1)
    assert again.node_attributes(1)["order"] == (1, 2, 0)
    text = (tmp_path / "copy.json").read_text()
    (tmp_path / "bad.json").write_text(text.replace('"transpose"', '"gather"'))
    with pytest.raises(af.errors.Error, match="'gather' takes no order of axes"):
        af.load(tmp_path / "bad.json")


def test_orders_that_are_none():
    graph = af.Graph("copy")
    x = graph.input((2, 3, 4))
    with pytest.raises(ShapeError, match=r"turn: the order of axes is \[0, 2, 2\]; each of 3"):
        graph.element([x], "contiguous", (2, 4, 3), "turn", (0, 2, 2))
    with pytest.raises(UnsupportedError, match="'add' takes no order"):
        graph.element([x, x], "add", order=(0, 1, 2))


def test_rows_of_a_design():
    random = np.random.default_rng(1)
    shapes = [rearranged(random) for _ in range(200)]
    table = to_table(shapes)
    work = work_table(table)
    assert work.elements_written.tolist() == [shape.elements for shape in shapes]
    joins = table["groups"] > 1
    assert (work.stride[joins] == 1).all()
    assert (work.width[joins] == table["c_in"][joins] // table["groups"][joins]).all()
    turned = (table["w_in"] == 1) & ~joins
    for rows, stride in ((turned, table["h_in"]), (~turned & ~joins, table["h_in"] ** 2)):
        assert rows.sum() >= 40
        assert (work.stride[rows] == stride[rows]).all()
        assert (work.width[rows] == table["c_in"][rows]).all()
    for graph, elements in zip(graphs_of(table), work.elements_written, strict=True):
        assert int(np.prod(graph.shape(len(graph) - 1))) == elements
    of_an_extent = {"h_in": 7, "w_in": 7, "h_out": 7, "w_out": 7}
    row = check_table({"op": "contiguous", "batch": 1, "c_in": 64, "c_out": 64} | of_an_extent,
                      need_time=False)  # fmt: skip
    assert graphs_of(row)[0].shape(1) == (1, 7, 7, 64)
    with pytest.raises(TableError, match="contiguous: groups 3, the heads, must divide"):
        work_table({"op": "contiguous", "batch": 1, "c_in": 8, "h_in": 4, "w_in": 1, "c_out": 8,
                    "groups": 3})  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_batches_are_of_what_runs_alike(seed):
    """One volume, and one image in groups by a pixel, PyTorch convolves in ways of their own."""
    design = sample_shapes(POINTS["eager"], mode="eager", seed=seed)
    more = with_large(design, seed=seed)[len(design) :]
    assert "conv3d" in design["op"]
    assert "conv3d" not in more["op"]
    conv = more[more["op"] == "conv2d"]
    assert ((conv["groups"] > 1) & (conv["k_h"] > 1)).any()
    assert not ((conv["groups"] > 1) & (conv["k_h"] == 1)).any()
