"""from_torch: values of integers and masks that come with elements, and what takes them."""

import numpy as np
import pytest

import alphaflops as af
from alphaflops import errors

torch = pytest.importorskip("torch", reason="the extra alphaflops[torch] is not installed")
from torch import nn  # noqa: E402
from torch_traces import Function, ops  # noqa: E402

IDS = torch.tensor([[5, 7, 0, 0], [3, 0, 0, 0]])
TABLE = torch.ones(4, 6)


def traced(function, *inputs):
    """Return the graph of a function, and the shape of what it returns."""
    made = []
    graph = af.from_torch(Function(lambda *x: made.append(function(*x))), inputs)
    return graph, made[0] if not isinstance(made[0], torch.Tensor) else tuple(made[0].shape)


def written(ids):
    mask = ids.clone()
    mask[:, 0] = 0
    mask[0].fill_(9)
    return mask.sum().item()


def assigned(ids):
    row = ids[0].clone()
    row[torch.tensor(2)] = ids.max()
    return row.tolist()


def started(ids):
    """A tensor of the forward's own, which the input is written to."""
    own = torch.zeros(2, 6, dtype=torch.long)
    own[:, 1:5] = ids
    return own.tolist()


# A function of token numbers, and its result, or the shape of that.
CASES = {
    "contains": (lambda x: (0 in x, 4 in x), (True, False)),
    "branch": (lambda x: "padded" if (x == 0).any() else "full", "padded"),
    "item": (lambda x: (x > 0).sum(1).max().item(), 2),
    "tolist": (lambda x: x[1, :2].tolist(), [3, 0]),
    "with constants": (lambda x: int((x + torch.arange(4)).max()), 8),
    "view, then write": (written, 36),
    "own tensor": (started, [[0, 5, 7, 0, 0, 0], [0, 3, 0, 0, 0, 0]]),
    "equal": (lambda x: torch.equal(x, x.clone()), True),
    "size": (lambda x: x.new_zeros(2, int(x.max())), (2, 7)),
    "size in a view": (lambda x: x.view(torch.tensor(4), x.max() - 5), (4, 2)),
    "slice": (lambda x: x[:, : (x > 0).sum(1).max()], (2, 2)),
    "place": (lambda x: x[:, x.argmax() // 4 + 1], (2,)),
    "assigned": (assigned, [5, 7, 7, 0]),
    "shapes of others": (lambda x: torch.broadcast_tensors(x, x.sum())[1], (2, 4)),
    "factory": (lambda x: torch.zeros(x.max(), 3), (7, 3)),
    "mask": (lambda x: x[x > 0], (3,)),
    "mask of another": (lambda x: torch.ones(2, 4, 5)[x > 0], (3, 5)),
    "mask of an axis": (lambda x: x[:, x[0] > 0], (2, 2)),
    "nonzero": (lambda x: x.nonzero(), (3, 2)),
    "where": (lambda x: torch.where(x > 0)[0], (3,)),
    "unique": (torch.unique, (4,)),
    "nothing": (lambda x: x[x > 99], (0,)),
}


@pytest.mark.parametrize("name", CASES)
def test_values_decide(name):
    function, expected = CASES[name]
    before = IDS.clone()
    graph, made = traced(function, IDS)
    assert made == expected
    real = function(IDS.clone())
    assert made == (tuple(real.shape) if isinstance(real, torch.Tensor) else real)
    assert torch.equal(IDS, before)
    assert "unknown" not in ops(graph)


def test_what_is_followed_is_counted_all_the_same():
    def forward(ids):
        mask = (ids > 0) & (ids < 9)
        return 1.0 - mask.float()

    graphs = [traced(forward, x)[0] for x in (IDS, IDS.to("meta"))]
    assert ops(graphs[0]) == ops(graphs[1]) == ["compare", "compare", "logical", "cast", "sub"]


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"shapes of others"}))
def test_without_elements_it_is_an_error(name):
    function, _ = CASES[name]
    with pytest.raises(errors.ModelError, match=r"with (its|their) elements"):
        traced(function, IDS.to("meta"))


def test_values_that_are_not_known_any_more():
    def forward(ids, x):
        first = ids[0]
        ids[0, 1] = x.argmax()
        return int(ids[1, 0]), first.sum().item()

    with pytest.raises(errors.ModelError, match="reads the values"):
        traced(forward, IDS.clone(), torch.ones(4))


def test_real_numbers_have_no_values():
    with pytest.raises(errors.ModelError, match="reads the values"):
        traced(lambda x: bool(x.sum() > 0), torch.ones(4))


def test_a_batch_of_more_repeats_integers(tmp_path, monkeypatch):
    (tmp_path / "padded.py").write_text(
        "import torch\n"
        "class Padded(torch.nn.Module):\n"
        "    def forward(self, ids):\n"
        "        assert 0 in ids and ids.max().item() == 7\n"
        "        return ids + 1\n"
        "def build():\n"
        "    return Padded(), (torch.tensor([[5, 7], [0, 1]]),)\n"
    )
    monkeypatch.chdir(tmp_path)
    graph = af.load("padded:build", batch=5)
    assert graph.shape(0) == (5, 2)


def test_masks_made_by_vmap():
    def forward(x):
        rows = torch.arange(4)
        below = torch.vmap(torch.vmap(lambda i, j: i >= j, (None, 0)), (0, None))(rows, rows)
        return x.masked_fill(below, 0.0)

    graph, shape = traced(forward, torch.empty(2, 4, 4))
    assert shape == (2, 4, 4)
    assert ops(graph) == ["masked_fill"]


@pytest.mark.parametrize(("rows", "products"), [(16, 1), (18, 2), (3, 1), (5, 2), (1, 1)])
def test_experts_take_all_rows(rows, products):
    experts, depth, columns = 4, 6, 10

    class Experts(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.empty(experts, depth, columns))

        def forward(self, x, ends):
            return nn.functional.grouped_mm(x, self.weight, offs=ends)

    inputs = (torch.empty(rows, depth), torch.empty(experts, dtype=torch.int32))
    graph = af.from_torch(Experts(), inputs, strict=True)
    work = af.lower(graph, "eager")
    assert work.macs.sum() == rows * depth * columns
    assert work.params.sum() == experts * depth * columns
    assert np.count_nonzero(work.macs) == products
    taken = min(rows, experts)
    assert work.weights_read[work.macs > 0].sum() == taken * depth * columns
    assert graph.shape(len(graph) - 1) == (rows, columns)
    with pytest.raises(errors.ModelError, match="the experts take 6 features"):
        af.from_torch(Experts(), (torch.empty(rows, 5), inputs[1]))


def test_sums_with_products_by_any_name():
    def forward(x):
        y = torch.baddbmm(x, batch1=x, batch2=x, beta=1.0, alpha=0.5)
        z = torch.addmv(y[0, 0], mat=y[0], vec=y[0, 0])
        return torch.baddbmm(y, y, y, beta=0) + z

    graph, shape = traced(forward, torch.empty(3, 4, 4))
    assert shape == (3, 4, 4)
    assert ops(graph) == ["matmul", "add", "matmul", "add", "matmul", "add"]
    assert af.lower(graph, "eager").macs.sum() == 3 * 64 + 16 + 3 * 64


def test_copies_of_nothing_and_layers_of_nothing():
    def forward(x):
        y = torch.empty_like(x)
        y[..., 4:].copy_(x[..., 4:])
        empty = nn.functional.linear(x[:0], TABLE.T)
        return torch.nn.init.zeros_(tensor=y) + x, empty

    graph, (made, empty) = traced(forward, torch.empty(2, 4))
    assert tuple(made.shape) == (2, 4)
    assert tuple(empty.shape) == (0, 6)
    assert ops(graph)[-1] == "add"


@pytest.mark.parametrize("kernel", [9, 10, 12, 13])
def test_a_window_beyond_the_input(kernel):
    pool = nn.AvgPool2d(kernel, 4, ceil_mode=True)
    x = torch.empty(2, 3, 9, 9)
    try:
        expected = tuple(pool(x).shape)
    except RuntimeError:
        with pytest.raises(errors.ModelError, match="the kernel spans"):
            af.from_torch(pool, x)
        return
    graph = af.from_torch(pool, x)
    assert graph.shape(len(graph) - 1) == expected == (2, 3, 1, 1)
    assert af.lower(graph, "eager").flops.sum() == 2 * 3 * 81


class Buffers(nn.Module):
    """Calls a function with a buffer of ones."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.register_buffer("buffer", torch.ones(4))
        self.norm = nn.BatchNorm1d(4, affine=False)

    def forward(self, *inputs):
        return self.function(self, *inputs)


@pytest.mark.parametrize(
    "function",
    [
        lambda m, ids: m.buffer[ids[0, 2]].mul_(0.5),
        lambda m, ids: m.buffer.expand_as(ids).type_as(m.buffer).mul_(ids),
        lambda m, ids: m.buffer.to(ids).fill_(7),
        lambda m, ids: m.norm(ids.float()),
    ],
)
def test_tensors_of_the_module_are_not_written(function):
    module = Buffers(function)
    af.from_torch(module, (IDS,))
    assert module.buffer.tolist() == [1.0] * 4
    assert module.norm.running_mean.tolist() == [0.0] * 4


def test_what_was_forgotten_stays_so():
    def forward(ids, x):
        own = torch.zeros(2, 4, dtype=torch.long)
        own[0] = (x * 10).long()
        own[1] = ids[0]
        return own.sum(1).tolist()

    with pytest.raises(errors.ModelError, match="reads the values"):
        traced(forward, IDS, torch.ones(4))


@pytest.mark.parametrize(
    "draw", [lambda m: m.uniform_(5, 6), lambda m: nn.functional.dropout(m, 1.0, True, True)]
)
def test_random_numbers_are_not_known(draw):
    def forward(ids):
        mask = (ids > 0).float()
        draw(mask)
        return mask.sum().item()

    with pytest.raises(errors.ModelError, match="reads the values"):
        traced(forward, IDS)


def test_arguments_by_name_and_outputs_that_are_given():
    def forward(ids, x):
        last = ids.max()
        torch.zeros_like(input=last)
        torch.unsqueeze(input=last, dim=0)
        torch.atleast_1d(ids, last)
        values, indices = torch.empty_like(x), torch.empty(x.shape, dtype=torch.long)
        torch.sort(x, 1, out=(values, indices))
        return nn.functional.dropout(ids.float(), 0.5, False).sum().item()

    assert traced(forward, IDS, torch.ones(2, 4))[1] == 15.0


@pytest.mark.parametrize("limit", [0, 99])
def test_a_mask_of_one_element(limit):
    x = torch.ones(3, 4)
    expected = x[(limit < IDS).any()]
    assert traced(lambda ids: x[(ids > limit).any()], IDS)[1] == tuple(expected.shape)


def test_a_batch_of_images_is_not_made(tmp_path, monkeypatch):
    (tmp_path / "wide.py").write_text(
        "import torch\n"
        "def build():\n"
        "    return torch.nn.Flatten(), (torch.zeros(1, 3, 224, 224),)\n"
    )
    monkeypatch.chdir(tmp_path)
    assert af.load("wide:build", batch=1 << 20).shape(0)[0] == 1 << 20  # 600 GB


def test_what_a_random_function_only_reads_stays_known():
    def forward(ids):
        mask = (ids > 0).float()
        torch.bernoulli(mask)
        nn.functional.dropout(mask, 0.1, True)
        return mask.sum().item()

    assert traced(forward, IDS)[1] == float((IDS > 0).sum())


def test_views_of_what_was_written_are_forgotten_too():
    def forward(ids, x):
        own = torch.zeros(2, 4, dtype=torch.long)
        row = own[0]
        own[0] = (x * 10).long()
        return row.sum().tolist()

    with pytest.raises(errors.ModelError, match="values"):
        traced(forward, IDS, torch.ones(4))

    def random(ids):
        own = torch.zeros(4)
        half = own[:2]
        own.uniform_()
        return int(half.sum())

    with pytest.raises(errors.ModelError, match="values"):
        traced(random, IDS)
