"""`docs/operators.md` against the core: every operator is there, with the numbers it counts."""

import re
from pathlib import Path

import operators_doc
import pytest

import alphaflops as af
from alphaflops import _core, errors

TEXT = operators_doc.PAGE.read_text()
LAYERS = TEXT.split("## Layers")[1].split("## Activations")[0]


def table(heading):
    lines = TEXT.split(heading)[1].split("\n## ")[0].splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")][2:]
    return {row[0]: row[1:] for row in rows}


def test_tables_are_those_of_the_core():
    assert operators_doc.with_tables(TEXT) == TEXT


def test_every_element_operator_has_a_row():
    assert list(table("## Element operators")) == list(_core.ELEMENT_OPS)


def test_every_activation_has_a_row():
    with pytest.raises(errors.UnsupportedError) as raised:
        af.Graph().activation(af.Graph().input([1]), "cube")
    known = set(re.findall(r"\w+", str(raised.value).split("use one of")[1]))
    assert set(table("## Activations")) == known - {"none"}


@pytest.mark.parametrize(("name", "flops"), [("gelu", "5 n"), ("relu6", "2 n"), ("tanh", "1 n")])
def test_activations_say_what_the_textbook_does(name, flops):
    assert table("## Activations")[name] == [flops]


def test_element_rows_say_what_the_textbook_does():
    rows = table("## Element operators")
    assert rows["add"] == ["elementwise", "1", "0"]
    assert rows["interpolate_bilinear"] == ["elementwise", "9", "0"]
    assert rows["mean"] == ["reduce", "1", "1"]
    assert rows["var"] == ["reduce", "2", "4"]
    assert rows["transpose"] == ["copy", "0", "0"]


def test_every_layer_has_a_row():
    graph = af.Graph()
    line, image, volume = (graph.input([1, 2, *[4] * axes]) for axes in (1, 2, 3))
    for x in (line, image, volume):
        for transposed in (False, True):
            graph.conv(x, 2, transposed=transposed)
    graph.linear(line, 4)
    graph.matmul(image, image)
    graph.attention(image, image, image)
    for cell in ("rnn", "lstm", "gru"):
        graph.recurrent(line, cell, 4)
    for kind in ("layer", "rms", "instance", "group"):
        graph.norm(line, kind)
    graph.batch_norm(image)
    graph.embedding(line, 2, 2)
    for kind in ("max", "avg"):
        graph.pool(line, kind, 2)
        graph.adaptive_pool(line, kind, [2])
    graph.global_avg_pool(image)
    graph.softmax(line)
    graph.concat([line, line])
    named = set(re.findall(r"\w+", LAYERS))
    ops = {graph.node_op(i) for i in range(len(graph))} - {"input"}
    assert len(ops) == 25
    assert ops <= named


def test_the_example_in_cpp_is_the_one_that_is_compiled_and_run():
    """By `tests/cpp/test_builder.cpp`, which checks what it counts."""
    source = Path(__file__).with_name("cpp") / "test_builder.cpp"
    compiled = source.read_text().split("// example: begins\n")[1].split("// example: ends")[0]
    (shown,) = re.findall(r"```cpp\n(.*?)```", TEXT, re.DOTALL)
    assert shown.strip() == compiled.strip()
