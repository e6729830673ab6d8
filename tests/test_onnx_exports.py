"""The ONNX front end on what torch's exporters write: the zoo's networks, and their patterns."""

import subprocess
import sys
import warnings

import numpy as np
import pytest

import alphaflops as af
from alphaflops import errors

pytest.importorskip("onnx", reason="the extra alphaflops[onnx] is not installed")

from alphaflops.frontends.onnx import load_onnx

TORCH_REASON = "the exporter is torch's"

# The new exporter at batch 2 and, where the network takes it, at 192 pixels; the old one at 1, 224.
EXPORTS = [
    ("densenet121", "legacy", 1, 224),
    ("mobilenet_v2", "legacy", 1, 224),
    ("resnet18", "legacy", 1, 224),
    ("resnet50", "legacy", 1, 224),
    ("vgg", "legacy", 1, 224),
    ("densenet", "dynamo", 2, 192),
    ("mobilenet_v2", "dynamo", 2, 192),
    ("resnet18", "dynamo", 2, 192),
    ("resnet50", "dynamo", 2, 192),
    ("vgg16", "dynamo", 2, 224),  # its file is the one of the memory test
]


def export(module, example, path, exporter, batch_name=None):
    """Write one file, weights included; the batch is symbolic where it has a name."""
    torch = pytest.importorskip("torch", reason=TORCH_REASON)
    if exporter == "dynamo":
        pytest.importorskip("onnxscript", reason="torch's exporter needs it")
        options = {"dynamo": True, "external_data": False, "verbose": False}
        if batch_name:
            options["dynamic_shapes"] = ({0: batch_name},)
    else:
        options = {"dynamo": False, "input_names": ["x"]}
        if batch_name:
            options["dynamic_axes"] = {"x": {0: batch_name}}
    with warnings.catch_warnings():
        # The exporters warn about themselves and about what they call in torch.
        for category in (DeprecationWarning, FutureWarning, UserWarning):
            warnings.simplefilter("ignore", category)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        torch.onnx.export(module, (example,), str(path), **options)
    return path


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A function from (name, exporter, batch, image size) to a file, each made once."""
    torch = pytest.importorskip("torch", reason=TORCH_REASON)
    networks = pytest.importorskip("networks", reason=TORCH_REASON)
    folder = tmp_path_factory.mktemp("onnx")
    made = {}

    def get(name, exporter, batch, image_size):
        key = (name, exporter, batch, image_size)
        if key not in made:
            example = torch.zeros(batch, 3, image_size, image_size)
            path = folder / f"{name}-{exporter}.onnx"
            made[key] = export(networks.build(name), example, path, exporter)
        return made[key]

    yield get
    for path in made.values():
        path.unlink()


def without_exporter(name, batch, image_size):
    """The zoo's graph, or the trace of a network that the zoo has not as small."""
    if name in af.zoo.names():
        return af.zoo.build(name, batch, image_size)
    torch = pytest.importorskip("torch", reason=TORCH_REASON)
    networks = pytest.importorskip("networks", reason=TORCH_REASON)
    return af.from_torch(networks.build(name), torch.zeros(batch, 3, image_size, image_size))


def multiplying_rows(work):
    """The rows that do MACs, in an order that does not depend on the graph's."""
    columns = ("kind", "batch", "groups", "c_in", "c_out", "spatial", "kernel_volume", "stride")
    columns += ("activations_read", "elements_written", "macs")
    rows = np.stack([getattr(work, c).astype(np.int64) for c in columns], axis=1)
    return sorted(rows[work.macs > 0].tolist())


def params_with_norms_folded(graph):
    """Parameters of the zoo's graph when each norm behind a convolution has become a bias."""
    norms = [i for i in range(len(graph)) if graph.node_op(i) == "batch_norm"]
    folded = [i for i in norms if graph.node_op(graph.node_inputs(i)[0]) == "conv2d"]
    return af.lower(graph).params.sum() - sum(graph.shape(i)[1] for i in folded)


@pytest.mark.parametrize(("name", "exporter", "batch", "image_size"), EXPORTS)
def test_export_equals_the_zoo(exported, name, exporter, batch, image_size):
    graph = load_onnx(exported(name, exporter, batch, image_size), strict=True)
    zoo = without_exporter(name, batch, image_size)
    work, expected = af.lower(graph), af.lower(zoo)
    assert work.macs.sum() == expected.macs.sum()
    assert multiplying_rows(work) == multiplying_rows(expected)
    assert work.params.sum() == params_with_norms_folded(zoo)
    # The identity pool of VGG-16 and the concatenation of one tensor of DenseNet come and go.
    assert abs(len(work) - len(expected)) <= 4
    assert graph.dtype == "fp32"


def test_another_batch_of_a_file_with_a_fixed_one(exported):
    path = exported("resnet18", "dynamo", 2, 192)
    work = af.lower(af.load(path, batch=5, dtype="fp16"))
    expected = af.lower(af.zoo.build("resnet18", 5, 192))
    assert multiplying_rows(work) == multiplying_rows(expected)
    assert af.load(path, batch=5, dtype="fp16").dtype == "fp16"
    assert af.load(path, batch=2).batch == 2


def test_names_of_layers_are_names_of_nodes(exported):
    graph = load_onnx(exported("resnet18", "legacy", 1, 224))
    names = [graph.node_name(i) for i in range(len(graph))]
    assert "/layer1/layer1.0/conv1/Conv" in names
    assert names[-1] == "/fc/Gemm"


MEMORY = """
import sys, onnx, onnx.inliner, onnx.shape_inference
from alphaflops.frontends.onnx import load_onnx
def peak_kib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
before = peak_kib()
graph = load_onnx(sys.argv[1])
print(len(graph), peak_kib() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_weights_are_not_loaded(exported):
    path = exported("vgg16", "dynamo", 2, 224)
    assert path.stat().st_size > 500e6
    command = [sys.executable, "-c", MEMORY, str(path)]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    nodes, kib = map(int, out.split())
    assert nodes > 30
    assert kib < 60 * 1024


@pytest.mark.parametrize("exporter", ["legacy", "dynamo"])
def test_symbolic_batch_gates_and_patterns_of_the_exporters(tmp_path, exporter):
    torch = pytest.importorskip("torch", reason=TORCH_REASON)
    nn, functional = torch.nn, torch.nn.functional

    class Gated(nn.Module):
        """Squeeze and excite with linear layers, and shapes computed from the batch."""

        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16)
            self.down, self.up = nn.Linear(16, 4), nn.Linear(4, 16, bias=False)
            self.head = nn.Linear(1024, 10)

        def forward(self, x):
            x = functional.hardswish(self.norm(self.conv(x)))
            gate = functional.adaptive_avg_pool2d(x, 1).view(x.size(0), -1)
            gate = functional.hardsigmoid(self.up(functional.relu(self.down(gate))))
            x = functional.relu6(functional.silu(x * gate.view(x.size(0), 16, 1, 1)))
            x = x.mean((2, 3), keepdim=True) * x
            return functional.softmax(self.head(x.view(x.size(0), -1)), -1)

    torch.manual_seed(0)
    path = export(Gated().eval(), torch.zeros(2, 3, 16, 16), tmp_path / "g.onnx", exporter, "n")
    with pytest.raises(errors.ModelError, match=r"symbolic batch dimension 'n'; .*--batch"):
        af.load(path)
    graph = load_onnx(path, batch=4, strict=True)
    ops = [graph.node_op(i) for i in range(len(graph)) if graph.node_op(i) != "flatten"]
    expected = "input conv2d hardswish global_avg_pool linear relu linear hardsigmoid mul silu "
    expected += "relu6 global_avg_pool mul linear softmax"
    assert ops == expected.split()
    assert graph.shape(len(graph) - 1) == (4, 10)
    work = af.lower(graph)
    assert work.macs.sum() == 4 * (64 * 16 * 27 + 2 * 16 * 4 + 1024 * 10)
    assert work.params.sum() == 16 * 27 + 16 + 16 * 4 + 4 + 4 * 16 + 1024 * 10 + 10


@pytest.mark.parametrize("exporter", ["legacy", "dynamo"])
@pytest.mark.parametrize("activation", ["silu", "softplus", "mish"])
def test_activations_are_one_row_as_they_are_in_torch(tmp_path, activation, exporter):
    torch = pytest.importorskip("torch", reason=TORCH_REASON)
    module = {"silu": torch.nn.SiLU, "softplus": torch.nn.Softplus, "mish": torch.nn.Mish}
    path = export(module[activation](), torch.zeros(2, 4), tmp_path / "a.onnx", exporter)
    graph = load_onnx(path, strict=True)
    assert [graph.node_op(i) for i in range(len(graph))] == ["input", activation]


@pytest.mark.parametrize("shape", [(2, 8), (2, 3, 8)])
@pytest.mark.parametrize("exporter", ["legacy", "dynamo"])
def test_layers_of_equal_biases_cost_what_they_cost_in_torch(tmp_path, exporter, shape):
    torch = pytest.importorskip("torch", reason=TORCH_REASON)
    module = torch.nn.Sequential(*[torch.nn.Linear(8, 8) for _ in range(3)])
    for layer in module:
        torch.nn.init.ones_(layer.bias)
    x = torch.zeros(shape)
    work = af.lower(load_onnx(export(module, x, tmp_path / "m.onnx", exporter), strict=True))
    expected = af.lower(af.from_torch(module, x))
    for column in ("kind", "macs", "flops", "weights_read", "params", "biased"):
        assert getattr(work, column).tolist() == getattr(expected, column).tolist()


@pytest.mark.parametrize("exporter", ["legacy", "dynamo"])
def test_tokens_of_an_image(tmp_path, exporter):
    torch = pytest.importorskip("torch", reason=TORCH_REASON)
    nn = torch.nn

    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8)
            self.hidden = nn.Linear(8, 16)

        def forward(self, x):
            x = self.conv(x).flatten(2).transpose(1, 2)
            return nn.functional.gelu(self.hidden(self.norm(x)))

    torch.manual_seed(0)
    path = export(Tokens().eval(), torch.zeros(1, 3, 16, 16), tmp_path / "t.onnx", exporter)
    graph = load_onnx(path, strict=True)
    ops = [graph.node_op(i) for i in range(len(graph))]
    assert ops[:6] == ["input", "conv2d", "flatten", "transpose", "layer_norm", "linear"]
    # A product with a constant and the addition of one are a linear layer with bias.
    work = af.lower(graph)
    assert work.macs.sum() == 16 * 8 * 48 + 16 * 8 * 16
    assert work.params.sum() == 8 * 48 + 8 + 16 + 8 * 16 + 16
