"""The zoo against published counts, and five networks against torch modules of the same kind."""

import numpy as np
import pytest
import zoo_doc

import alphaflops as af
from alphaflops import errors

# Of the images and lengths that `build` takes by default.
MACS = {
    "bert_base": 11_174_215_680,
    "convnext_tiny": 4_455_531_264,
    "darknet53": 9_285_115_904,
    "densenet121": 2_834_161_664,
    "efficientnet_b0": 385_814_752,
    "efficientnet_b1": 686_802_832,
    "efficientnet_b2": 993_561_872,
    "efficientnet_b3": 1_827_141_392,
    "gpt2": 145_824_153_600,
    "lstm": 464_100_000,
    "mlp": 266_200,
    "mobilenet_v2": 300_774_272,
    "mobilenet_v3_large": 216_589_760,
    "mobilenet_v3_small": 56_510_400,
    "regnet_y_400mf": 401_842_848,
    "resnet101": 7_801_405_440,
    "resnet18": 1_814_073_344,
    "resnet34": 3_663_761_408,
    "resnet50": 4_089_184_256,
    "resnext50_32x4d": 4_230_479_872,
    "shufflenet_v2_x1_0": 144_907_992,
    "squeezenet1_0": 818_924_576,
    "swin_t": 4_490_566_656,
    "t5_small": 35_802_578_944,
    "unet": 48_171_581_440,
    "vgg16": 15_470_264_320,
    "vit_b_16": 17_563_828_224,
    "wide_resnet50_2": 11_398_021_120,
}
# Published: num_params of torchvision 0.28's weights, and the sources that are named.
PARAMS = {
    "bert_base": 109_482_240,  # bert-base-uncased without a head, transformers
    "convnext_tiny": 28_589_128,
    "darknet53": 41_609_928,  # darknet53 of timm
    "densenet121": 7_978_856,
    "efficientnet_b0": 5_288_548,
    "efficientnet_b1": 7_794_184,
    "efficientnet_b2": 9_109_994,
    "efficientnet_b3": 12_233_232,
    "gpt2": 124_439_808,  # gpt2, transformers
    "lstm": 2 * 6_500_000 + 10_000 + 2 * (4 * 650 * 1300 + 2 * 4 * 650),
    "mlp": 266_610,  # LeNet-300-100, LeCun 1998
    "mobilenet_v2": 3_504_872,
    "mobilenet_v3_large": 5_483_032,
    "mobilenet_v3_small": 2_542_856,
    "regnet_y_400mf": 4_344_144,
    "resnet101": 44_549_160,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnext50_32x4d": 25_028_904,
    "shufflenet_v2_x1_0": 2_278_604,
    "squeezenet1_0": 1_248_424,
    "swin_t": 28_288_354,
    "t5_small": 60_506_624,  # t5-small, transformers
    "unet": 31_037_698,  # milesial/Pytorch-UNet with two classes
    "vgg16": 138_357_544,
    "vit_b_16": 86_567_656,
    "wide_resnet50_2": 68_883_240,
}
# Published: 10^9 MACs, to three digits, of torchvision 0.28's weights (there called _ops).
GMACS = {
    "convnext_tiny": 4.456,
    "densenet121": 2.834,
    "efficientnet_b0": 0.386,
    "efficientnet_b1": 0.687,
    "efficientnet_b2": 1.088,
    "efficientnet_b3": 1.827,
    "mobilenet_v2": 0.301,
    "mobilenet_v3_large": 0.217,
    "mobilenet_v3_small": 0.057,
    "regnet_y_400mf": 0.402,
    "resnet101": 7.801,
    "resnet18": 1.814,
    "resnet34": 3.664,
    "resnet50": 4.089,
    "resnext50_32x4d": 4.230,
    "shufflenet_v2_x1_0": 0.145,
    "squeezenet1_0": 0.819,
    "swin_t": 4.491,
    "vgg16": 15.470,
    "vit_b_16": 17.564,
    "wide_resnet50_2": 11.398,
}
SEQUENCES = {"bert_base", "gpt2", "lstm", "t5_small"}
NATIVE = {
    *("input", "flatten", "conv2d", "linear", "batch_norm", "max_pool", "avg_pool"),
    *("global_avg_pool", "add", "mul", "concat", "softmax", "relu", "relu6", "silu", "sigmoid"),
    *("hardswish", "hardsigmoid"),
}
# Launches that a deployment runtime makes: norms and activations folded, flatten a view.
FUSED_ROWS = {
    "darknet53": 52 + 1 + 23 + 1,
    "densenet121": 250,
    "mobilenet_v2": 52 + 1 + 10 + 1,  # convolutions, linear, residual sums, pool
    "resnet18": 20 + 1 + 8 + 2,
    "resnet50": 53 + 1 + 16 + 2,
    "vgg16": 13 + 3 + 5,
}


@pytest.mark.parametrize("mode", ["fused", "eager"])
@pytest.mark.parametrize("name", MACS)
def test_published_counts(name, mode):
    work = af.lower(af.zoo.build(name), mode)
    assert work.macs.sum() == MACS[name]
    assert work.params.sum() == PARAMS[name]
    assert "unknown" not in np.array(af._core.KINDS)[work.kind]


@pytest.mark.parametrize("name", GMACS)
def test_macs_are_as_torchvision_quotes_them(name):
    # It quotes EfficientNet-B2 at 288 pixels, its paper at 260.
    graph = af.zoo.build(name, image_size=288 if name == "efficientnet_b2" else None)
    assert round(af.lower(graph).macs.sum() / 1e9, 3) == GMACS[name]


def test_another_image_size_has_other_position_embeddings():
    work = af.lower(af.zoo.build("vit_b_16", image_size=384))
    assert work.params.sum() == 86_859_496  # torchvision's SWAG weights
    assert round(work.macs.sum() / 1e9, 3) == 55.484


def layer(length, features, hidden, keys=None):
    """MACs of a transformer's layer: four projections, scores and values, two linear layers."""
    keys = length if keys is None else keys
    return length * features * (4 * features + 2 * keys + 2 * hidden)


def test_macs_of_sequence_networks_are_the_textbook_formulas():
    assert MACS["bert_base"] == 12 * layer(128, 768, 3072) + 768 * 768
    assert MACS["gpt2"] == 12 * layer(1024, 768, 3072) + 1024 * 768 * 50257
    crossed = 512 * 512 * (4 * 512 + 2 * 512)
    t5 = 12 * layer(512, 512, 2048) + 6 * crossed + 512 * 512 * 32128
    assert MACS["t5_small"] == t5
    assert MACS["lstm"] == 35 * (2 * 4 * 650 * 1300 + 650 * 10_000)
    patches = 196 * 768 * 768
    assert MACS["vit_b_16"] == patches + 12 * layer(197, 768, 3072) + 768 * 1000


@pytest.mark.parametrize("name", FUSED_ROWS)
def test_rows_of_both_modes(name):
    graph = af.zoo.build(name)
    ops = [graph.node_op(i) for i in range(len(graph))]
    launches = [op for op in ops if op not in ("input", "flatten")]
    assert len(af.lower(graph, "eager")) == len(launches)
    fused = af.lower(graph, "fused")
    assert len(fused) == FUSED_ROWS[name]
    assert len(fused) + sum(map(len, fused.folded)) == len(launches)


@pytest.mark.parametrize("name", MACS)
def test_batch_scales_macs_and_not_params(name):
    work = af.lower(af.zoo.build(name, batch=3))
    assert work.macs.sum() == 3 * MACS[name]
    assert work.params.sum() == PARAMS[name]
    again = af.lower(af.zoo.build(name).with_batch(3))
    for column in ("macs", "flops", "activations_read", "elements_written", "weights_read"):
        np.testing.assert_array_equal(getattr(work, column), getattr(again, column))


def test_names_of_layers_are_unique():
    for name in af.zoo.names():
        graph = af.zoo.build(name)
        layers = [graph.node_name(i) for i in range(len(graph))]
        assert len(set(layers)) == len(layers)


@pytest.mark.parametrize(
    ("name", "image_size"),
    [
        (n, s)
        for n in af.zoo.REFERENCE
        for s in (224, 192, 97, 448)
        if n != "vgg16" or s in (224, 448)
    ],
)
def test_layers_equal_torch_modules(name, image_size):
    torch = pytest.importorskip("torch", reason="the oracle is a torch module")
    networks = pytest.importorskip("networks", reason="the oracle is a torch module")
    with torch.device("meta"):
        network = networks.NETWORKS[name]().eval()
    assert sum(p.numel() for p in network.parameters()) == PARAMS[name]
    shapes = {}
    for path, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear | torch.nn.BatchNorm2d):
            module.register_forward_hook(
                lambda _, __, out, path=path: shapes.update({path: tuple(out.shape)})
            )
    network(torch.empty(2, 3, image_size, image_size, device="meta"))

    graph = af.zoo.build(name, batch=2, image_size=image_size)
    built = {
        graph.node_name(i): graph.shape(i)
        for i in range(len(graph))
        if graph.node_op(i) in ("conv2d", "linear", "batch_norm")
    }
    assert built == shapes


def test_names_are_sorted():
    assert af.zoo.names() == tuple(sorted(MACS))
    assert set(af.zoo.REFERENCE) < set(af.zoo.names(runnable=True)) < set(af.zoo.names())


@pytest.mark.parametrize("name", af.zoo.names())
def test_runnable_networks_are_those_that_native_kernels_run(name):
    graph = af.zoo.build(name, image_size=None if name in SEQUENCES | {"vgg16", "mlp"} else 64)
    ops = {graph.node_op(i) for i in range(len(graph))}
    if name in af.zoo.names(runnable=True):
        assert ops <= NATIVE
        return
    with pytest.raises(errors.UnsupportedError, match="no native kernel"):
        af._core.Executor(graph)


def test_sequences_have_no_image_size():
    for name in SEQUENCES:
        with pytest.raises(errors.ModelError, match=f"'{name}' takes no images"):
            af.zoo.build(name, image_size=224)


@pytest.mark.parametrize("name", ["vit_b_16", "swin_t", "unet", "bert_base", "t5_small"])
def test_attention_and_skips_at_another_batch(name):
    one, two = af.zoo.build(name), af.zoo.build(name, batch=2)
    again = one.with_batch(2)
    assert [again.shape(i) for i in range(len(again))] == [two.shape(i) for i in range(len(two))]


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "int8"])
def test_dtype(dtype):
    assert af.zoo.build("resnet18", dtype=dtype).dtype == dtype


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("resnet5", "resnet50 or resnet34"), ("VGG-16", "vgg16"), ("mobilenetv2", "mobilenet_v2")],
)
def test_unknown_name_suggests_the_nearest(name, nearest):
    with pytest.raises(errors.ModelError, match=f"'{name}' is not known: did you mean {nearest}"):
        af.zoo.build(name)


def test_unknown_name_without_a_near_one_lists_all():
    with pytest.raises(errors.ModelError, match="the zoo has bert_base, convnext_tiny"):
        af.zoo.build("")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch": 0}, "image: batch is 0"),
        ({"batch": -1}, "image: batch is -1"),
        ({"image_size": 0}, "image: dimension 2 is 0"),
        ({"image_size": 192}, "features are 6 x 6.*multiple"),
        ({"image_size": 16}, r"features\.30: the kernel spans 2"),
    ],
)
def test_sizes_that_no_network_can_have(arguments, message):
    with pytest.raises(errors.ShapeError, match=message):
        af.zoo.build("vgg16", **arguments)


def test_unknown_dtype():
    with pytest.raises(errors.UnsupportedError, match="fp12"):
        af.zoo.build("resnet18", dtype="fp12")


def test_counts_beyond_int64_are_an_error():
    with pytest.raises(errors.OverflowError):
        af.lower(af.zoo.build("resnet18", batch=2**40))


def test_the_page_has_the_table_of_the_zoo():
    text = zoo_doc.PAGE.read_text()
    assert zoo_doc.with_table(text) == text
