"""Mutated ONNX files give a result or an error of ours: no crash, no hang, no memory."""

import contextlib
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the extra alphaflops[onnx] is not installed")

import alphaflops as af
from alphaflops.frontends.onnx import load_onnx

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@LINUX
def test_mutants(tmp_path):
    script = Path(__file__).parent / "onnx_mutants.py"
    command = [sys.executable, str(script), str(tmp_path / "mutant.onnx"), "600"]
    out = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert out.returncode == 0, out.stdout + out.stderr[-2000:]
    mebibytes, slowest, outcomes = out.stdout.split(maxsplit=2)
    assert int(mebibytes) < 32  # the interpreter's own, for files of a few kilobytes
    assert float(slowest) < 2.0
    # Both happen often, or the mutations would test nothing.
    counts = json.loads(outcomes)
    assert counts["result"] > 60
    assert counts["ModelError"] > 60


ATTRIBUTES = {
    "axis": [0, 1, -1, 9],
    "axes": [[0], [1, -1], [7]],
    "kernel_shape": [[2, 2], [3], [1, 2, 2]],
    "num_heads": [1, 2, 3],
    "q_num_heads": [2],
    "kv_num_heads": [1, 2],
    "hidden_size": [2],
    "num_groups": [2],
    "perm": [[1, 0], [0, 2, 1], [0, 1, 2, 3]],
    "equation": ["ij,jk->ik", "...i,...i->...", "ii->i", "ab", "i,j,k"],
    "to": [1, 7, 10, 99],
    "mode": ["linear", "nearest", "cubic", "what"],
    "group": [1, 2],
    "blocksize": [2],
    "size": [3],
    "shape": [[2, 3], [0]],
}


@pytest.mark.parametrize("domain", ["", "com.microsoft"])
def test_every_operator_with_operands_that_it_may_not_have(tmp_path, domain):
    from onnx_models import I64, model_of, node, saved  # noqa: PLC0415

    from alphaflops.frontends.onnx_ops import operators  # noqa: PLC0415

    pick = random.Random(1)
    made = 0
    for op in operators(domain):
        for _ in range(8):
            shapes = [[pick.choice([1, 2, 4, 6]) for _ in range(pick.randrange(6))] for _ in "abcd"]
            values = [np.array(pick.choices([-1, 0, 1, 2], k=pick.randrange(4)), I64), (2, 4), ()]
            weights = {"w": pick.choice(shapes), "v": pick.choice(values)}
            inputs = [pick.choice(["x", "x", "z", "w", "w", "v", ""]) for _ in range(5)]
            chosen = {k: pick.choice(v) for k, v in ATTRIBUTES.items() if pick.random() < 0.4}
            outputs = ["y", "y2", "y3"][: pick.randrange(1, 4)]
            count = pick.randrange(1, 6)
            layer = node(op, *inputs[:count], outputs=outputs, domain=domain, **chosen)
            model = model_of([layer], weights, shapes[0], outputs=outputs, z=shapes[1])
            with contextlib.suppress(af.Error):
                af.lower(load_onnx(saved(tmp_path, model)))
                made += 1
    assert made > len(operators(domain)) / 2


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def message(number, content, size):
    """The head of a field of which `content` is the beginning."""
    return varint(number << 3 | 2) + varint(size) + content


@LINUX
def test_weights_of_two_gigabytes_are_stepped_over(tmp_path):
    from onnx_models import model_of, node  # noqa: PLC0415

    small = model_of([node("MatMul", "x", "w")], None, (1, 1 << 15)).SerializeToString()
    size = 1 << 31
    # dims, type and name of a tensor, then its elements; a second graph is merged with the first.
    tensor = bytes([8, *varint(1 << 15), 8, *varint(1 << 14), 16, 1]) + message(8, b"w", 1)
    elements = message(9, b"", size)
    length = len(tensor) + len(elements) + size
    inner = message(5, tensor + elements, length)
    head = message(7, inner, len(inner) - len(tensor) - len(elements) + length)
    path = tmp_path / "large.onnx"
    with path.open("wb") as stream:
        stream.write(small + head)
        stream.truncate(len(small) + len(head) + size)  # a hole, which takes no disk
    start = time.perf_counter()
    graph = load_onnx(path)
    assert time.perf_counter() - start < 2.0
    assert af.lower(graph).macs.tolist() == [1 << 29]
    with path.open("r+b") as stream:
        stream.truncate(len(small) + len(head) + size - 1)
    with pytest.raises(af.Error, match="of which 21474836"):
        load_onnx(path)
