"""Graphs as JSON files: an exact way there and back, and files that are foreign or damaged."""

import contextlib
import json
import re
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import alphaflops as af
from alphaflops import errors
from alphaflops._core import ELEMENT_OPS
from alphaflops.graph_file import graph_from_json, graph_to_json

ACTIVATIONS = ("relu", "relu6", "sigmoid", "silu", "hardsigmoid", "hardswish", "gelu", "tanh")
REDUCTIONS = ("sum", "mean", "max", "argmax", "logsumexp", "var")


def contents(graph):
    """Everything that a graph says of itself, and what it counts."""
    nodes = [
        (
            graph.node_method(i),
            graph.node_op(i),
            graph.node_name(i),
            graph.node_inputs(i),
            graph.node_attributes(i),
            graph.shape(i),
            graph.tied_to(i),
            graph.node_dtype(i),
        )
        for i in range(len(graph))
    ]
    work = af.lower(graph, "eager")
    columns = [getattr(work, c).tolist() for c in ("macs", "flops", "params", "kind")]
    return graph.name, graph.dtype, graph.batch, nodes, columns


def everything(draw):
    """A graph with every method of Graph, sizes drawn."""
    size = st.integers(1, 3)
    n, c = draw(size), 2 * draw(size)
    pads = st.integers(0, 2)
    graph = af.Graph(draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=4)), "fp16")
    x = graph.input([n, c, 9, 8], "image")
    pair = [draw(size), draw(size)]
    conv = graph.conv2d(x, 2 * c, pair, draw(size), [draw(pads) for _ in range(4)], 1, 2, True)
    graph.tie(graph.conv2d(x, 2 * c, pair, name="again"), conv)
    graph.conv(x, c, 3, 2, [1, 0, 2, 1], 1, 1, draw(st.booleans()), True, 1)
    line = graph.view(x, [n, c, 72])
    graph.conv(line, c, draw(size), draw(size), [draw(pads), draw(pads)], groups=c)
    graph.conv(graph.view(x, [n, c, 2, 9, 4]), 3, [1, 2, 3], 1, 1, [2, 1, 1])
    graph.set_dtype(draw(st.sampled_from(af._core.DTYPES)))
    graph.activation(x, draw(st.sampled_from(ACTIVATIONS)))
    graph.max_pool(x, pair, draw(size), [draw(pads), 0, 0, draw(pads)], draw(size), True)
    graph.avg_pool(x, pair, None, 1, draw(st.booleans()), draw(st.booleans()), draw(size))
    graph.pool(line, draw(st.sampled_from(["max", "avg"])), 2, 1, [1, 0], 2, draw(st.booleans()))
    graph.adaptive_pool(x, draw(st.sampled_from(["max", "avg"])), [draw(size), 4])
    graph.global_avg_pool(x)
    graph.batch_norm(x)
    for kind in ("layer", "rms", "instance", "group"):
        graph.norm(x, kind, draw(size), draw(st.booleans()), draw(st.booleans()))
    rows = graph.linear(graph.flatten(x), draw(size), draw(st.booleans()))
    table = graph.embedding(graph.input([n, 5], "ids"), 7, draw(size))
    graph.tie(graph.linear(table, 7), table)
    for cell in ("rnn", "gru", "lstm"):
        graph.recurrent(table, cell, 3, draw(size), draw(st.booleans()), draw(st.booleans()))
    graph.recurrent(table, "lstm", 3, projection=2)
    q = graph.view(x, [n, c, 12, 6])
    mask = graph.constant([12, 12], name="mask")
    graph.attention(q, q, q, draw(st.sampled_from([None, mask])), draw(st.booleans()))
    graph.matmul(q, graph.part(q, [n, c, 6, 12]))
    bias = graph.constant([c, 1, 1], True)
    for kind in draw(st.lists(st.sampled_from(ELEMENT_OPS), min_size=1, max_size=8)):
        graph.element([x, bias], kind)
        graph.element([x], kind, [n, draw(size)])
    graph.element([], "fill", [3])
    scalar = graph.reduce(x, draw(st.sampled_from(REDUCTIONS)))
    graph.element([scalar, scalar], "add")
    graph.element([scalar], "sqrt")
    graph.reduce(x, draw(st.sampled_from(REDUCTIONS)), [draw(st.integers(-4, 3))], True)
    graph.add(x, x)
    graph.mul(x, x)
    graph.concat([x, x], axis=draw(st.integers(-4, 3)))
    graph.concat([q])
    graph.softmax(rows)
    graph.custom([x, rows], "add", [n, 3], draw(size), draw(size), draw(size), "own")
    graph.unknown([x], "conv2d", [n, 3])
    graph.unknown([], "", [n, 3])
    return graph


slow = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


@given(data=st.data())
@slow
def test_there_and_back(tmp_path_factory, data):
    graph = everything(data.draw)
    path = tmp_path_factory.getbasetemp() / "graph.json"
    af.save_graph(graph, path)
    again = af.load(path)
    assert contents(again) == contents(graph)
    assert graph_to_json(again) == graph_to_json(graph)
    known = {graph.node_method(i) for i in range(len(graph))}
    methods = {name for name in vars(af.Graph) if not name.startswith(("_", "node_", "with_"))}
    helpers = {"name", "dtype", "batch", "shape", "tie", "tied_to", "relu", "flatten", "reduce"}
    helpers |= {"set_dtype", "calls", "set_calls"}
    assert known == methods - helpers


@given(data=st.data())
@slow
def test_rows_name_the_operators_that_lead_them(data):
    graph = everything(data.draw)
    work = af._core.lower(graph, "eager")
    for node, op in zip(work.node.tolist(), work.op.tolist(), strict=True):
        is_a_makers = graph.node_method(node) in ("custom", "unknown")
        expected = "other" if is_a_makers else graph.node_op(node)
        assert af._core.OPERATORS[op] == expected, graph.node_name(node)


@pytest.mark.parametrize("name", ["mobilenet_v2", "densenet121"])
def test_zoo_networks_there_and_back(tmp_path, name):
    graph = af.zoo.build(name, 2)
    af.save_graph(graph, tmp_path / "net.json")
    assert contents(af.load(tmp_path / "net.json")) == contents(graph)
    other = af.load(tmp_path / "net.json", batch=3, dtype="int8")
    assert contents(other) == contents(graph.with_batch(3).with_dtype("int8"))


def test_element_types_of_nodes_are_written_where_they_differ(tmp_path):
    graph = af.Graph("mixed")
    x = graph.input([1, 3, 8, 8])
    graph.set_dtype("int8")
    x = graph.conv2d(x, 4, 3)
    graph.set_dtype("fp32")
    graph.relu(x)
    nodes = graph_to_json(graph)["nodes"]
    assert [node.get("dtype") for node in nodes] == [None, "int8", None]
    af.save_graph(graph, tmp_path / "net.json")
    again = af.load(tmp_path / "net.json")
    assert contents(again) == contents(graph)
    assert af.lower(again, "eager").dtype.tolist() == af.lower(graph, "eager").dtype.tolist()


def test_memory_of_a_graph_file(tmp_path):
    path = tmp_path / "net.json"
    af.save_graph(af.zoo.build("densenet121"), path)
    af.load(path)
    tracemalloc.start()
    af.load(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * path.stat().st_size


def test_the_documented_file():
    text = (Path(__file__).parent.parent / "docs" / "onnx.md").read_text(encoding="utf-8")
    block = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    document = json.loads(block[1])
    graph = graph_from_json(document)
    assert graph_to_json(graph) == document
    assert af.lower(graph).macs.sum() == 16 * 16 * 27


def document(**changes):
    graph = af.Graph("g")
    x = graph.input([1, 4, 8, 8], "x")
    graph.relu(graph.conv2d(x, 6, 3, name="conv"), "relu")
    return {**graph_to_json(graph), **changes}


def changed(i, **changes):
    made = document()
    made["nodes"][i].update(changes)
    return made


def without(i, field):
    made = document()
    del made["nodes"][i][field]
    return made


@pytest.mark.parametrize(
    ("made", "kind", "message"),
    [
        ([1], errors.ModelError, "not a graph"),
        ({"format": "alphaflops-profile"}, errors.ModelError, "not a graph"),
        (document(version=2), errors.ModelError, "version 2; this library reads version 1"),
        (document(version=True), errors.ModelError, "version True"),
        (document(name=3), errors.ModelError, "'name' is 3; a string"),
        (document(name="\ud800"), errors.ModelError, "'name' is"),
        (document(dtype="fp12"), errors.UnsupportedError, "fp12"),
        (document(more=1), errors.ModelError, "'more' is not a field"),
        (document(nodes={}), errors.ModelError, "'nodes' is {}; a list"),
        (document(nodes=[3]), errors.ModelError, "node 0 is 3; an object"),
        (changed(1, op="cube"), errors.ModelError, r"node 1 \('conv'\): operator 'cube' is not"),
        (changed(1, op=["conv"]), errors.ModelError, "operator .* is not known"),
        (changed(1, op="relu"), errors.ModelError, "operator 'relu' is not known"),
        (changed(1, inputs=[1]), errors.ModelError, "input 1 is not an earlier node"),
        (changed(1, inputs=[2]), errors.ModelError, "without cycles"),
        (changed(1, inputs=[-1]), errors.ModelError, "input -1"),
        (changed(1, inputs=[]), errors.ModelError, "conv2d has 0 inputs"),
        (changed(1, inputs=[0, 0]), errors.ModelError, "conv2d has 2 inputs"),
        (changed(1, inputs=[0.0]), errors.ModelError, "a list of integers"),
        (changed(1, c_out=6.0), errors.ModelError, "'c_out' is 6.0; an integer"),
        (changed(1, c_out=True), errors.ModelError, "'c_out' is True; an integer"),
        (changed(1, c_out=2**63), errors.ModelError, "'c_out' is 9223372036854775808"),
        (changed(1, c_out=0), errors.ShapeError, "conv: c_out is 0"),
        (changed(1, bias=1), errors.ModelError, "'bias' is 1; true or false"),
        (changed(1, kernel=[3]), errors.ModelError, "cannot be made with these sizes"),
        (changed(1, kernel=3), errors.ModelError, "'kernel' is 3; a list"),
        (changed(1, shape=[1, 6, 6, 7]), errors.ModelError, "conv2d makes .1, 6, 6, 6."),
        (changed(1, colour="red"), errors.ModelError, "'colour' is not a field"),
        (changed(1, dtype=1), errors.ModelError, "'dtype' is 1; a string"),
        (changed(1, dtype="fp12"), errors.UnsupportedError, "fp12"),
        (changed(1, tied_to=1), errors.ModelError, "tied_to is 1"),
        (changed(1, tied_to="x"), errors.ModelError, "tied_to is 'x'"),
        (changed(2, function="cube"), errors.UnsupportedError, "cube"),
        (without(1, "c_out"), errors.ModelError, "'c_out' is missing; an integer"),
        (without(1, "inputs"), errors.ModelError, "'inputs' is missing"),
        (without(0, "shape"), errors.ModelError, "'shape' is missing"),
        (changed(0, shape=[-1, 4]), errors.ShapeError, "batch is -1"),
        (changed(0, shape=[2**62, 4]), errors.OverflowError, "x: output"),
    ],
)
def test_foreign_graphs(made, kind, message):
    with pytest.raises(kind, match=message):
        graph_from_json(made)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"9" * 5000, b"nul", b'{"a": 1} x']
)
def test_files_that_are_not_json(tmp_path, content):
    path = tmp_path / "g.json"
    path.write_bytes(content)
    with pytest.raises(errors.ModelError, match=r"g\.json: this is not a"):
        af.load(path)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(errors.ModelError, match="no such file"):
        af.load(tmp_path / "g.json")
    (tmp_path / "d.json").mkdir()
    with pytest.raises(errors.ModelError, match="cannot be read"):
        af.load(tmp_path / "d.json")
    with pytest.raises(errors.IoError, match="it is a folder"):
        af.save_graph(af.zoo.build("resnet18"), tmp_path / "d.json")


WHOLE = json.dumps(graph_to_json(af.zoo.build("resnet18")))[:6000] + "]}"
PIECES = ["0", "-1", "1e9", "9223372036854775807", '""', "[]", "{}", "null", "true", '"conv2d"']
PIECES += ['"input"', '"adaptive_pool"', '"extent"', ",", "]", "}", '"nodes"', '"\\ud800"', "\x00"]


@given(
    changes=st.lists(
        st.tuples(st.integers(0, 5999), st.integers(0, 12), st.sampled_from(PIECES)),
        min_size=1,
        max_size=4,
    ),
    end=st.none() | st.integers(0, 6000),
)
@settings(max_examples=300, deadline=5000, derandomize=True)
def test_damaged_files_give_a_result_or_an_error_of_ours(tmp_path_factory, changes, end):
    text = WHOLE
    for at, length, piece in changes:
        text = text[:at] + piece + text[at + length :]
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    path.write_text(text[:end], encoding="utf-8")
    with contextlib.suppress(errors.Error):
        af.lower(af.load(path))


@given(
    i=st.integers(0, 2),
    field=st.sampled_from(["op", "inputs", "shape", "c_out", "kernel", "stride", "groups", "bias"]),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=4),
        max_leaves=5,
    ),
)
@settings(max_examples=300, deadline=5000, derandomize=True)
def test_any_value_of_a_field(i, field, value):
    with contextlib.suppress(errors.Error):
        af.lower(graph_from_json(changed(i, **{field: value})))


def test_counts_that_loops_over_sizes_would_never_end():
    graph = af.Graph("huge")
    x = graph.input([1, 1, 8], "x")
    graph.adaptive_pool(x, "avg", [10**12])
    graph.recurrent(x, "rnn", 1, layers=10**12)
    work = af.lower(graph)
    assert work.flops[0] == 8 + 10**12 - 8  # 8 divides it: each window is one element
    assert work.macs[1] == 9 + (10**12 - 1) * 2
