"""Networks by a function's name, package.module:function: what it may return, what goes wrong."""

import subprocess
import sys
import textwrap

import pytest

import alphaflops as af
from alphaflops import errors
from alphaflops.frontends import input_names, load_to_run

torch = pytest.importorskip("torch", reason="the extra alphaflops[torch] is not installed")

MODELS = """
    import torch
    from torch import nn

    def image():
        return nn.Sequential(nn.Conv2d(3, 4, 7, 7), nn.Flatten())

    def pair():
        return nn.Linear(5, 6), (torch.empty(4, 5),)

    class Masked(nn.Module):
        def forward(self, x, *, mask):
            return x * mask

    def keywords():
        return Masked(), {"x": torch.empty(2, 5), "mask": torch.empty(2, 1)}

    def both():
        return Masked(), (torch.empty(2, 5),), {"mask": torch.empty(2, 1)}

    def one_tensor():
        return nn.Linear(5, 6), torch.empty(4, 5)

    def two_behind():
        return Masked(), torch.empty(2, 5), torch.empty(2, 1)

    def doubles():
        return nn.Linear(5, 6).double(), torch.empty(4, 5, dtype=torch.float64)

    def text():
        return nn.Linear(5, 6), "tokens"

    def features():
        return nn.Linear(5, 6)

    def wrong():
        return 5

    def raises():
        raise KeyError("weights.pt")

    def value():
        raise ValueError("bad config")

    def attribute():
        return nn.no_such_layer

    def imports():
        import no_such_package
"""


@pytest.fixture
def models(tmp_path, monkeypatch):
    (tmp_path / "own_models.py").write_text(textwrap.dedent(MODELS))
    (tmp_path / "own_broken.py").write_text("import no_such_package\n")
    (tmp_path / "own_typo.py").write_text("import os\nos.no_such_name\n")
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("own_models", None)


def test_load_by_function(models):
    path = list(sys.path)
    graph = af.load("own_models:image")
    assert (graph.name, graph.shape(0), graph.dtype) == ("image", (1, 3, 224, 224), "fp32")
    assert af.load("own_models:image", batch=3).shape(0) == (3, 3, 224, 224)
    assert af.load("own_models:pair").shape(0) == (4, 5)
    graph = af.load("own_models:pair", batch=7, dtype="fp16")
    assert (graph.shape(1), graph.dtype) == ((7, 6), "fp16")
    graph = af.load("own_models:keywords", batch=4)
    assert [graph.shape(i) for i in range(3)] == [(4, 5), (4, 1), (4, 5)]
    graph = af.load("own_models:both", batch=3)
    assert [graph.shape(i) for i in range(3)] == [(3, 5), (3, 1), (3, 5)]
    assert af.load("own_models:one_tensor").shape(0) == (4, 5)
    assert sys.path == path
    with pytest.raises(errors.ModelError, match=r"only be given for \.onnx files"):
        af.load("own_models:pair", inputs={"input": [3, 5]})
    for name, message in {
        "own_models:features": r"an image \[1, 3, 224, 224\] was tried; let 'features' return",
        "own_models:text": r"the arguments are str; give a tensor or a tuple",
        "own_models:wrong": r"returned int; it must return",
        "own_models:two_behind": r"returned \(Masked, Tensor, Tensor\); it must",
        "own_models:raises": r"raised KeyError: 'weights.pt'",
        "own_models:none": r"no such function.*none",
        "no_such_package.models:none": r"no such function.*no_such_package",
        "no_such_package:none": r"no such function.*no_such_package",
        "own_models.more:none": r"no such function.*'own_models' is not a package",
        "own_models:": r"no such function",
        "..own_models:pair": r"no such function",
    }.items():
        with pytest.raises(errors.ModelError, match=message):
            af.load(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_models:value", "the function raised ValueError: bad config"),
        ("own_models:attribute", "the function raised AttributeError: .*no_such_layer"),
        ("own_models:imports", "the function raised ModuleNotFoundError: .*no_such_package"),
        ("own_broken:pair", "importing own_broken raised ModuleNotFoundError: .*no_such_package"),
        ("own_typo:pair", "importing own_typo raised AttributeError: .*no_such_name"),
    ],
)
def test_a_function_that_raises_is_there(models, name, message):
    with pytest.raises(errors.ModelError, match=f"model '{name}': {message}") as raised:
        af.load(name)
    assert "no such function" not in str(raised.value)


def test_parameters_of_no_cost_model_with_a_dtype(models):
    for read in (af.load, load_to_run):
        with pytest.raises(errors.UnsupportedError, match=r"torch\.float64; give dtype"):
            read("own_models:doubles")
        with pytest.raises(errors.UnsupportedError, match="int4"):
            read("own_models:doubles", dtype="int4")
    graph = af.load("own_models:doubles", dtype="bf16")
    assert (graph.dtype, graph.node_dtype(len(graph) - 1)) == ("bf16", "bf16")
    network = load_to_run("own_models:doubles", dtype="fp32")
    assert network.graph.dtype == "fp32"
    assert network.module.weight.dtype == torch.float64


@pytest.mark.parametrize("nothing", [None, 5, b"resnet18"])
def test_what_is_no_name(nothing):
    for read in (af.load, input_names, load_to_run):
        with pytest.raises(errors.ModelError, match=f"a {type(nothing).__name__} is no path"):
            read(nothing)


def test_the_command_line_takes_a_function(models):
    command = [
        sys.executable,
        "-m",
        "alphaflops",
        "estimate",
        "own_models:pair",
        "--format",
        "json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"macs": 120' in done.stdout
