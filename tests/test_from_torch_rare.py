"""from_torch: operators that few networks run, and clear words for what no trace can follow."""

import pytest

import alphaflops as af
from alphaflops import errors

torch = pytest.importorskip("torch", reason="the extra alphaflops[torch] is not installed")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch_traces import Function, ops, tensors, trace  # noqa: E402

X = torch.linspace(-1, 1, 32).reshape(4, 8)
BATCH = torch.ones(3, 4, 8)
TIMES = torch.arange(1.0, 8.0)  # 7: three comparisons
QUANT = torch.ao.quantization

# A function, its operand, the operators that it launches, its MACs and its other operations.
CASES = {
    # 4 · 4 pairs of 8 features, 3 operations for each and a root.
    "cdist": (lambda x: torch.cdist(x, x, p=1.0), X, "cdist", 0, 16 * 25),
    "cdist of batches": (lambda x: torch.cdist(x[:, :2], x), BATCH, "cdist", 0, 3 * 2 * 4 * 25),
    "pdist": (F.pdist, X, "pdist", 0, 6 * 25),
    "logaddexp": (lambda x: torch.logaddexp(x, x[:1]), X, "logaddexp", 0, 32 * 6),
    "logaddexp2": (lambda x: x.logaddexp2(x), X, "logaddexp", 0, 32 * 6),
    # 3 products of (8 × 4) with (4 × 8), added up and to another.
    "addbmm": (lambda x: torch.addbmm(x[0, :1], x.mT, x), BATCH, "matmul add", 3 * 256, 64),
    "searchsorted": (lambda x: torch.searchsorted(TIMES, x), X, "searchsorted", 0, 32 * 3),
    "bucketize": (lambda x: torch.bucketize(x, TIMES, right=True), X, "searchsorted", 0, 32 * 3),
    "pdist by name": (lambda x: F.pdist(input=x), X, "pdist", 0, 6 * 25),
    "cdist by name": (lambda x: torch.cdist(x1=x, x2=x), X, "cdist", 0, 16 * 25),
    "searchsorted by name": (
        lambda x: torch.searchsorted(sorted_sequence=TIMES, input=x),
        X,
        "searchsorted",
        0,
        32 * 3,
    ),
    "nothing to search for": (lambda x: torch.searchsorted(TIMES, x[:0]), X, "", 0, 0),
    "nothing to quantise": (
        lambda x: torch.fake_quantize_per_tensor_affine(x[:0], 0.1, 0, -128, 127),
        X,
        "",
        0,
        0,
    ),
    "no pairs": (lambda x: F.pdist(x[:1]), X, "", 0, 0),
    "integers": (
        lambda x: torch.bucketize(x, boundaries=TIMES[:4], out_int32=True),
        X,
        "searchsorted",
        0,
        32 * 3,
    ),
    # 2 · 5 · 6 places of three coordinates, two results each.
    "affine_grid": (
        lambda x: F.affine_grid(x.view(2, 2, 3), [2, 1, 5, 6], align_corners=False),
        torch.ones(12),
        "matmul",
        2 * 30 * 3 * 2,
        0,
    ),
    "affine_grid of volumes": (
        lambda x: F.affine_grid(x.view(2, 3, 4), [2, 1, 5, 6, 7]),
        torch.ones(24),
        "matmul",
        2 * 210 * 4 * 3,
        0,
    ),
    "fake_quantize": (
        lambda x: torch.fake_quantize_per_tensor_affine(x, 0.1, 0, -128, 127),
        X,
        "fake_quantize",
        0,
        32 * 7,
    ),
    "fake_quantize by channels": (
        lambda x: torch.fake_quantize_per_channel_affine(
            x, torch.ones(4), torch.zeros(4, dtype=torch.int32), 0, -128, 127
        ),
        X,
        "fake_quantize",
        0,
        32 * 7,
    ),
}


@pytest.mark.filterwarnings("ignore:Default grid_sample and affine_grid")
@pytest.mark.parametrize("case", CASES)
def test_rare_operators(case):
    function, x, expected, macs, others = CASES[case]
    graph, seen = trace(function, x)
    assert seen == [(tuple(t.shape), t.dtype) for t in tensors(function(x))]
    assert ops(graph) == expected.split()
    work = af.lower(graph, "eager")
    assert (work.macs.sum(), work.flops.sum()) == (macs, 2 * macs + others)


def test_fake_quantisation_passes_gradients_on():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 4), nn.Linear(4, 2)

        def forward(self, x):
            y = self.a(x)
            return self.b(torch.fake_quantize_per_tensor_affine(y, 0.1, 0, -128, 127))

    work = af.lower(af.from_torch(Net(), X), "eager", af.Training("none"))
    assert int(work.macs.sum()) == 2 * (4 * 8 * 4) + 3 * (4 * 4 * 2)


@pytest.mark.parametrize(
    ("function", "name", "shape"),
    [
        (torch.cov, "torch.cov", (4, 4)),
        (torch.corrcoef, "torch.corrcoef", (4, 4)),
        (
            lambda x: F.ctc_loss(
                x.view(4, 2, 4).log_softmax(-1),
                torch.ones(2, 3, dtype=torch.long),
                torch.tensor([4, 4]),
                torch.tensor([3, 2]),
                reduction="none",
            ),
            "torch.ctc_loss",
            (2,),
        ),
    ],
)
def test_what_is_not_counted_is_listed(function, name, shape):
    graph = af.from_torch(Function(lambda x: function(x) + 1), X)
    assert ops(graph)[-2:] == [name, "add"]
    assert graph.shape(len(graph) - 1) == shape == tuple(function(X).shape)


class Quantisable(nn.Module):
    def __init__(self):
        super().__init__()
        self.quant, self.layer = QUANT.QuantStub(), nn.Linear(8, 4)
        self.dequant = QUANT.DeQuantStub()

    def forward(self, x):
        return self.dequant(self.layer(self.quant(x)))


def dynamic():
    return QUANT.quantize_dynamic(Quantisable(), {nn.Linear})


def converted():
    module = Quantisable().eval()
    module.qconfig = QUANT.get_default_qconfig("fbgemm")
    QUANT.prepare(module, inplace=True)
    module(X)
    return QUANT.convert(module)


def traced():
    from torch.ao.quantization import quantize_fx  # noqa: PLC0415

    mapping = QUANT.get_default_qconfig_mapping("fbgemm")
    module = quantize_fx.prepare_fx(Quantisable().eval(), mapping, (X,))
    module(X)
    return quantize_fx.convert_fx(module)


def trained():
    from torch.ao.quantization import quantize_fx  # noqa: PLC0415

    mapping = QUANT.QConfigMapping().set_global(QUANT.get_default_qat_qconfig("fbgemm", 0))
    return quantize_fx.prepare_qat_fx(nn.Sequential(nn.Linear(8, 4)).train(), mapping, (X,))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [dynamic, converted, traced, trained])
def test_quantised_modules(make):
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        pytest.skip("torch has no quantised kernels here")
    module = make()
    with pytest.raises(errors.Error, match=r"quantised modules are not supported.* give the float"):
        af.from_torch(module, X)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (torch.vmap(lambda row: row * 2), "torch.vmap of what depends on an input"),
        (torch.vmap(lambda row: row.sum()), "torch.vmap of what depends on an input"),
        (lambda x: torch.sparse.mm(x.to_sparse(), x.T), "sparse tensors are not supported"),
        (lambda x: torch.eye(4).to_sparse() @ x, "sparse tensors are not supported"),
        (lambda x: torch.nested.nested_tensor([x]), "nested tensors are not supported"),
        (
            lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8).dequantize(),
            "quantised modules are not supported",
        ),
    ],
)
def test_what_no_trace_follows(function, message):
    with pytest.raises(errors.Error, match=rf"^Function \(Function\): {message}"):
        af.from_torch(Function(function), X)


@pytest.mark.filterwarnings("ignore:flex_attention called without")
def test_flex_attention():
    flex = pytest.importorskip("torch.nn.attention.flex_attention", reason="since torch 2.5")
    x = torch.ones(1, 2, 8, 16)
    with pytest.raises(errors.Error, match=r"flex_attention compiles .*; use scaled_dot_product"):
        af.from_torch(Function(lambda x: flex.flex_attention(x, x, x)), x)
