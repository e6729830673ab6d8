"""Exported networks of torchvision have the MACs of the zoo's."""

import pytest

import alphaflops as af

pytest.importorskip("onnx", reason="the extra alphaflops[onnx] is not installed")
pytest.importorskip("torch", reason="the exporter is torch's")

from test_onnx_exports import export
from work_rows import products

from alphaflops.frontends.onnx import load_onnx

NAMES = "convnext_tiny efficientnet_b0 efficientnet_b1 efficientnet_b3 mobilenet_v3_large "
NAMES += "mobilenet_v3_small regnet_y_400mf resnet34 resnext50_32x4d shufflenet_v2_x1_0 "
NAMES += "squeezenet1_0 swin_t vit_b_16 efficientnet_b2 resnet101 wide_resnet50_2"


@pytest.mark.slow
@pytest.mark.parametrize("exporter", ["legacy", "dynamo"])
@pytest.mark.parametrize("name", NAMES.split())
def test_export_of_the_library_equals_the_zoo(tmp_path, name, exporter):
    torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed")
    torch = pytest.importorskip("torch", reason="the exporter is torch's")
    module = getattr(torchvision.models, name)(weights=None).eval()
    zoo = af.zoo.build(name)
    path = export(module, torch.zeros(zoo.shape(0)), tmp_path / "network.onnx", exporter)
    graph = load_onnx(path, strict=True)
    assert products(graph) == products(zoo)
    path.unlink()
