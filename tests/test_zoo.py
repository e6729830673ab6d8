"""The zoo against the published counts and against torch modules of the same architecture."""

import numpy as np
import pytest

import alphaflops as af
from alphaflops import errors

MACS = {
    "densenet121": 2_834_161_664,
    "mobilenet_v2": 300_774_272,
    "resnet18": 1_814_073_344,
    "resnet50": 4_089_184_256,
    "vgg16": 15_470_264_320,
}
PARAMS = {
    "densenet121": 7_978_856,
    "mobilenet_v2": 3_504_872,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "vgg16": 138_357_544,
}
# Launches that a deployment runtime makes: norms and activations folded, flatten a view.
FUSED_ROWS = {
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


@pytest.mark.parametrize("name", MACS)
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
    [(n, s) for n in MACS for s in (224, 192, 97, 448) if n != "vgg16" or s in (224, 448)],
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


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "int8"])
def test_dtype(dtype):
    assert af.zoo.build("resnet18", dtype=dtype).dtype == dtype


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("resnet5", "resnet50 or resnet18"), ("VGG-16", "vgg16"), ("mobilenetv2", "mobilenet_v2")],
)
def test_unknown_name_suggests_the_nearest(name, nearest):
    with pytest.raises(errors.ModelError, match=f"'{name}' is not known: did you mean {nearest}"):
        af.zoo.build(name)


def test_unknown_name_without_a_near_one_lists_all():
    with pytest.raises(errors.ModelError, match="the zoo has densenet121, mobilenet_v2"):
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
