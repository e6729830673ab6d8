"""`causal=True`: of attention that says it is causal, only the scores that its mask leaves."""

import warnings

import pytest

import alphaflops as af
from alphaflops import errors

HEADS, DEPTH = 3, 8


def left(length, kv_length, offset=0):
    """Scores of a causal mask, one by one; query i is at place `offset` + i."""
    return sum(key <= query + offset for query in range(length) for key in range(kv_length))


def macs_of(graph):
    return af.lower(graph).macs.sum()


# No query sees nothing, so with fewer keys than queries the later ones see all: not cut.
LENGTHS = [(7, 7, left(7, 7)), (4, 7, left(4, 7)), (7, 4, 7 * 4), (1, 5, 1)]


@pytest.mark.parametrize(("length", "kv_length", "scores"), LENGTHS)
@pytest.mark.parametrize("causal", [False, True])
def test_scaled_dot_product_attention(length, kv_length, scores, causal):
    torch = pytest.importorskip("torch", reason="the extra alphaflops[torch] is not installed")

    class Attends(torch.nn.Module):
        def forward(self, q, k):
            return torch.nn.functional.scaled_dot_product_attention(q, k, k, is_causal=True)

    q = torch.empty(2, HEADS, length, DEPTH, device="meta")
    k = torch.empty(2, HEADS, kv_length, DEPTH, device="meta")
    graph = af.from_torch(Attends(), (q, k), causal=causal)
    counted = scores if causal else length * kv_length
    assert macs_of(graph) == 2 * HEADS * counted * 2 * DEPTH
    assert graph.shape(len(graph) - 1) == (2, HEADS, length, DEPTH)
    if causal and kv_length > length:  # later keys are not read
        assert af.lower(graph).weights_read[-1] == 2 * 2 * HEADS * length * DEPTH


@pytest.mark.parametrize("weights", [False, True])
def test_multihead_attention(weights):
    torch = pytest.importorskip("torch", reason="the extra alphaflops[torch] is not installed")
    module = torch.nn.MultiheadAttention(24, HEADS, batch_first=True).eval()
    x = torch.empty(2, 6, 24, device="meta")
    mask = torch.nn.Transformer.generate_square_subsequent_mask(6)
    options = {"attn_mask": mask, "is_causal": True, "need_weights": weights}
    all_of_it, cut = (
        af.from_torch(module.to("meta"), (x, x, x), options, causal=causal)
        for causal in (False, True)
    )
    # With the weights it is two products of matrices and a mask that is added, by torch too.
    saved = 0 if weights else 2 * HEADS * (36 - left(6, 6)) * 2 * DEPTH
    assert macs_of(all_of_it) - macs_of(cut) == saved
    nodes = range(len(all_of_it))
    masked = [i for i in nodes if all_of_it.node_op(i) in ("attention", "add")]
    assert [len(all_of_it.node_inputs(i)) for i in masked] == ([2] if weights else [3])


@pytest.mark.parametrize("decomposed", [False, True])
def test_exported_programs(decomposed):
    torch = pytest.importorskip("torch", reason="the extra alphaflops[torch] is not installed")
    torch_models = pytest.importorskip("torch_models", reason="the module is torch's")
    module = torch_models.GPT(50, 16, 24, HEADS, 1).eval()
    program = torch.export.export(module, (torch.zeros(2, 16, dtype=torch.long),))
    if decomposed:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch's own
            program = program.run_decompositions()
    saved = macs_of(af.from_torch(program)) - macs_of(af.from_torch(program, causal=True))
    # Decomposed it is two products of matrices and a mask that is added: all of them counts.
    cut = 0 if decomposed else 16 * 16 - left(16, 16)
    assert saved == 2 * HEADS * cut * 2 * DEPTH


def test_a_mask_without_the_word_counts_whole():
    torch = pytest.importorskip("torch", reason="the extra alphaflops[torch] is not installed")

    class Masked(torch.nn.Module):
        def forward(self, q):
            mask = torch.ones(6, 6, dtype=torch.bool).tril()
            return torch.nn.functional.scaled_dot_product_attention(q, q, q, mask)

    graph = af.from_torch(Masked(), torch.empty(2, HEADS, 6, DEPTH, device="meta"), causal=True)
    assert macs_of(graph) == 2 * HEADS * 36 * 2 * DEPTH


def test_gpt2_of_the_zoo_and_traced():
    torch = pytest.importorskip("torch", reason="the extra alphaflops[torch] is not installed")
    torch_models = pytest.importorskip("torch_models", reason="the module is torch's")
    work_rows = pytest.importorskip("work_rows")
    tokens = torch.zeros(1, 1024, dtype=torch.long, device="meta")
    traced = af.from_torch(torch_models.on_meta(torch_models.GPT), tokens, causal=True)
    built = af.zoo.build("gpt2", causal=True)
    assert work_rows.rows_of(traced) == work_rows.rows_of(built)
    saved = 12 * 12 * (1024**2 - left(1024, 1024)) * 2 * 64
    assert macs_of(af.load("gpt2")) - macs_of(af.load("gpt2", causal=True)) == saved
    assert macs_of(af.load("bert_base", causal=True)) == macs_of(af.load("bert_base"))


CAUSAL = {"is_causal": 1}
ONE_WAY = {"unidirectional": 1}
PAST = {"pk": (2, HEADS, 5, DEPTH), "pv": (2, HEADS, 5, DEPTH)}
HEADED = (2, HEADS, 6, DEPTH)
FLAT = (2, 6, HEADS * DEPTH)
COUNTS = {"num_heads": HEADS, "kv_num_heads": HEADS}


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "shape", "others", "scores"),
    [
        ("Attention", "x x x", CAUSAL, HEADED, {}, left(6, 6)),
        ("Attention", "x x x", {}, HEADED, {}, 36),
        ("Attention", "x k k", CAUSAL, HEADED, {"k": (2, HEADS, 9, DEPTH)}, left(6, 9)),
        ("Attention", "x x x  pk pv", CAUSAL, HEADED, PAST, left(6, 11, 5)),
        ("MultiHeadAttention", "x x x", {"num_heads": HEADS} | ONE_WAY, FLAT, {}, left(6, 6)),
        ("MultiHeadAttention", "x x x", {"num_heads": HEADS}, FLAT, {}, 36),
        ("GroupQueryAttention", "x x x", COUNTS, FLAT, {}, left(6, 6)),
        ("GroupQueryAttention", "x x x pk pv", COUNTS, FLAT, PAST, left(6, 11, 5)),
    ],
)
def test_onnx(*, tmp_path, op, inputs, attributes, shape, others, scores):
    onnx_models = pytest.importorskip("onnx_models", reason="the extra alphaflops[onnx] is missing")
    outputs = ["y", "keys", "values"] if others.get("pk") else ["y"]
    layer = onnx_models.node(op, *inputs.split(" "), outputs=outputs, **attributes)
    layer.domain = "" if op == "Attention" else "com.microsoft"
    model = onnx_models.model_of([layer], None, shape, 23, outputs, **others)
    path = onnx_models.saved(tmp_path, model)
    assert macs_of(af.load(path, strict=True, causal=True)) == 2 * HEADS * scores * 2 * DEPTH
    kv_length = {"k": 9, "pk": 11}.get(next(iter(others), ""), 6)
    assert macs_of(af.load(path, strict=True)) == 2 * HEADS * 6 * kv_length * 2 * DEPTH


def test_an_attention_with_a_packed_projection(tmp_path):
    onnx_models = pytest.importorskip("onnx_models", reason="the extra alphaflops[onnx] is missing")
    layer = onnx_models.node("Attention", "x", "w", num_heads=2, unidirectional=1)
    layer.domain = "com.microsoft"
    path = onnx_models.saved(tmp_path, onnx_models.model_of([layer], {"w": (8, 24)}, (3, 5, 8)))
    saved = macs_of(af.load(path)) - macs_of(af.load(path, causal=True))
    assert saved == 3 * 2 * (25 - left(5, 5)) * 2 * 4


def test_a_graph_file_keeps_what_it_was_made_with(tmp_path):
    graph = af.zoo.build("gpt2", causal=True)
    af.save_graph(graph, tmp_path / "gpt2.json")
    assert macs_of(af.load(tmp_path / "gpt2.json")) == macs_of(graph)
    with pytest.raises(errors.ModelError, match="save it anew"):
        af.load(tmp_path / "gpt2.json", causal=True)
