"""What a model's path may be, and files that are foreign or damaged."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import alphaflops as af
from alphaflops import errors

pytest.importorskip("onnx", reason="the extra alphaflops[onnx] is not installed")

from onnx import helper
from onnx_models import I64, model_of, node

from alphaflops.frontends.onnx import load_onnx

# --- what MODEL may be -----------------------------------------------------------------------


def test_load_of_a_zoo_name():
    graph = af.load("resnet18", batch=2, dtype="bf16")
    assert (graph.name, graph.batch, graph.dtype) == ("resnet18", 2, "bf16")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet19", r"nor a network of the zoo: did you mean resnet18"),
        ("", "neither an .onnx file"),
        ("no_such_package.models:resnet18", "no such function"),
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
    content = b"\x12\x00" * 20_000
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
    assert work.params.sum() == 16 * 37 + 6410  # the norm has the bias for everything


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
