"""Loads mutants of an ONNX file: onnx_mutants.py FILE COUNT; prints memory, time, outcomes."""

import json
import random
import sys
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto
from onnx_models import I64, model_of, node

import alphaflops as af
from alphaflops import errors
from alphaflops.frontends.onnx import load_onnx


def whole():
    one = np.float32(1)
    nodes = [
        node("Conv", "x", "w", "b", outputs=["c"], pads=[1] * 4, strides=[2, 2], name="conv"),
        node("ConvTranspose", "c", "t", outputs=["u"], strides=[2, 2], group=2, name="up"),
        node("GroupNormalization", "u", "g", "g", outputs=["n"], num_groups=2, name="group"),
        node("AveragePool", "n", outputs=["p"], kernel_shape=[2, 2], ceil_mode=1, name="pool"),
        node("Resize", "p", "", "scales", outputs=["r"], mode="linear", name="resize"),
        node("Pad", "r", "pads", outputs=["q"], name="pad"),
        node("Slice", "q", "from", "until", "axes", outputs=["s"], name="slice"),
        node("Shape", "s", outputs=["shape"], name="shape"),
        node("Gather", "shape", "zero", outputs=["first"], name="gather"),
        node("Concat", "first", "rest", outputs=["to"], axis=0, name="cat"),
        node("Reshape", "s", "to", outputs=["flat"], name="reshape"),
        node("Transpose", "flat", outputs=["tr"], perm=[0, 2, 1], name="transpose"),
        node("LayerNormalization", "tr", "l", outputs=["ln"], name="norm"),
        node("MatMul", "ln", "qkv", outputs=["h"], name="qkv"),
        node("Split", "h", outputs=["k1", "k2", "k3"], axis=2, num_outputs=3, name="split"),
        node("Attention", "k1", "k2", "k3", outputs=["a"], q_num_heads=2, kv_num_heads=2),
        node("Einsum", "a", "k3", outputs=["e"], equation="bid,bjd->bij", name="einsum"),
        node("Softmax", "e", outputs=["sm"], axis=-1, name="softmax"),
        node("Tile", "sm", "times", outputs=["ti"], name="tile"),
        node("Expand", "ti", "wide", outputs=["ex"], name="expand"),
        node("ReduceMean", "ex", "axes", outputs=["me"], name="mean"),
        node("TopK", "me", "one", outputs=["top", "at"], axis=0, name="top"),
        node("LSTM", "tr", "lw", "lr", outputs=["", "last"], hidden_size=2, name="lstm"),
        node("QuantizeLinear", "last", "scale", outputs=["qu"], name="quantize"),
        node("Range", "zero0", "count", "step", outputs=["ran"], name="range"),
        node("ConstantOfShape", "shape", outputs=["con"], name="fill"),
        node("Where", "cond", "top", "top", outputs=["y"], name="where"),
    ]
    weights = {
        "w": (4, 4, 3, 3),
        "b": (4,),
        "t": (4, 4, 2, 2),
        "g": (8,),
        "scales": np.array([1, 1, 2, 2], np.float32),
        "pads": np.array([0, 0, 1, 1] * 2, I64),
        "from": np.array([1], I64),
        "until": np.array([13], I64),
        "axes": np.array([2], I64),
        "zero": np.array([0], I64),
        "rest": np.array([8, -1], I64),
        "l": (8,),
        "qkv": (8, 24),
        "times": np.array([1, 1, 2], I64),
        "wide": np.array([3, 1, 1, 1], I64),
        "one": np.array([1], I64),
        "lw": (1, 8, 8),
        "lr": (1, 8, 2),
        "scale": one,
        "zero0": I64(0),
        "count": I64(40),
        "step": I64(1),
        "cond": np.ones(1, bool),
    }
    return model_of(nodes, weights, (2, 4, 8, 8), 23, ["y", "last", "con"])


OTHERS = ["If", "Loop", "Mystery", "Identity", "NonZero", "Size", "Gemm", "GRU", "OneHot", ""]
TEXTS = [b"", b"cubic", b"\xff", b"b,,->", b"...i,j", b"SAME_UPPER", b"x" * 99]
NUMBERS = [0, 1, -1, 2, 3, 7, 255, 4096, 2**31 - 1, 2**31, 2**40, 2**62, -(2**63), 2**63 - 1]


def mutate_attribute(attribute, pick):
    if attribute.type == AttributeProto.INTS:
        if attribute.ints and pick.random() < 0.7:
            attribute.ints[pick.randrange(len(attribute.ints))] = pick.choice(NUMBERS)
        else:
            attribute.ints.extend([pick.choice(NUMBERS)] * pick.randrange(4))
    elif attribute.type == AttributeProto.INT:
        attribute.i = pick.choice(NUMBERS)
    elif attribute.type == AttributeProto.STRING:
        attribute.s = pick.choice(TEXTS)
    else:
        attribute.type = pick.randrange(1, 15)


def mutate_node(nodes, pick):
    node = pick.choice(nodes)
    what = pick.randrange(4)
    if what == 0 and node.attribute:
        mutate_attribute(pick.choice(node.attribute), pick)
    elif what == 1 and node.attribute:
        pick.choice(node.attribute).type = pick.randrange(15)
    elif what == 2:
        other = pick.choice(nodes).op_type
        node.op_type = other if pick.random() < 0.7 else pick.choice(OTHERS)
    elif node.input:
        names = ["", "x", "w", "to", "nothing", *node.output, *pick.choice(nodes).output]
        node.input[pick.randrange(len(node.input))] = pick.choice(names)


def mutate_tensor(tensor, pick):
    what = pick.randrange(5)
    if what == 0:
        tensor.dims.append(pick.choice(NUMBERS))
    elif what == 1 and tensor.dims:
        tensor.dims[pick.randrange(len(tensor.dims))] = pick.choice(NUMBERS)
    elif what == 2:
        tensor.data_type = pick.randrange(25)
    elif tensor.data_type == TensorProto.INT64:
        values = [pick.choice(NUMBERS) for _ in range(len(tensor.raw_data) // 8)]
        tensor.raw_data = np.array(values, I64).tobytes()
    else:
        tensor.raw_data = tensor.raw_data[: pick.randrange(len(tensor.raw_data) + 1)]


def mutate(model, pick):
    graph = model.graph
    what = pick.randrange(9)
    if what < 4:
        mutate_node(graph.node, pick)
    elif what < 6:
        mutate_tensor(pick.choice(graph.initializer), pick)
    elif what == 6:
        sizes = graph.input[0].type.tensor_type.shape.dim
        sizes[pick.randrange(len(sizes))].dim_value = pick.choice(NUMBERS)
    elif what == 7:
        one, two = onnx.NodeProto(), onnx.NodeProto()
        i, j = pick.randrange(len(graph.node)), pick.randrange(len(graph.node))
        one.CopyFrom(graph.node[i])
        two.CopyFrom(graph.node[j])
        graph.node[i].CopyFrom(two)
        graph.node[j].CopyFrom(one)
    else:
        model.opset_import[0].version = pick.choice([1, 7, 9, 11, 13, 18, 23, 99, -1, 2**31 - 1])


def mebibytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def main():
    path = Path(sys.argv[1])
    content = whole().SerializeToString()
    path.write_bytes(content)
    assert af.lower(load_onnx(path, strict=True)).macs.sum() > 0
    before, slowest, outcomes = mebibytes(), 0.0, {}
    for seed in range(int(sys.argv[2])):
        pick = random.Random(seed)
        model = onnx.ModelProto.FromString(content)
        for _ in range(pick.randrange(1, 4)):
            mutate(model, pick)
        mutant = bytearray(model.SerializeToString())
        if seed % 4 == 0:
            for _ in range(pick.randrange(1, 5)):
                mutant[pick.randrange(len(mutant))] = pick.randrange(256)
        if seed % 16 == 1:
            del mutant[pick.randrange(len(mutant)) :]
        path.write_bytes(mutant)
        start = time.perf_counter()
        try:
            af.lower(load_onnx(path))
            outcome = "result"
        except errors.Error as error:
            outcome = type(error).__name__
        except BaseException:
            print("seed", seed, flush=True)
            raise
        slowest = max(slowest, time.perf_counter() - start)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    print(round(mebibytes() - before), slowest, json.dumps(outcomes))


if __name__ == "__main__":
    main()
