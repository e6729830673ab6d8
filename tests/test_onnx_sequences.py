"""Exported transformers and recurrent networks: MACs by arithmetic, parameters as in torch."""

import warnings

import pytest

import alphaflops as af
from alphaflops import errors

pytest.importorskip("onnx", reason="the extra alphaflops[onnx] is not installed")
torch = pytest.importorskip("torch", reason="the exporter is torch's")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch_models import Block, ViT  # noqa: E402

from alphaflops.frontends.onnx import load_onnx  # noqa: E402

WIDTH, HEADS, HIDDEN, PATCH, IMAGE, CLASSES = 24, 3, 40, 4, 16, 7
TOKENS = (IMAGE // PATCH) ** 2 + 1


def export(module, example, path, exporter, **options):
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter)  # exporters store equal tensors, such as zero biases, once
    module = module.eval()
    if exporter == "dynamo":
        pytest.importorskip("onnxscript", reason="torch's exporter needs it")
        options = {"dynamo": True, "external_data": False, "verbose": False, **options}
    else:
        options = {"dynamo": False, **options}
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning, UserWarning):
            warnings.simplefilter("ignore", category)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        torch.onnx.export(module, example, str(path), **options)
    return path


def parameters_of(module):
    return sum(p.numel() for p in module.parameters())


def vision_transformer(how):
    return ViT(how, WIDTH, HEADS, 2, classes=CLASSES, image=IMAGE, patch=PATCH, hidden=HIDDEN)


def block_macs(batch, tokens):
    rows = batch * tokens
    return rows * (4 * WIDTH * WIDTH + 2 * WIDTH * HIDDEN) + 2 * batch * tokens * tokens * WIDTH


def built(batch):
    """The vision transformer from the builder."""
    graph = af.Graph("vit")
    x = graph.conv2d(graph.input([batch, 3, IMAGE, IMAGE]), WIDTH, PATCH, PATCH, bias=True)
    x = graph.part(x, [batch, TOKENS - 1, WIDTH])
    token = graph.part(graph.constant([1, 1, WIDTH], True), [batch, 1, WIDTH])
    x = graph.concat([token, x])
    x = graph.element([x, graph.constant([1, TOKENS, WIDTH], True)], "add")
    heads = [batch, HEADS, TOKENS, WIDTH // HEADS]
    for _ in range(2):
        qkv = graph.linear(graph.norm(x, "layer"), 3 * WIDTH, True)
        y = graph.attention(*(graph.part(qkv, heads) for _ in "qkv"))
        y = graph.linear(graph.part(y, [batch, TOKENS, WIDTH]), WIDTH, True)
        x = graph.add(x, y)
        y = graph.activation(graph.linear(graph.norm(x, "layer"), HIDDEN, True), "gelu")
        x = graph.add(x, graph.linear(y, WIDTH, True))
    graph.linear(graph.part(graph.norm(x, "layer"), [batch, WIDTH]), CLASSES, True)
    return graph


@pytest.mark.parametrize("exporter", ["legacy", "dynamo"])
@pytest.mark.parametrize("way", ["module", "sdpa", "einsum", "matmul"])
def test_vision_transformers(tmp_path, way, exporter):
    module = vision_transformer(way)
    path = export(module, (torch.zeros(1, 3, IMAGE, IMAGE),), tmp_path / "v.onnx", exporter)
    graph = load_onnx(path, strict=True)
    work, expected = af.lower(graph), af.lower(built(1))
    macs = (TOKENS - 1) * 3 * PATCH**2 * WIDTH + WIDTH * CLASSES + 2 * block_macs(1, TOKENS)
    assert work.macs.sum() == expected.macs.sum() == macs
    assert work.params.sum() == expected.params.sum() == parameters_of(module)


@pytest.mark.parametrize("opset", [9, 11, 13, 17])
def test_vision_transformer_of_older_opsets(tmp_path, opset):
    module = vision_transformer("matmul")
    example = (torch.zeros(1, 3, IMAGE, IMAGE),)
    path = export(module, example, tmp_path / "v.onnx", "legacy", opset_version=opset)
    work, expected = af.lower(load_onnx(path, strict=True)), af.lower(built(1))
    assert work.macs.sum() == expected.macs.sum()
    assert work.params.sum() == expected.params.sum()


class Language(nn.Module):
    """A causal language model whose head is the table of its embedding."""

    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(50, WIDTH), nn.Embedding(32, WIDTH)
        self.blocks = nn.Sequential(
            *(Block(WIDTH, HEADS, "sdpa", HIDDEN, causal=True) for _ in range(2))
        )
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 50, bias=False)
        self.head.weight = self.words.weight

    def forward(self, ids):
        x = self.words(ids) + self.places(torch.arange(ids.shape[1], device=ids.device))
        return self.head(self.norm(self.blocks(x)))


@pytest.mark.parametrize("exporter", ["legacy", "dynamo"])
def test_language_model_of_any_batch_and_length(tmp_path, exporter):
    if exporter == "dynamo":
        options = {"dynamic_shapes": ({0: "batch", 1: "length"},)}
    else:
        options = {"dynamic_axes": {"ids": {0: "batch", 1: "length"}}}
    module = Language()
    ids = torch.zeros(2, 5, dtype=torch.int64)
    path = export(module, (ids,), tmp_path / "l.onnx", exporter, input_names=["ids"], **options)
    with pytest.raises(errors.ModelError, match=r"symbolic dimensions length .*ids=batchxlength"):
        load_onnx(path, batch=2)
    for batch, length in ((1, 7), (3, 1), (4, 32)):
        graph = load_onnx(path, strict=True, inputs={"ids": (batch, length)})
        work = af.lower(graph)
        rows = batch * length
        assert work.macs.sum() == 2 * block_macs(batch, length) + rows * WIDTH * 50
        assert graph.shape(len(graph) - 1) == (batch, length, 50)
    # The exporters store the head apart from the table, transposed.
    assert work.params.sum() == parameters_of(module) + 50 * WIDTH


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("exporter", ["legacy", "dynamo"])
def test_recurrent_networks(tmp_path, cell, exporter):
    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.cells = getattr(nn, cell)(5, 4, 2, batch_first=True, bidirectional=True)
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            return self.head(self.cells(x)[0])

    module = Tagger()
    path = export(module, (torch.zeros(3, 6, 5),), tmp_path / "r.onnx", exporter)
    graph = load_onnx(path, strict=True)
    work = af.lower(graph)
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[cell]
    steps = 3 * 6
    macs = steps * 2 * gates * 4 * ((5 + 4) + (8 + 4)) + steps * 8 * 3
    params = parameters_of(module)
    if (cell, exporter) == ("RNN", "dynamo"):  # unrolled, and what a state of zeros makes is stored
        macs -= 4 * 3 * 4 * 4
        params += 4 * 3 * 4
    assert work.macs.sum() == macs
    assert work.params.sum() == params


class Upsampler(nn.Module):
    """A decoder: transposed convolutions, resizing, group and instance norms, pixel shuffle."""

    def __init__(self):
        super().__init__()
        self.up, self.group = nn.ConvTranspose2d(8, 12, 4, 2, 1), nn.GroupNorm(3, 12)
        self.conv, self.instance = nn.Conv2d(12, 16, 3, 1, 1), nn.InstanceNorm2d(16, affine=True)
        self.slope, self.last = nn.PReLU(16), nn.Conv2d(4, 3, 1)

    def forward(self, x):
        x = functional.silu(self.group(self.up(x)))
        x = functional.interpolate(x, scale_factor=2, mode="bilinear")
        x = self.slope(self.instance(self.conv(x)))
        return self.last(functional.pixel_shuffle(functional.pad(x, (1, 1, 1, 1)), 2)).mean((2, 3))


@pytest.mark.parametrize("exporter", ["legacy", "dynamo"])
def test_decoder(tmp_path, exporter):
    module = Upsampler()
    path = export(module, (torch.zeros(2, 8, 5, 6),), tmp_path / "d.onnx", exporter)
    graph = load_onnx(path, strict=True)
    work = af.lower(graph)
    macs = 2 * (30 * 8 * 12 * 16 + 480 * 12 * 16 * 9 + 4 * 22 * 26 * 4 * 3)
    assert work.macs.sum() == macs
    # One of them stores the ones and zeros of an instance norm over groups.
    assert work.params.sum() == parameters_of(module) + (6 if exporter == "dynamo" else 0)
