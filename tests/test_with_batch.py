"""Graphs at another batch: as they are made at that batch, row by row, or a clear error."""

import pytest
from work_rows import rows_of

import alphaflops as af
from alphaflops import errors

FROM_TO = [(1, 3), (2, 3), (3, 2), (2, 1)]


def contents(graph):
    """The rows of inference and of training, and the memory of both."""
    steps = (None, af.Training("adam"))
    rows = [rows_of(graph, "eager", step) for step in steps]
    return rows, [af.peak_memory(graph, "eager", step).total_bytes for step in steps]


@pytest.mark.parametrize("name", af.zoo.names())
def test_zoo(name):
    assert contents(af.zoo.build(name, 2).with_batch(3)) == contents(af.zoo.build(name, 3))


def traced(make, *shapes):
    torch = pytest.importorskip("torch", reason="the extra alphaflops[torch] is not installed")
    torch_models = pytest.importorskip("torch_models", reason="the networks are torch modules")
    inputs = tuple(torch.empty(shape, device="meta") for shape in shapes)
    return af.from_torch(torch_models.on_meta(lambda: make(torch, torch_models)), inputs)


@pytest.mark.parametrize(("before", "after"), FROM_TO)
@pytest.mark.parametrize("how", ["sdpa", "matmul", "module"])
def test_class_token_of_a_traced_vit(how, before, after):
    def made(batch):
        return traced(lambda _, models: models.ViT(how, 32, 4, 2), (batch, 3, 224, 224))

    assert contents(made(before).with_batch(after)) == contents(made(after))


@pytest.mark.parametrize(("before", "after"), FROM_TO)
def test_class_token_by_hand(before, after):
    def made(batch):
        graph = af.Graph("tokens")
        x = graph.input([batch, 5, 8], "x")
        token = graph.constant([1, 1, 8], True, "token")
        if batch > 1:
            token = graph.part(token, [batch, 1, 8])
        x = graph.concat([token, x], "join", 1)
        position = graph.constant([1, 6, 8], True, "position")
        x = graph.add(x, position) if batch == 1 else graph.element([x, position], "add")
        graph.linear(x, 4)
        return graph

    assert contents(made(before).with_batch(after)) == contents(made(after))


def latents(torch, *, repeat, how):
    """Queries that are parameters, projected behind their repetition over the batch."""

    class Latents(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.queries = torch.nn.Parameter(torch.zeros(1, 7, 16))
            self.norm, self.linear = torch.nn.LayerNorm(16), torch.nn.Linear(16, 16)

        def forward(self, x):
            n = x.shape[0]
            q = self.queries.repeat(n, 1, 1) if repeat else self.queries.expand(n, -1, -1)
            q = self.linear(self.norm(q))
            if how == "matmul":
                return (q @ x.mT).softmax(-1) @ x
            q, x = (q[:, None], x[:, None]) if how == "fused" else (q, x)
            return torch.nn.functional.scaled_dot_product_attention(q, x, x)

    return Latents()


@pytest.mark.parametrize("how", ["fused", "in steps", "matmul"])
@pytest.mark.parametrize("repeat", [False, True])
def test_layers_behind_a_repetition(repeat, how):
    def made(batch):
        return traced(lambda torch, _: latents(torch, repeat=repeat, how=how), (batch, 9, 16))

    assert contents(made(2).with_batch(5)) == contents(made(5))
    # At a batch of 1 the layers may run before the repetition or behind it.
    with pytest.raises(errors.ShapeError, match=r"' has the batch is not known.*at batch 5"):
        made(1).with_batch(5)


def test_a_mask_has_the_batch_and_a_parameter_may():
    graph = af.Graph("masks")
    x = graph.input([4, 2, 8], "x")
    mask = graph.constant([4, 2, 1], name="mask")
    graph.element([x, mask], "add")
    bias = graph.constant([2, 8], True, "bias")  # of no batch, though as many
    graph.element([x, bias], "add")
    again = graph.with_batch(3)
    assert [again.shape(i) for i in (x, mask, bias)] == [(3, 2, 8), (3, 2, 1), (2, 8)]
    one_each = graph.constant([4, 2, 8], True, "one_each")
    graph.element([x, one_each], "mul", name="product")
    message = "product: whether 'one_each' has the batch is not known.*make the graph at batch 3"
    with pytest.raises(errors.ShapeError, match=message):
        graph.with_batch(3)


def test_the_batch_behind_another_axis():
    graph = af.Graph("heads")
    x = graph.input([2, 5, 12], "x")
    split = graph.part(x, [3, 2, 5, 4], "split")
    copied = graph.element([split], "contiguous")
    again = graph.with_batch(7)
    assert again.shape(split) == again.shape(copied) == (3, 7, 5, 4)
    graph.unknown([x], "Transpose", [3, 2, 20], "odd")
    with pytest.raises(errors.ShapeError, match=r"odd: .* no multiple of the batch 2"):
        graph.with_batch(7)


def test_nodes_keep_their_ties_and_names():
    graph = af.Graph("tied")
    x = graph.concat([graph.constant([1, 1, 8], True, "token"), graph.input([1, 5, 8], "x")])
    first = graph.linear(x, 8, name="first")
    graph.tie(graph.linear(first, 8, name="second"), first)
    again = graph.with_batch(2)
    names = [again.node_name(i) for i in range(len(again))]
    assert names == ["token", "x", "token.repeated", "concat_2", "first", "second"]
    assert again.tied_to(5) == 4
    assert af.lower(again).params.sum() == 8 + 64
