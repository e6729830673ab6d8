"""The zoo against torchvision and transformers: parameters, MACs, traces, and layer by layer.

MACs are those of torch's own counter, with attention as products of matrices, which it counts.
Nothing is computed: modules are on the meta device.
"""

import pytest
from work_rows import products

import alphaflops as af

torch = pytest.importorskip("torch", reason="the oracle is a torch module")
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

SEQUENCES = {"bert_base", "gpt2", "t5_small"}
VISION = sorted(
    set(af.zoo.names()) - SEQUENCES - {"darknet53", "lstm", "mlp", "unet"},
)
# Modules whose output has the shape and the name of a layer of the zoo.
LAYERS = ("Conv2d", "Conv1D", "Linear", "BatchNorm2d", "LayerNorm", "Embedding", "T5LayerNorm")


def transformer(name):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    if name == "bert_base":
        return transformers.BertModel(transformers.BertConfig())
    if name == "gpt2":
        return transformers.GPT2LMHeadModel(transformers.GPT2Config())
    config = transformers.T5Config(
        d_model=512, d_kv=64, d_ff=2048, num_layers=6, num_heads=8, tie_word_embeddings=True
    )
    return transformers.T5ForConditionalGeneration(config)


def vision(name):
    torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed")
    return getattr(torchvision.models, name)(weights=None)


def run(network, inputs):
    """Return MACs and the output shape of every layer that is called."""
    shapes, found = {}, []
    for path, module in network.named_modules():
        if type(module).__name__ in LAYERS:
            found.append(
                module.register_forward_hook(
                    lambda _, __, out, path=path: shapes.update({path: tuple(out.shape)})
                )
            )
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        network(**inputs)
    return counter.get_total_flops() // 2, shapes


# 230 pixels: extents that are odd, and that no window divides; these two take multiples only.
CASES = [(name, batch, None) for name in [*VISION, *sorted(SEQUENCES)] for batch in (1, 2)]
CASES += [(name, 1, 230) for name in VISION if name not in {"vgg16", "vit_b_16"}]


@pytest.mark.parametrize(("name", "batch", "image_size"), CASES)
def test_network_is_its_librarys(name, batch, image_size):
    graph = af.zoo.build(name, batch, image_size)
    # RegNet computes its widths with tensors.
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        network = (transformer(name) if name in SEQUENCES else vision(name)).eval()
    network.to("meta")
    with torch.device("meta"):
        shape = graph.shape(0)
        if name in SEQUENCES:
            tokens = torch.zeros(shape, dtype=torch.long)
            inputs = {"input_ids": tokens}
            if name == "t5_small":
                inputs["decoder_input_ids"] = tokens
        else:
            forward = network.forward.__code__.co_varnames[1]
            inputs = {forward: torch.empty(shape)}
    macs, shapes = run(network, inputs)
    traced = af.from_torch(network, (), inputs, strict=True)
    assert products(traced) == products(graph)
    assert af.lower(traced).params.sum() == af.lower(graph).params.sum()
    work = af.lower(graph, "eager")
    assert work.params.sum() == sum(p.numel() for p in network.parameters())
    assert work.macs.sum() == macs
    built = {graph.node_name(i): graph.shape(i) for i in range(len(graph))}
    assert len(shapes) >= 16
    for path, expected in shapes.items():
        # Tables of positions and of biases are looked up once for all sequences.
        if "position" in path or "relative" in path or path.endswith("wpe"):
            assert path in built
        else:
            assert built[path] == expected, path
