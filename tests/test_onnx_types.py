"""Element types of tensors in ONNX files: as onnx infers them, for every result of a node."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the extra alphaflops[onnx] is not installed")

from onnx import TensorProto, helper  # noqa: E402
from onnx_checks import F32, X, check, ints  # noqa: E402
from onnx_models import I64, model_of, node, ops_of  # noqa: E402

from alphaflops.frontends.onnx_network import Network  # noqa: E402

CHANNELS = dict.fromkeys(("s", "b", "m", "v"), (4,))
FLAG = np.array(True)
HALVES = {"h": np.zeros((2, 8), np.float16), "s": np.zeros(8, np.float16)}


@pytest.mark.parametrize(
    ("layer", "weights", "opset"),
    [
        (node("TopK", "x", "k", outputs="yi", axis=1), {"k": ints(3)}, 20),
        (node("MaxPool", kernel_shape=[2, 2], outputs="yi"), {}, 20),
        (node("Dropout", "x", "", "t", outputs="yi"), {"t": FLAG}, 20),
        (node("Dropout", outputs="yi"), {}, 10),
        (node("Unique", outputs="yijk"), {}, 20),
        (node("BatchNormalization", *"xsbmv", outputs="yij", training_mode=1), CHANNELS, 20),
        (node("LayerNormalization", *"xs", outputs="yij"), {"s": (8,)}, 20),
        (node("DynamicQuantizeLinear", outputs="yij"), {}, 20),
        (node("QuantizeLinear", "x", "s"), {"s": F32(1)}, 20),
        (node("QuantizeLinear", *"xsz"), {"s": F32(1), "z": np.int8(0)}, 20),
        (node("DequantizeLinear", *"zs"), {"s": F32(1), "z": np.zeros(4, np.uint8)}, 20),
        (node("MatMulInteger", *"zz"), {"z": np.zeros((4, 4), np.uint8)}, 20),
        (node("Split", outputs="yij", axis=2, num_outputs=3), {}, 20),
        (node("OneHot", *"zdv"), {"z": ints(1), "d": I64(3), "v": np.array([0, 1], np.int8)}, 20),
        (node("Where", *"txx"), {"t": FLAG}, 20),
        (node("CastLike", "x", "d"), {"d": I64(3)}, 20),
        (node("Cast", to=TensorProto.FLOAT16), {}, 20),
        (node("Bernoulli", dtype=TensorProto.BOOL), {}, 20),
        (node("Bernoulli"), {}, 20),
        (node("ConstantOfShape", "k"), {"k": ints(3)}, 20),
        *((node(op), {}, 20) for op in ("ArgMax", "NonZero", "IsInf", "IsNaN", "Abs", "Softmax")),
        (node("Equal", "x", "x"), {}, 20),
        (node("Greater", "x", "x"), {}, 9),
        (node("Multinomial", "p"), {"p": (2, 4)}, 20),
        (node("HannWindow", "d", output_datatype=TensorProto.FLOAT16), {"d": I64(3)}, 20),
        *((node(op, "d"), {"d": I64(3)}, 20) for op in ("HannWindow", "BlackmanWindow")),
        (node("MelWeightMatrix", *"ddduu"), {"d": I64(8), "u": F32(2)}, 20),
        (node("LayerNormalization", *"hs", outputs="yij"), HALVES, 20),
        (node("LayerNormalization", *"hs", outputs="yij", stash_type=16), HALVES, 20),
        (node("NonMaxSuppression", *"pq"), {"p": (1, 6, 4), "q": (1, 1, 6)}, 20),
    ],
)
def test_every_result_has_the_type_that_onnx_infers(layer, weights, opset):
    model = model_of([layer], weights, X, opset, layer.output)
    network = Network("model.onnx", model, {"x": X}, {})
    network.types.note(layer, network.constants)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True)
    expected = {value.name: value.type.tensor_type.elem_type for value in inferred.graph.output}
    assert expected.keys() == set(layer.output)
    found = {name: network.types.element(name, network.constants) for name in expected}
    assert found == expected


def test_indices_of_several_results_are_integers(tmp_path):
    """`w[router(x).topk(2)[1]]`: the places that TopK finds pick rows."""
    layers = [
        node("TopK", "x", "k", outputs=["v", "i"]),
        node("GatherND", "table", "i", name="picked"),
    ]
    weights = {"k": ints(1), "table": (8, 5)}
    graph = check(tmp_path, model_of(layers, weights, (2, 8)), 0, 40)
    assert ops_of(graph)[-1] == ("gather", (2, 5))


def test_an_operator_of_another_domain_follows_its_first_operand():
    layers = [node("Mine", "x", "d", outputs="yi"), node("Yours", "d", outputs="z")]
    for layer in layers:
        layer.domain = "com.example"
    model = model_of(layers, {"d": I64(3)}, X)
    network = Network("model.onnx", model, {"x": X}, {})
    for layer in layers:
        network.types.note(layer, network.constants)
    found = [network.types.element(name, network.constants) for name in "yiz"]
    assert found == [TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.INT64]
    assert helper.tensor_dtype_to_np_dtype(found[0]) == F32
