"""Peak memory against torch on this processor, and against sums done by hand."""

import pytest

import alphaflops as af
from alphaflops import errors

torch = pytest.importorskip("torch", reason="the oracle is torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

from live_storages import peak_bytes  # noqa: E402, isort: skip


class Net(nn.Module):
    """Layers by name and a function that runs them; variables die where the next is made."""

    def __init__(self, run, **layers):
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.run = run

    def forward(self, x):
        return self.run(self, x)


def plain():
    graph = af.Graph("plain")
    x = graph.input([4, 3, 16, 16])
    x = graph.relu(graph.batch_norm(graph.conv2d(x, 8, 3, 1, 1, bias=True, name="first")))
    x = graph.max_pool(x, 2)
    x = graph.activation(graph.conv2d(x, 16, 3, 1, 1, groups=4, name="second"), "gelu")
    x = graph.activation(graph.conv(x, 6, 3, 2, transposed=True, name="up"), "silu")
    x = graph.avg_pool(x, 3, 2)
    x = graph.flatten(graph.global_avg_pool(x))
    graph.softmax(graph.linear(x, 10, bias=True, name="last"))
    layers = [
        ("first", nn.Conv2d(3, 8, 3, 1, 1)),
        ("norm", nn.BatchNorm2d(8)),
        ("relu", nn.ReLU()),
        ("pool", nn.MaxPool2d(2)),
        ("second", nn.Conv2d(8, 16, 3, 1, 1, groups=4, bias=False)),
        ("gelu", nn.GELU()),
        ("up", nn.ConvTranspose2d(16, 6, 3, 2, bias=False)),
        ("silu", nn.SiLU()),
        ("average", nn.AvgPool2d(3, 2)),
        ("global", nn.AdaptiveAvgPool2d(1)),
        ("flat", nn.Flatten()),
        ("last", nn.Linear(6, 10)),
        ("softmax", nn.Softmax(-1)),
    ]
    module = nn.Sequential()
    for name, layer in layers:
        module.add_module(name, layer)
    return graph, module, torch.randn(4, 3, 16, 16)


def residual():
    graph = af.Graph("residual")
    x = graph.conv2d(graph.input([2, 4, 9, 9]), 8, 3, 1, 1)
    y = graph.relu(graph.conv2d(x, 8, 3, 1, 1))
    x = graph.add(graph.conv2d(y, 8, 3, 1, 1), x)
    gate = graph.activation(graph.conv2d(graph.global_avg_pool(x), 8), "sigmoid")
    x = graph.mul(x, gate)
    x = graph.concat([graph.conv2d(x, 4), graph.conv2d(x, 2, 3, 1, 1)])
    graph.activation(x, "hardswish")

    def run(net, x):
        x = net.a(x)
        y = torch.relu(net.b(x))
        y = net.c(y)
        x = y + x
        del y
        gate = torch.sigmoid(net.d(F.adaptive_avg_pool2d(x, 1)))
        x = x * gate
        del gate
        x = torch.cat([net.e(x), net.f(x)], 1)
        return F.hardswish(x)

    def conv(i, o, k):
        return nn.Conv2d(i, o, k, 1, k // 2, bias=False)

    module = Net(
        run,
        a=conv(4, 8, 3),
        b=conv(8, 8, 3),
        c=conv(8, 8, 3),
        d=conv(8, 8, 1),
        e=conv(8, 4, 1),
        f=conv(8, 2, 3),
    )
    return graph, module, torch.randn(2, 4, 9, 9)


def transformer(fused=False):
    """Words to words with tied embeddings; attention with its scores, or in one operator."""
    batch, length, width, heads = 2, 12, 16, 2
    graph = af.Graph("transformer")
    words = graph.embedding(graph.input([batch, length]), 40, width, name="words")
    place = graph.constant([length, width], trainable=True, name="place")
    x = graph.element([words, place], "add")
    y = graph.norm(x, "layer", name="norm")
    q, k, v = (graph.linear(y, width, bias=True, name=n) for n in "qkv")
    split = [batch, heads, length, width // heads]
    q, k, v = (graph.part(t, split) for t in (q, k, v))
    if fused:  # its result lies in memory as the next layer reads it
        y = graph.attention(q, k, v)
    else:
        q, k, v = (graph.element([t], "contiguous") for t in (q, k, v))
        k = graph.part(k, [batch, heads, width // heads, length])
        y = graph.matmul(graph.softmax(graph.matmul(q, k)), v)
        y = graph.element([y], "contiguous")
    y = graph.linear(graph.view(y, [batch, length, width]), width, bias=True, name="out")
    x = graph.add(x, y)
    last = graph.linear(x, 40, name="last")
    graph.tie(last, words)

    def run(net, x):
        x = net.words(x)
        x = x + net.place
        y = net.norm(x)
        q, k, v = (
            f(y).view(batch, length, heads, -1).transpose(1, 2) for f in (net.q, net.k, net.v)
        )
        del y
        if fused:
            y = F.scaled_dot_product_attention(q, k, v)
            del q, k, v
        else:
            q = q.contiguous()
            k = k.contiguous()
            v = v.contiguous()
            y = torch.matmul(q, k.transpose(-1, -2))
            del q, k
            y = torch.softmax(y, -1)
            y = torch.matmul(y, v)
            del v
        y = y.transpose(1, 2).contiguous().view(batch, length, width)
        y = net.out(y)
        x = x + y
        del y
        return F.linear(x, net.words.weight)

    module = Net(
        run,
        words=nn.Embedding(40, width),
        norm=nn.LayerNorm(width),
        q=nn.Linear(width, width),
        k=nn.Linear(width, width),
        v=nn.Linear(width, width),
        out=nn.Linear(width, width),
    )
    module.place = nn.Parameter(torch.zeros(length, width))
    return graph, module, torch.randint(40, (batch, length))


NETWORKS = {
    "plain": plain,
    "residual": residual,
    "transformer": transformer,
    "fused attention": lambda: transformer(fused=True),
}

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.mark.parametrize("network", NETWORKS)
def test_inference_takes_what_torch_takes(network):
    graph, module, x = NETWORKS[network]()
    assert af.peak_memory(graph).total_bytes == peak_bytes(module, [x], train=False)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("passes", [1, 2])
def test_training_takes_what_torch_takes(network, passes):
    graph, module, x = NETWORKS[network]()
    training = af.Training("none", accumulate=passes, recompute_attention=True)
    found = af.peak_memory(graph, "eager", training)
    assert found.total_bytes == peak_bytes(module, [x], train=True, passes=passes)
    assert found.during == "input_gradient"


@pytest.mark.parametrize("frozen", [["first"], ["second"], ["first", "second", "up"], ["last"]])
def test_frozen_layers_take_what_torch_takes(frozen):
    graph, module, x = plain()
    for name in frozen:
        module.get_submodule(name).requires_grad_(False)
    found = af.peak_memory(graph, "eager", af.Training("none", frozen=frozen))
    assert found.total_bytes == peak_bytes(module, [x], train=True)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "densenet121"])
@pytest.mark.parametrize("train", [False, True])
def test_whole_networks_take_what_torch_takes(name, train):
    """Not all: a Python frame holds its arguments longer than they are read."""
    import networks  # noqa: PLC0415

    graph = af.zoo.build(name, batch=2)
    module = networks.NETWORKS[name]()
    for part in module.modules():
        if hasattr(part, "inplace"):
            part.inplace = False
    theirs = peak_bytes(module, [torch.randn(2, 3, 224, 224)], train=train)
    training = af.Training("none") if train else None
    found = af.peak_memory(graph, "eager", training).total_bytes
    assert (0.98 if train else 0.95) * theirs <= found <= theirs


def blocks(count=4, width=32, batch=64):
    graph = af.Graph("blocks")
    x = graph.input([batch, 8])
    x = graph.linear(x, width, name="stem")
    for i in range(count):
        y = graph.activation(graph.linear(x, 4 * width, name=f"{i}.up"), "gelu", f"{i}.gelu")
        y = graph.activation(graph.linear(y, width, name=f"{i}.down"), "tanh", f"{i}.tanh")
        x = graph.add(x, y, name=f"{i}.add")
    graph.linear(x, 4, name="head")
    return graph


class Blocks(nn.Module):
    def __init__(self, *, again, count=4, width=32):
        super().__init__()
        self.again = again
        self.stem = nn.Linear(8, width, bias=False)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Linear(width, 4 * width, bias=False),
                nn.GELU(),
                nn.Linear(4 * width, width, bias=False),
                nn.Tanh(),
            )
            for _ in range(count)
        )
        self.head = nn.Linear(width, 4, bias=False)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            if self.again:
                x = checkpoint(lambda x, block=block: x + block(x), x, use_reentrant=False)
            else:
                x = x + block(x)
        return self.head(x)


def test_checkpoints_take_about_what_torchs_do():
    graph, x = blocks(), torch.randn(64, 8)
    training = af.Training("none", checkpoint=["0", "1", "2", "3"])
    found = af.peak_memory(graph, "eager", training).total_bytes
    theirs = peak_bytes(Blocks(again=True), [x], train=True)
    assert found == pytest.approx(theirs, rel=0.03)
    all_kept = af.peak_memory(graph, "eager", af.Training("none")).total_bytes
    assert all_kept == pytest.approx(peak_bytes(Blocks(again=False), [x], train=True), rel=0.03)
    assert found < 0.75 * all_kept


def test_parts_by_hand():
    graph = af.Graph("hand")
    x = graph.input([5, 10], "x")
    y = graph.relu(graph.linear(x, 20, bias=True, name="a"))
    graph.linear(y, 3, name="b")
    found = af.peak_memory(graph)
    assert found.parameters_bytes == 4 * (220 + 60)
    assert found.activations_bytes == 4 * (50 + 100 + 100)  # x, a and relu
    assert (graph.node_op(found.node), found.during) == ("relu", "forward")
    assert af.peak_memory(graph, "fused").activations_bytes == 4 * (50 + 100 + 15)
    found = af.peak_memory(graph, "eager", af.Training("adam"))
    # x, relu's result, the last result, its gradient, and that of relu's result.
    assert found.activations_bytes <= 4 * (50 + 100 + 15 + 100 + 100)
    assert found.optimizer_state_bytes == 2 * found.parameters_bytes
    frozen = af.peak_memory(graph, "eager", af.Training("adam", frozen=["a"]))
    assert frozen.optimizer_state_bytes == 2 * 4 * 60
    half = af.peak_memory(graph.with_dtype("fp16"), "eager", af.Training("adam"))
    assert 2 * half.total_bytes == found.total_bytes


def test_views_take_nothing_and_tied_parameters_count_once():
    graph = af.Graph("views")
    x = graph.input([4, 8])
    y = graph.linear(x, 8, name="first")
    before = af.peak_memory(graph).total_bytes
    for _ in range(3):
        y = graph.part(graph.view(y, [2, 2, 8]), [4, 8])
    assert af.peak_memory(graph).total_bytes == before
    again = graph.linear(y, 8, name="second")
    apart = af.peak_memory(graph)
    graph.tie(again, graph.node_inputs(y)[0] - 1)
    tied = af.peak_memory(graph)
    assert apart.parameters_bytes - tied.parameters_bytes == 4 * 64


def test_a_name_that_is_no_layers():
    graph = blocks()
    for field in ("frozen", "checkpoint"):
        training = af.Training("none", **{field: ["layer9"]})
        with pytest.raises(errors.UnsupportedError, match=f"{field} 'layer9'"):
            af.peak_memory(graph, "eager", training)
