"""from_torch, layer by layer: multiply-accumulates by arithmetic, parameters as torch's."""

import pytest

import alphaflops as af

torch = pytest.importorskip("torch", reason="the extra alphaflops[torch] is not installed")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.nn.utils.parametrizations import weight_norm  # noqa: E402
from torch_traces import Function, tensors  # noqa: E402


class Twice(nn.Module):
    """A layer of two inputs, of the same tensor."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x, x)


class Bags(nn.Module):
    """Rows of a table, the first for every index."""

    def __init__(self, mode, **options):
        super().__init__()
        self.bag, self.options = nn.EmbeddingBag(11, 4, mode=mode), options

    def forward(self, x):
        return self.bag(x.long(), **self.options)


LAYERS = [
    (lambda: nn.Conv1d(4, 6, 3, 2, 1), (2, 4, 9), 2 * 5 * 6 * 12),
    (lambda: nn.Conv2d(4, 6, 3, padding="same", bias=False), (2, 4, 5, 7), 2 * 35 * 6 * 36),
    (lambda: nn.Conv2d(4, 6, (3, 1), (2, 1), (1, 0), (1, 1), 2), (2, 4, 6, 5), 2 * 15 * 6 * 6),
    (lambda: nn.Conv2d(4, 6, 3), (4, 5, 7), 15 * 6 * 36),
    (lambda: nn.Conv3d(4, 6, 2), (1, 4, 3, 4, 5), 24 * 6 * 32),
    (lambda: nn.ConvTranspose1d(4, 6, 3, 2), (2, 4, 5), 2 * 5 * 6 * 12),
    (lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2), (2, 4, 5, 5), 2 * 25 * 6 * 2 * 9),
    (lambda: nn.Linear(5, 7), (2, 3, 5), 6 * 35),
    (lambda: nn.Linear(5, 7, bias=False), (5,), 35),
    (lambda: nn.BatchNorm1d(5), (2, 5), 0),
    (lambda: nn.BatchNorm2d(5, affine=False), (2, 5, 3, 3), 0),
    (lambda: nn.GroupNorm(2, 4), (2, 4, 5), 0),
    (lambda: nn.InstanceNorm2d(4, affine=True), (2, 4, 5, 5), 0),
    (lambda: nn.LayerNorm((4, 5), bias=False), (2, 4, 5), 0),
    (lambda: nn.LayerNorm(5, elementwise_affine=False), (2, 4, 5), 0),
    (lambda: nn.RMSNorm(5), (2, 4, 5), 0),
    (lambda: nn.PReLU(4), (2, 4, 5), 0),
    (lambda: weight_norm(nn.Linear(5, 7)), (2, 5), 2 * 35),
    (lambda: Twice(nn.Bilinear(5, 5, 7)), (2, 3, 5), 6 * (7 * 25 + 35)),
    (lambda: Bags("mean"), (2, 3), 0),
    (lambda: Bags("sum", per_sample_weights=torch.ones(2, 3)), (2, 3), 0),
    (lambda: nn.LSTM(3, 4), (5, 2, 3), 10 * 16 * 7),
    (lambda: nn.LSTM(3, 4, 2, proj_size=2), (5, 2, 3), 10 * (16 * 5 + 8 + 16 * 4 + 8)),
    (
        lambda: nn.GRU(3, 4, 2, batch_first=True, bidirectional=True),
        (2, 5, 3),
        10 * 2 * 12 * (7 + 12),
    ),
    (lambda: nn.RNN(3, 4, bias=False), (5, 2, 3), 10 * 4 * 7),
    (lambda: nn.LSTMCell(3, 4), (2, 3), 2 * 16 * 7),
    (lambda: nn.GRUCell(3, 4), (2, 3), 2 * 12 * 7),
    (
        lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        (2, 5, 8),
        10 * (4 * 64 + 256) + 2 * 2 * 25 * 8,
    ),
    (lambda: nn.Sequential(nn.Identity(), nn.Flatten(), nn.Dropout(), nn.Softmax(1)), (2, 3, 4), 0),
]


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("number", range(len(LAYERS)))
def test_macs_and_parameters_of_layers(number):
    make, shape, macs = LAYERS[number]
    module = make().eval()
    x = torch.zeros(shape)
    seen = []
    graph = af.from_torch(nn.Sequential(module, Function(seen.append)), x, strict=True)
    work = af.lower(graph, "eager")
    assert work.macs.sum() == macs
    assert work.params.sum() == sum(p.numel() for p in module.parameters())
    made = [tuple(t.shape) for t in tensors(seen[0])]
    assert made == [tuple(t.shape) for t in tensors(module(x))]


@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize("same", ["query", "key", "none"])
def test_multihead_attention_of_every_kind(weights, same):
    features, length, other = 8, 5, 7
    apart = same == "none"
    sizes = {"kdim": 6, "vdim": 4} if apart else {}
    module = nn.MultiheadAttention(features, 2, **sizes).eval()
    q = torch.zeros(length, 3, features)
    k = {"query": q, "key": torch.zeros(other, 3, features), "none": torch.zeros(other, 3, 6)}[same]
    v = torch.zeros(other, 3, 4) if apart else k

    class Attends(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = module

        def forward(self, q, k, v):
            y, w = self.attention(q, k, v, need_weights=weights)
            seen.append([None if t is None else tuple(t.shape) for t in (y, w)])
            return y

    seen = []
    work = af.lower(af.from_torch(Attends(), (q, k, v), strict=True), "eager")
    real = module(q, k, v, need_weights=weights)
    assert seen[0] == [None if t is None else tuple(t.shape) for t in real]
    kv_length = k.shape[0]
    projections = 3 * features * (2 * length * features + kv_length * (k.shape[2] + v.shape[2]))
    assert work.macs.sum() == projections + 2 * 3 * length * kv_length * features
    assert work.params.sum() == sum(p.numel() for p in module.parameters())


def test_operators_of_bags_of_embeddings():
    def of(mode, indices, *offsets, **options):
        bag = nn.EmbeddingBag(11, 4, mode=mode, **options)
        graph = af.from_torch(bag, (indices, *offsets), strict=True)
        return [(graph.node_op(i), graph.shape(i)) for i in range(len(graph))][-2:]

    indices = torch.zeros(7, dtype=torch.long)
    assert of("max", indices.view(1, 7)) == [("embedding", (7, 4)), ("max", (1, 4))]
    offsets = torch.tensor([0, 3, 7])
    assert of("sum", indices, offsets) == [("embedding", (7, 4)), ("sum", (3, 4))]
    last = of("sum", indices, offsets, include_last_offset=True)
    assert last == [("embedding", (7, 4)), ("sum", (2, 4))]


@pytest.mark.parametrize("grad", [True, False])
def test_encoders_with_padding_run_layer_by_layer(grad):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    x, padding = torch.zeros(2, 5, 8), torch.zeros(2, 5, dtype=torch.bool)
    padding[1, 3:] = True
    for module in (nn.TransformerEncoder(layer, 2).eval(), layer.eval()):
        mask = {"src_key_padding_mask": padding}
        with torch.set_grad_enabled(grad):
            plain, masked = (af.from_torch(module, x, given, strict=True) for given in ({}, mask))
        assert torch.backends.mha.get_fastpath_enabled()
        plain, masked = af.lower(plain, "eager"), af.lower(masked, "eager")
        for column in ("macs", "params"):
            assert getattr(masked, column).sum() == getattr(plain, column).sum()
        assert len(masked) == len(plain) + 1  # the mask in numbers


def test_weights_of_all_origins_count_once():
    class Weights(nn.Module):
        def __init__(self):
            super().__init__()
            self.w, self.b = nn.Parameter(torch.ones(6, 4)), nn.Parameter(torch.ones(6))
            self.register_buffer("fixed", torch.ones(4, 4))
            self.scale = nn.Parameter(torch.ones(1, 4))
            self.unused = nn.Parameter(torch.ones(100))

        def forward(self, x):
            y = F.linear(x, self.fixed)  # no parameters
            y = y * self.scale.expand(2, 4)  # 4
            y = F.linear(y, self.w, self.b)  # 30
            y = F.linear(y, self.w.t())  # the same
            return y @ self.w.t() + self.b  # and again

    graph = af.from_torch(Weights(), torch.empty(2, 4), strict=True)
    work = af.lower(graph, "eager")
    assert work.params.sum() == 4 + 24 + 6
    assert work.macs.sum() == 2 * (16 + 3 * 24)
    assert "scale" in [graph.node_name(i) for i in range(len(graph))]
