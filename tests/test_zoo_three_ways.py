"""The zoo's networks: the builder, a torch trace and an ONNX export of one module count the same.

`test_from_torch.py` and `test_onnx_exports.py` do so for those of `networks.py`, and
`test_zoo_libraries.py` for all that torchvision and transformers have.
"""

import warnings

import numpy as np
import pytest
from work_rows import products, rows_of

import alphaflops as af

torch = pytest.importorskip("torch", reason="the modules are torch's")
from torch_models import GPT, ViT, on_meta  # noqa: E402
from zoo_modules import Darknet53, LanguageModel, UNet, perceptron  # noqa: E402
from zoo_transformers import T5, Bert  # noqa: E402

MODULES = {
    "bert_base": Bert,
    "darknet53": Darknet53,
    "gpt2": GPT,
    "lstm": LanguageModel,
    "mlp": perceptron,
    "t5_small": T5,
    "unet": UNet,
    "vit_b_16": lambda: ViT("module"),
}
EXPORTED = sorted(set(MODULES) - {"vit_b_16"})  # which test_onnx_sequences.py has, smaller
TOKENS = {"bert_base", "gpt2", "lstm", "t5_small"}
VOCABULARY, FEATURES = 50257, 768  # of gpt2
# Parameters more than the zoo's; norms behind convolutions are subtracted apart.
MORE = {"gpt2": VOCABULARY * FEATURES}  # exporters store the tied head transposed


def inputs_of(name, batch, device):
    graph = af.zoo.build(name, batch)
    shapes = [graph.shape(i) for i in range(len(graph)) if graph.node_op(i) == "input"]
    dtype = torch.long if name in TOKENS else torch.float
    return tuple(torch.zeros(shape, dtype=dtype, device=device) for shape in shapes)


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("mode", ["fused", "eager"])
def test_trace_is_the_builder_row_by_row(name, mode):
    module = on_meta(MODULES[name])
    traced = af.from_torch(module, inputs_of(name, 2, "meta"), strict=True)
    built = af.zoo.build(name, 2)
    assert rows_of(traced, mode) == rows_of(built, mode)
    params = sum(p.numel() for p in module.parameters())
    assert af.lower(traced, mode).params.sum() == af.lower(built, mode).params.sum() == params


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"gpt2", "vit_b_16"}))  # of torch_models
def test_layers_of_the_trace_have_the_builders_names(name):
    traced = af.from_torch(on_meta(MODULES[name]), inputs_of(name, 1, "meta"))
    found, expected = (
        {
            graph.node_name(i): graph.shape(i)
            for i in range(len(graph))
            if graph.node_op(i) in {"conv2d", "conv_transpose2d", "linear", "lstm", "batch_norm"}
        }
        for graph in (traced, af.zoo.build(name))
    )
    if name == "t5_small":  # its head is a function of the table, not a module
        found["lm_head"] = found.pop("linear")
    assert found == expected
    assert len(found) >= 2


def unstored(module):
    """The module on the processor; what is large is zero, and takes no memory until written.

    Small tensors have values of their own, as exporters store equal ones once.
    """
    module = module.to_empty(device="cpu")
    with torch.no_grad():
        for i, tensor in enumerate([*module.parameters(), *module.buffers()], 1):
            if tensor.numel() < 1 << 16:
                tensor.fill_(i / 64)
            else:  # the values that memory happens to hold may overflow where exporters fold norms
                tensor.data = torch.from_numpy(np.zeros(tensor.shape, np.float32)).to(tensor.dtype)
    return module


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A function from a name to a file at full size, whose large weights are nowhere."""
    pytest.importorskip("onnx", reason="the extra alphaflops[onnx] is not installed")
    pytest.importorskip("onnxscript", reason="torch's exporter needs it")
    import onnx_ir as ir  # noqa: PLC0415  (comes with onnxscript)

    def make(name):
        module, args = unstored(on_meta(MODULES[name])), inputs_of(name, 1, "cpu")
        with warnings.catch_warnings():
            for category in (DeprecationWarning, FutureWarning, UserWarning):
                warnings.simplefilter("ignore", category)
            program = torch.onnx.export(module, args, dynamo=True, verbose=False)
        for key, value in program.model.graph.initializers.items():
            stored = value.const_value
            if stored.size >= 1 << 16:
                value.const_value = ir.ExternalTensor(
                    "missing.bin", 0, stored.nbytes, stored.dtype, shape=stored.shape, name=key
                )
        path = tmp_path_factory.mktemp("zoo") / f"{name}.onnx"
        ir.save(program.model, str(path))
        return path

    return make


def folded_norms(graph):
    """Channels of the norms that an exporter folds: a bias instead of scale and shift."""
    norms = [i for i in range(len(graph)) if graph.node_op(i) == "batch_norm"]
    return sum(graph.shape(i)[1] for i in norms)


@pytest.mark.parametrize("name", EXPORTED)
def test_export_is_the_builder_mac_for_mac(exported, name):
    graph, built = af.load(exported(name), strict=True), af.zoo.build(name)
    assert products(graph) == products(built)
    expected = af.lower(built).params.sum() - folded_norms(built) + MORE.get(name, 0)
    assert af.lower(graph).params.sum() == expected
