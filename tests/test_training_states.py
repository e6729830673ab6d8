"""The gradient of the state that a recurrence starts from, where something before it made it."""

import numpy as np
import pytest
from training_steps import image, step

import alphaflops as af
from alphaflops import errors

GATES = {"rnn": 1, "lstm": 4, "gru": 3}


def states_of(graph, cell, shape, projection=0):
    *axes, hidden = shape
    sizes = [projection or hidden, hidden][: 2 if cell == "lstm" else 1]
    return [graph.input([*axes, size]) for size in sizes]


@pytest.mark.parametrize("cell", GATES)
def test_a_state_that_needs_a_gradient(cell):
    """One product of all gates with the recurrent weights, for the first step."""
    batch, length, features, hidden = 2, 7, 5, 6
    graph = af.Graph("states")
    given = states_of(graph, cell, (1, batch, hidden))
    made = [graph.norm(state, "rms") for state in given]
    x = graph.input([batch, length, features])
    macs, reads, written = [], [], []
    for states in ([], given, made):
        y = graph.recurrent(x, cell, hidden, states=states)
        work = step(graph)
        at = np.flatnonzero((work.node == y) & (work.passes == 1))
        macs.append(int(work.macs[at].sum()))
        reads.append(int(work.activations_read[work.node == y][0]))
        written.append(int(work.elements_written[at].sum()))
    product = batch * GATES[cell] * hidden * hidden
    assert macs == [(length - 1) * product, (length - 1) * product, length * product]
    sizes = len(given) * batch * hidden
    assert reads == [batch * length * features + more for more in (0, sizes, sizes)]
    gates = batch * length * GATES[cell] * hidden
    assert written == [gates, gates, gates + sizes]


@pytest.mark.parametrize("cell", GATES)
def test_of_frozen_recurrences_only_the_states_get_one(cell):
    graph = af.Graph("states")
    states = [graph.norm(s, "rms") for s in states_of(graph, cell, (1, 2, 6))]
    y = graph.recurrent(graph.input([2, 7, 5]), cell, 6, name="cell", states=states)
    work = step(graph, frozen=["cell"])
    assert work.passes[work.node == y].tolist() == [0, 1]
    assert work.macs[work.node == y][1] == 7 * 2 * GATES[cell] * 6 * 6


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_layers_with_states_against_torchs_counter(cell, bidirectional):
    torch = pytest.importorskip("torch", reason="the oracle is torch")
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415

    count = 2 * (1 + bidirectional)
    for projection in (0, 3) if cell == "lstm" else (0,):
        graph, x = image((2, 7, 5))
        states = [graph.norm(s, "rms") for s in states_of(graph, cell, (count, 2, 6), projection)]
        y = graph.recurrent(x, cell, 6, 2, bidirectional, True, projection, states=states)
        work = step(graph)
        options = {"proj_size": projection} if projection else {}
        module = getattr(torch.nn, cell.upper())(
            5, 6, 2, batch_first=True, bidirectional=bidirectional, **options
        )
        data = torch.randn(2, 7, 5, requires_grad=True)
        given = [torch.randn(graph.shape(s), requires_grad=True) for s in states]
        counter = FlopCounterMode(display=False)
        with torch.backends.mkldnn.flags(enabled=False), counter:
            module(data, tuple(given) if cell == "lstm" else given[0])[0].sum().backward()
        assert 2 * int(work.macs[work.node == y].sum()) == counter.get_total_flops()


def unrolled(kind):
    torch = pytest.importorskip("torch", reason="the networks are torch's")

    class Unrolled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = getattr(torch.nn, kind)(8, 16)

        def forward(self, x):
            state = None
            for token in x.unbind(1):
                state = self.cell(token, state)
            return state[0] if isinstance(state, tuple) else state

    return Unrolled(), torch.randn(2, 5, 8)


def from_a_layer():
    torch = pytest.importorskip("torch", reason="the networks are torch's")

    class FromALayer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.layer = torch.nn.GRUCell(8, 16), torch.nn.Linear(4, 16)

        def forward(self, z):
            return self.cell(torch.zeros(z.shape[0], 8), self.layer(z))

    return FromALayer(), torch.randn(2, 4)


# Forward and weights' gradients 2 · 5 steps of 2 · gates · 16 · (8 + 16), and the gradients of the
# states between the steps 4 · 2 · gates · 16 · 16.
@pytest.mark.parametrize(
    ("build", "macs"),
    [
        (lambda: unrolled("RNNCell"), 7680 + 2048),
        (lambda: unrolled("GRUCell"), 23040 + 6144),
        (lambda: unrolled("LSTMCell"), 30720 + 8192),
        # 2 · 2304 of the cell, 2 · 128 of the layer behind it, 1536 of the state.
        (from_a_layer, 4608 + 256 + 1536),
    ],
)
def test_cells_that_torch_unrolls(build, macs):
    module, x = build()
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415

    counter = FlopCounterMode(display=False)
    with counter:
        module(x).sum().backward()
    graph = af.from_torch(module, (x,))
    assert [int(step(graph).macs.sum()), counter.get_total_flops()] == [macs, 2 * macs]
    assert int(step(graph.with_batch(6)).macs.sum()) == 3 * macs


def test_learned_states_have_the_batch_where_they_are_repeated():
    torch = pytest.importorskip("torch", reason="the network is torch's")

    class Learned(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = torch.nn.GRUCell(8, 16)
            self.state = torch.nn.Parameter(torch.zeros(1, 16))

        def forward(self, x):
            return self.cell(x, self.state.expand(x.shape[0], -1))

    for batch in (1, 2):
        graph = af.from_torch(Learned(), (torch.empty(batch, 8),))
        assert af.lower(graph).params.sum() == 3 * 16 * (8 + 16 + 2) + 16
        work = step(graph.with_batch(6))
        assert int(work.macs.sum()) == 6 * 3 * 16 * (2 * (8 + 16) + 16)


def half_given(batch):
    """An LSTM of which the input makes one state, and the other is constant."""
    torch = pytest.importorskip("torch", reason="the network is torch's")

    class HalfGiven(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.lstm = torch.nn.Linear(4, 6), torch.nn.LSTM(4, 6, batch_first=True)

        def forward(self, x):
            return self.lstm(x, (self.first(x[:, 0])[None], torch.zeros(1, x.shape[0], 6)))[0]

    return af.from_torch(HalfGiven(), torch.empty(batch, 5, 4))


@pytest.mark.parametrize("before", [1, 2])
def test_a_constant_state_beside_another_has_the_batch(before):
    again, made = half_given(before).with_batch(8), half_given(8)
    assert step(again).macs.tolist() == step(made).macs.tolist()
    assert step(again).activations_read.tolist() == step(made).activations_read.tolist()


def test_a_constant_state_of_a_file_has_the_batch(tmp_path):
    onnx = pytest.importorskip("onnx", reason="the extra alphaflops[onnx] is not installed")
    from onnx_models import model_of, node, saved  # noqa: PLC0415

    value = onnx.numpy_helper.from_array(np.zeros((1, 2, 6), np.float32))
    zeros = onnx.helper.make_node("Constant", [], ["c"], value=value)
    layer = node("LSTM", *"xwr", "", "", "h", "c", hidden_size=6, layout=1)
    weights = {"w": (1, 24, 4), "r": (1, 24, 6)}
    model = model_of([zeros, layer], weights, (2, 5, 4), h=(2, 1, 6))
    graph = af.load(saved(tmp_path, model)).with_batch(8)
    assert graph.shape(len(graph) - 1) == (8, 5, 1, 6)


def test_a_state_of_unknown_batch_is_an_error():
    graph = af.Graph("g")
    state = graph.constant([2, 2, 4], True, "learned")
    graph.recurrent(graph.input([2, 3, 5]), "gru", 4, 2, states=[state])
    with pytest.raises(errors.ShapeError, match="'learned' has the batch is not known"):
        graph.with_batch(3)


def test_states_that_no_recurrence_has():
    graph = af.Graph("g")
    x, state = graph.input([2, 3, 5]), graph.input([1, 2, 4])
    with pytest.raises(errors.ShapeError, match="2 states before the first step; 1 or none"):
        graph.recurrent(x, "gru", 4, states=[state, state])
    with pytest.raises(errors.ShapeError, match=r"has shape \[1, 2, 4\]; 16 elements are needed"):
        graph.recurrent(x, "gru", 4, 2, states=[state])


@pytest.mark.parametrize("cell", GATES)
def test_states_in_graph_files(cell, tmp_path):
    graph = af.Graph("g")
    states = states_of(graph, cell, (2, 3, 4))
    graph.recurrent(graph.input([3, 7, 5]), cell, 4, 2, states=states)
    af.save_graph(graph, tmp_path / "g.json")
    again = af.load(tmp_path / "g.json")
    assert again.node_inputs(len(again) - 1) == graph.node_inputs(len(graph) - 1)
