"""from_torch, operator by operator: shapes as torch makes them, launches by name."""

import itertools

import pytest

import alphaflops as af
from alphaflops import errors

torch = pytest.importorskip("torch", reason="the extra alphaflops[torch] is not installed")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch_traces import Function, ops, tensors, trace  # noqa: E402


def assigned(x):
    y = torch.zeros(2, 4)
    y[:, 1:3] = x[:, :2, 0, 0]
    return y + 1


X = torch.linspace(-1, 1, 2 * 4 * 6 * 8).reshape(2, 4, 6, 8)
GATE = torch.ones(2, 4, 1, 1)
ROW = torch.ones(8)
PLACES = torch.zeros(2, 6, 8, dtype=torch.long)
MODES = ("bilinear", "nearest", "bicubic")
INTEGERS = torch.arange(48).reshape(6, 8) % 5

# A function of an image and the operators that it launches.
CASES = {
    "add": (lambda x: x + x * 2, "mul add"),
    "broadcast": (lambda x: x - torch.ones(6, 1) + 1, "sub add"),
    "reversed": (lambda x: 1 - 2 / x, "div sub"),
    "integers": (lambda x: (x > 0) + 1, "compare add"),
    "divided integers": (lambda x: (x > 0).sum(1) / 2, "compare sum div"),
    "compare": (lambda x: (x > 0) & (x <= x.mean()), "compare mean compare logical"),
    "in place": (lambda x: x.clone().add_(1).mul_(2).clamp_(0, 6), "copy add mul relu6"),
    "clamps": (lambda x: (x.clamp(min=0), x.clamp(0, 6), x.clamp(-1, 1)), "relu relu6 clip"),
    "power": (lambda x: (x**2, x.abs().sqrt(), x.exp(), 2**x), "pow abs sqrt exp pow"),
    "activations": (
        lambda x: (F.silu(x), F.gelu(x), F.gelu(x, approximate="tanh"), x.tanh(), x.sigmoid()),
        "silu gelu gelu_tanh tanh sigmoid",
    ),
    "more": (
        lambda x: (F.hardswish(x), F.leaky_relu(x), F.elu(x), F.softplus(x), F.mish(x), F.selu(x)),
        "hardswish leaky_relu elu softplus mish selu",
    ),
    "glu": (lambda x: F.glu(x, 1), "sigmoid mul"),
    "softmax": (lambda x: (x.softmax(-1), F.log_softmax(x, 1)), "softmax log_softmax"),
    "logsumexp": (lambda x: x.logsumexp((2, 3)), "logsumexp"),
    "reductions": (
        lambda x: (x.sum(), x.mean((2, 3), keepdim=True), x.amax(1), x.prod(-1), x.std(0)),
        "sum mean max prod var",
    ),
    "max": (lambda x: (x.max(), x.max(1), torch.max(x, x), x.argmax(2)), "max max maximum argmax"),
    "sorting": (lambda x: (x.topk(3), x.sort(1), x.cumsum(0)), "topk sort cumsum"),
    "norm": (lambda x: F.normalize(x, dim=1), "norm clip div"),
    "where": (lambda x: torch.where(x > 0, x, 0.0), "compare where"),
    "scalars": (
        lambda x: (torch.where(x.sum() > 0, x.sum(), 1.0), x.max().lerp(x.min(), 0.5), -x.mean()),
        "sum compare sum where max min lerp mean neg",
    ),
    "masked": (lambda x: x.masked_fill(torch.ones(8, 8).tril()[:6] == 0, -1.0), "masked_fill"),
    "lerp": (lambda x: torch.lerp(x, x, 0.5), "lerp"),
    "cat": (lambda x: torch.cat([x, x, x[:, :1]], 1), "concat"),
    "stack": (lambda x: (torch.stack([x, x]), torch.hstack([x, x])), "stack stack"),
    "views": (
        lambda x: (
            *(x.view(2, -1), x.permute(0, 2, 3, 1), x[:, 0], x[..., None], x.flatten(1), x[0, 0].T),
            *(x.unsqueeze(0), x.expand(3, -1, -1, -1, -1), *x.chunk(2, 1), *x.split(3, 2), x.mT),
            *(*x.unbind(0), x.squeeze(), x.transpose(1, 2), x.narrow(3, 1, 4), x.detach(), x.cpu()),
        ),
        "",
    ),
    "contiguous": (lambda x: x.transpose(1, 2).contiguous().contiguous(), "contiguous"),
    "reshape": (lambda x: (x.reshape(8, -1), x.transpose(1, 2).reshape(8, -1)), "contiguous"),
    "casts": (lambda x: (x.half(), x.float(), x.to(torch.int64), x.double()), "cast cast cast"),
    "roll and flip": (
        lambda x: (x.roll(1, 2), x.flip(1), x.repeat(1, 2, 1, 1)),
        "roll flip repeat",
    ),
    "pad": (lambda x: (F.pad(x, (1, 2)), F.pad(x, (1, 1, 1, 1), "reflect")), "pad pad"),
    "triangles": (lambda x: (x.tril(), x.triu(1)), "copy copy"),
    "pixel shuffle": (
        lambda x: (F.pixel_shuffle(x, 2), F.pixel_unshuffle(x, 2)),
        "pixel_shuffle pixel_shuffle",
    ),
    "interpolate": (
        lambda x: (
            *(F.interpolate(x, scale_factor=2), F.interpolate(x, size=9, mode="bilinear")),
            F.interpolate(x, size=(3, 4), mode="bicubic"),
        ),
        "interpolate_nearest interpolate_bilinear interpolate_bicubic",
    ),
    "unfold": (lambda x: F.unfold(x, 3, padding=1), "unfold"),
    "index": (
        lambda x: (x[:, torch.tensor([0, 2])], x.index_select(3, torch.tensor([1, 1]))),
        "gather gather",
    ),
    "gather": (lambda x: x.gather(1, (x > 0).long()), "compare cast gather"),
    "assign": (assigned, "copy add"),
    "one hot": (lambda x: F.one_hot(x.argmax(1), 8) + 1, "argmax scatter add"),
    "max pool": (
        lambda x: (F.max_pool2d(x, 3, 2, 1), F.max_pool2d(x, 2, ceil_mode=True)),
        "max_pool max_pool",
    ),
    "average pool": (
        lambda x: (F.avg_pool2d(x, (2, 4)), F.avg_pool1d(x[0], 3)),
        "avg_pool avg_pool",
    ),
    "indices": (lambda x: F.max_pool2d(x, 2, return_indices=True), "max_pool"),
    "adaptive": (
        lambda x: (F.adaptive_avg_pool2d(x, 1), F.adaptive_max_pool2d(x, (3, None))),
        "global_avg_pool adaptive_max_pool",
    ),
    "pools of volumes": (
        lambda x: (F.max_pool3d(x[None], 2), F.adaptive_avg_pool3d(x[None], 2)),
        "max_pool adaptive_avg_pool",
    ),
    "norms": (
        lambda x: (F.layer_norm(x, (8,)), F.rms_norm(x, (6, 8)), F.group_norm(x, 2)),
        "layer_norm rms_norm group_norm",
    ),
    "instance norm": (F.instance_norm, "instance_norm"),
    "einsum": (lambda x: torch.einsum("bchw,bcvw->bchv", x, x), "matmul"),
    "products": (
        lambda x: (x @ x.mT, x @ ROW, ROW @ x.mT, torch.bmm(x[0], x[1].mT), x[0, 0].mm(x[0, 1].T)),
        "matmul matmul matmul matmul matmul",
    ),
    "addmm": (
        lambda x: (
            torch.addmm(x[0, 0, :, :6], x[0, 0], x[0, 1].T),
            torch.baddbmm(x[0], x[0, :, :, :6], x[1]),
        ),
        "matmul add matmul add",
    ),
    "dropout": (lambda x: (F.dropout(x, 0.5, False), F.dropout(x, 0.5, True)), "dropout"),
    "attention": (lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True), "attention"),
    "weights standardized": (
        lambda x: F.batch_norm(x.reshape(1, 6, -1), None, None, training=True),
        "instance_norm",
    ),
    "attention of three axes": (
        lambda x: F.scaled_dot_product_attention(x[0], x[1], x[1], torch.zeros(6, 6)),
        "mul mul matmul add softmax compare min where matmul",
    ),
    "grouped queries": (
        lambda x: F.scaled_dot_product_attention(x, x[:, :2], x[:, :2], enable_gqa=True),
        "attention",
    ),
    "one batch of keys": (
        lambda x: F.scaled_dot_product_attention(x, x[:1], x[:1]),
        "attention",
    ),
    "sampled": (
        lambda x: (
            *(F.grid_sample(x, torch.zeros(2, 3, 5, 2), m, align_corners=False) for m in MODES),
            F.grid_sample(x[:, :, None], torch.zeros(2, 1, 3, 5, 3), align_corners=False),
        ),
        "interpolate_bilinear interpolate_nearest interpolate_bicubic interpolate_trilinear",
    ),
    "histogram": (lambda x: torch.histc(x, bins=5), "sum"),
    "losses": (
        lambda x: (
            *(F.cross_entropy(x, PLACES, reduction=r) for r in ("mean", "sum", "none")),
            F.nll_loss(x[:, :, 0, 0], PLACES[:, 0, 0]),
        ),
        "log_softmax mean log_softmax sum log_softmax gather mean",
    ),
    "meshgrid": (lambda x: torch.meshgrid(x[0, 0, 0], x[0, 0, :, 0], indexing="ij"), ""),
    "like": (lambda x: (torch.zeros_like(x), x.new_ones(3), torch.arange(x.shape[1])), ""),
    "random": (lambda x: (torch.rand(3), torch.randn_like(x)), ""),
    "cosine": (lambda x: F.cosine_similarity(x, x, dim=1).shape, None),
}


@pytest.mark.parametrize("case", CASES)
def test_shapes_are_torchs_and_operators_are_launched(case):
    function, expected = CASES[case]
    state = torch.get_rng_state()
    real = [(tuple(t.shape), t.dtype) for t in tensors(function(X.clone()))]
    torch.set_rng_state(state)
    graph, seen = trace(function, X)
    assert seen == real
    if expected is not None:
        assert ops(graph) == expected.split()


@pytest.mark.parametrize(
    "size",
    [
        torch.abs,
        torch.absolute,
        torch.Tensor.abs,
        abs,
        lambda z: torch.abs(z, out=torch.empty(z.shape)),
        torch.linalg.norm,
        lambda z: torch.linalg.vector_norm(z, dim=-1),
        lambda z: z.norm(dim=-1),
        torch.angle,
        lambda z: z.real,
    ],
)
def test_sizes_of_complex_numbers_are_real(size):
    seen = []

    def forward(x):
        made = size(torch.fft.rfft(x))
        seen.append((tuple(made.shape), made.dtype))
        return torch.fft.rfft(made) if made.dim() else made

    af.from_torch(Function(forward), X)
    forward(X)
    assert seen[0] == seen[1]
    assert not seen[0][1].is_complex


def test_what_a_loss_and_a_histogram_do():
    x, target = torch.empty(6, 10), torch.zeros(6, dtype=torch.long)
    work = af.lower(trace(F.nll_loss, x, target)[0])  # a log-probability a target, and their mean
    assert (work.activations_read.tolist(), work.elements_written.tolist()) == ([12], [1])
    assert work.flops.tolist() == [6 + 1]
    work = af.lower(trace(lambda x: torch.histc(x, bins=4), x)[0])  # an addition an element
    assert (work.flops.tolist(), work.elements_written.tolist()) == ([60], [4])


def test_buffers_decide_branches_and_inputs_do_not():
    class Branches(nn.Module):
        def __init__(self, by_input):
            super().__init__()
            self.by_input = by_input
            self.register_buffer("mask", torch.eye(4))
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            size = int(self.mask.sum().item()) + len(torch.arange(3).tolist())
            y = self.layer(x)
            if bool((y if self.by_input else self.mask).max() > 0):
                return F.pad(y, (0, size))
            return y

    graph = af.from_torch(Branches(False), torch.empty(2, 4))
    assert graph.shape(len(graph) - 1) == (2, 11)
    with pytest.raises(
        errors.ModelError, match=r"Branches\): the forward reads the values .*'__bool"
    ):
        af.from_torch(Branches(True), torch.empty(2, 4))


@pytest.mark.parametrize(
    ("function", "reads"),
    [
        (lambda x: x.nonzero(), "nonzero"),
        (lambda x: x[x > 0], "mask"),
        (lambda x: x.sum().item(), "item"),
        (lambda x: x.tolist(), "tolist"),
        (torch.unique, "unique"),
        (lambda x: torch.where(x > 0), "where"),
        (lambda x: [0][x.argmax()], "__index__"),
        (lambda x: x.numpy(), "numpy"),
    ],
)
def test_what_depends_on_values_is_an_error(function, reads):
    with pytest.raises(errors.ModelError, match=reads):
        af.from_torch(Function(function), torch.empty(2, 4))


def test_own_autograd_functions_and_checkpoints():
    class Scale(torch.autograd.Function):
        @staticmethod
        def forward(context, x):
            context.save_for_backward(x)
            return x * 2 + 1

        @staticmethod
        def backward(context, grad):
            return grad

    layer = nn.Linear(8, 8)

    def forward(x):
        return Scale.apply(torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False))

    graph, seen = trace(forward, X)
    assert ops(graph) == ["linear", "mul", "add"]
    assert seen == [(tuple(X.shape), torch.float32)]


def test_exported_with_a_dynamic_batch():
    module = nn.Sequential(nn.Linear(4, 6), nn.Flatten(), nn.ReLU()).eval()
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(module, (torch.empty(3, 2, 4),), dynamic_shapes=({0: batch},))
    graph = af.from_torch(program, strict=True)
    assert ops(graph) == ["linear", "relu"]
    assert graph.shape(len(graph) - 1) == (3, 12)


def test_arguments_beside_an_exported_program():
    class Scaled(nn.Linear):
        def forward(self, x, times=1, *, shift, gate):
            return super().forward(x) * times * gate + shift

    x, shift, gate = torch.empty(2, 4), torch.empty(2, 1), torch.empty(2, 6)
    kwargs = {"shift": shift, "gate": gate}
    program = torch.export.export(Scaled(4, 6), (x, 2), kwargs)
    own = af.from_torch(program)
    again = af.from_torch(program, (x, 2), dict(reversed(kwargs.items())))
    assert [again.shape(i) for i in range(len(again))] == [own.shape(i) for i in range(len(own))]
    for args, message in {
        (torch.empty(3, 4), 2): r"'x' is a tensor \[3, 4\] of float32; .*exported with .*\[2, 4\]",
        (x.double(), 2): r"'x' is a tensor \[2, 4\] of float64",
        (x, 3): r"'times' is 3; the program was exported with 2",
        (x, 2, x): r"5 arguments are given; .* with 4, x, times, shift, gate",
    }.items():
        with pytest.raises(errors.ModelError, match=message):
            af.from_torch(program, args, kwargs)


def test_every_pair_of_shapes_broadcasts_as_torch_does():
    shapes = [
        (),
        (1,),
        (4,),
        (3, 1),
        (2, 3, 4),
        (2, 3, 1, 1),
        (1, 1, 5, 4),
        (2, 3, 5, 4),
        (2, 1, 1, 4),
    ]
    pairs, seen = 0, []
    for a, b in itertools.product(shapes, shapes):
        try:
            expected = torch.broadcast_shapes(a, b)
        except RuntimeError:
            expected = None
        for operator in (torch.add, torch.mul, torch.sub, torch.maximum):
            args = (torch.ones(2, 3, 5, 4), torch.empty(a), torch.empty(b))
            module = Function(lambda _, x, y, operator=operator: seen.append(operator(x, y)))
            seen.clear()
            if expected is None:
                with pytest.raises(errors.ModelError, match="do not broadcast"):
                    af.from_torch(module, args)
                continue
            work = af.lower(af.from_torch(module, args, strict=True))
            assert seen[0].shape == expected
            assert work.elements_written.tolist() == work.flops.tolist() == [expected.numel()]
            pairs += 1
    assert pairs > 200
