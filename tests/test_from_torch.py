"""from_torch on whole networks: the zoo's, transformers, exported programs, other libraries'."""

import warnings

import numpy as np
import pytest

import alphaflops as af
from alphaflops.errors import ModelError

torch = pytest.importorskip("torch", reason="the extra alphaflops[torch] is not installed")
import networks  # noqa: E402
import torch_models  # noqa: E402
from torch import nn  # noqa: E402
from work_rows import launched  # noqa: E402

VIT_MACS = 17_563_828_224  # 17,564 MMACs
VIT_PARAMS = 86_567_656


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def columns(work):
    names = ("kind", "batch", "groups", "c_in", "c_out", "spatial", "kernel_volume", "stride")
    names += ("activations_read", "weights_read", "elements_written", "macs", "flops", "params")
    return np.stack([getattr(work, name).astype(np.int64) for name in names], axis=1)


@pytest.mark.parametrize("mode", ["eager", "fused"])
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_networks_of_the_zoo_row_by_row(name, mode):
    module = torch_models.on_meta(networks.NETWORKS[name])
    graph = af.from_torch(module, torch.empty(2, 3, 224, 224), strict=True)
    work = launched(af.lower(graph, mode))
    rows, expected = (sorted(columns(w).tolist()) for w in (work, af.lower(zoo(name), mode)))
    if name == "vgg16":  # torch launches the pool from 7 x 7 to 7 x 7, the zoo leaves it out
        pools = [r for r in rows if r not in expected]
        assert len(pools) == 1
        assert pools[0][-3] == 0  # no MACs
        rows.remove(pools[0])
    assert rows == expected
    assert work.params.sum() == parameters(module)


def zoo(name):
    return af.zoo.build(name, 2)


def test_layers_have_the_names_of_modules():
    module = torch_models.on_meta(networks.NETWORKS["resnet18"])
    graph = af.from_torch(module, (torch.empty(1, 3, 224, 224),), name="mine")
    names = [graph.node_name(i) for i in range(len(graph))]
    expected = ["x", "conv1", "bn1", "relu", "maxpool", "layer1.0.conv1", "layer1.0.bn1"]
    expected += ["layer1.0.relu", "layer1.0.conv2", "layer1.0.bn2", "layer1.0.add"]
    assert names[: len(expected) + 1] == [*expected, "layer1.0.relu_1"]
    assert "layer2.0.downsample.0" in names
    assert names[-1] == "fc"
    assert len(set(names)) == len(names)
    assert graph.name == "mine"


@pytest.mark.parametrize("how", ["sdpa", "matmul", "module"])
def test_attention_costs_the_same_however_it_is_written(how):
    module = torch_models.on_meta(lambda: torch_models.ViT(how))
    work = af.lower(af.from_torch(module, (torch.empty(1, 3, 224, 224),), strict=True))
    assert work.macs.sum() == VIT_MACS
    assert work.params.sum() == parameters(module) == VIT_PARAMS


def test_gpt_counts_tied_weights_once():
    module = torch_models.on_meta(torch_models.GPT)
    length, features, vocabulary = 128, 768, 50257
    tokens = torch.zeros(1, length, dtype=torch.long)
    graph = af.from_torch(module, (tokens,), strict=True)
    work = af.lower(graph)
    block = length * 12 * features**2 + 2 * length**2 * features
    assert work.macs.sum() == 12 * block + length * features * vocabulary
    assert work.params.sum() == parameters(module)


def test_a_module_that_runs_twice_counts_twice_and_has_its_parameters_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

        def forward(self, x):
            return self.norm(self.conv(self.norm(self.conv(x))))

    module = Twice().eval()
    graph = af.from_torch(module, (torch.empty(1, 4, 8, 8),))
    work = af.lower(graph, "eager")
    assert work.macs.sum() == 2 * 64 * 4 * 36
    assert work.params.sum() == parameters(module)
    assert [graph.node_name(i) for i in range(5)] == ["x", "conv", "norm", "conv_1", "norm_1"]
    assert graph.tied_to(3) == 1


@pytest.mark.parametrize("decomposed", [False, True])
@pytest.mark.parametrize("make", [torch_models.ViT, networks.NETWORKS["mobilenet_v2"]])
def test_exported_programs(make, decomposed):
    if make is torch_models.ViT:
        module, image = torch_models.ViT("sdpa", 64, 4, 2), torch.empty(1, 3, 224, 224)
    else:
        module, image = make(), torch.empty(1, 3, 64, 64)
    program = torch.export.export(module.eval(), (image,))
    if decomposed:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch's own
            program = program.run_decompositions()
    graph = af.from_torch(program, strict=True)
    exported = af.lower(graph, "eager")
    traced = af.lower(af.from_torch(module, image), "eager")
    assert exported.macs.sum() == traced.macs.sum()
    assert exported.params.sum() == traced.params.sum() == parameters(module)
    names = {graph.node_name(i) for i in range(len(graph))}
    assert {"x", "layers.1.attention.qkv"} <= names or {"x", "features.1.conv.0.0"} <= names


def test_only_shapes_of_arguments_count():
    module = nn.Linear(4, 3)
    graphs = [
        af.from_torch(module, args, kwargs)
        for args, kwargs in (
            (torch.zeros(2, 4), None),
            ((torch.empty(2, 4, device="meta"),), {}),
            ((), {"input": torch.full((2, 4), float("nan"))}),
        )
    ]
    rows = [columns(af.lower(graph)).tolist() for graph in graphs]
    assert rows[0] == rows[1] == rows[2]
    assert [graph.node_name(0) for graph in graphs] == ["input"] * 3


def test_nested_arguments_are_inputs():
    class Takes(nn.Module):
        def forward(self, pair, *, options):
            return pair[0] + pair[1] * options["scale"] if options["double"] else pair[0]

    x = torch.empty(2, 3)
    graph = af.from_torch(Takes(), ([x, torch.empty(3)],), {"options": {"scale": x, "double": 1}})
    assert [graph.node_name(i) for i in range(4)] == ["pair.0", "pair.1", "mul", "add"]
    assert graph.node_inputs(2) == [0, 1]  # the same tensor is the same input


def test_element_types():
    x = torch.empty(1, 4)
    assert af.from_torch(nn.Linear(4, 4).half(), x).dtype == "fp16"
    assert af.from_torch(nn.Linear(4, 4).bfloat16(), x).dtype == "bf16"
    assert af.from_torch(nn.ReLU(), x).dtype == "fp32"
    assert af.from_torch(nn.Linear(4, 4), x, dtype="int8").dtype == "int8"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of importing the compiler
def test_wrapped_modules_run_as_what_they_wrap():
    layers = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    compiled, inside = torch.compile(layers), nn.Sequential(torch.compile(layers))
    graphs = [af.from_torch(m, torch.empty(2, 3)) for m in (layers, compiled, inside)]
    assert len({af.lower(graph).macs.sum() for graph in graphs}) == 1
    names = [[graph.node_name(i) for i in range(3)] for graph in graphs]
    assert names[0] == names[1] == ["input", "0", "1"]
    assert names[2] == ["input", "0._orig_mod.0", "0._orig_mod.1"]


LIBRARIES = [
    ("torchvision.models", "efficientnet_b0", 385_814_752, 5_288_548),
    ("torchvision.models", "swin_t", 4_490_566_656, 28_288_354),
    ("torchvision.models", "convnext_tiny", 4_455_531_264, 28_589_128),
    ("torchvision.models", "shufflenet_v2_x1_0", None, 2_278_604),
    ("timm.models", "mixer_b16_224", None, 59_880_472),
    ("timm.models", "mobilevit_s", None, 5_578_632),
]


@pytest.mark.parametrize(("library", "name", "macs", "params"), LIBRARIES)
def test_networks_of_other_libraries(library, name, macs, params):
    models = pytest.importorskip(library, reason="is not needed otherwise")
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415

    module = torch_models.on_meta(getattr(models, name))
    size = 256 if name == "mobilevit_s" else 224
    image = torch.empty(1, 3, size, size, device="meta")
    work = af.lower(af.from_torch(module, (image,), strict=True))
    with FlopCounterMode(display=False) as counter:
        module(image)
    assert work.macs.sum() == (macs or counter.get_total_flops() // 2)
    assert work.macs.sum() == counter.get_total_flops() // 2
    assert work.params.sum() == params


def test_bert_of_transformers():
    transformers = pytest.importorskip("transformers", reason="is not needed otherwise")
    module = torch_models.on_meta(lambda: transformers.BertModel(transformers.BertConfig()))
    tokens = torch.zeros(1, 128, dtype=torch.long)
    work = af.lower(af.from_torch(module, (), {"input_ids": tokens}, strict=True))
    block = 128 * 12 * 768**2 + 2 * 128**2 * 768
    assert work.macs.sum() == 12 * block + 768**2  # and the pooler
    assert work.params.sum() == 109_482_240


def test_sizes_in_place_of_a_tensor_are_said_to_be_none():
    for args in ((1, 3, 8, 8), (), ([1, 3, 8, 8],)):
        with pytest.raises(ModelError, match=r"no tensor was given; args are what the forward"):
            af.from_torch(nn.Conv2d(3, 4, 3), args)
    with pytest.raises(ModelError) as told:
        af.from_torch(nn.Conv2d(3, 4, 3), (torch.empty(1, 3, 8, 8), 5))
    assert "no tensor" not in str(told.value)
