"""Whole networks in PyTorch that are held against a profile: a user's own modules, and graphs."""

from __future__ import annotations

import json
import math
import sys
import textwrap
import threading
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import assert_one_clear_error, run
from space_profiles import device

import alphaflops as af
from alphaflops.errors import Error, ModelError, UnsupportedError
from alphaflops.frontends import Traced, load_to_run
from alphaflops.measuring.backends import named
from alphaflops.measuring.validation import validate
from alphaflops.profiles import Profile

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch import nn  # noqa: E402

from alphaflops.measuring.torch_runs import OwnModule, of_graph, of_module  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


class Tokens(nn.Module):
    """What no other backend of this package runs."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.drop = nn.Embedding(50, 8), nn.Dropout(0.5)
        self.runs = 0

    def forward(self, ids: torch.Tensor, *, shift: torch.Tensor) -> torch.Tensor:
        self.runs += 1
        return self.drop(self.table(ids).flip(0) - shift)


def traced(module: nn.Module, *args: torch.Tensor, **kwargs: torch.Tensor) -> Traced:
    return Traced(af.from_torch(module.eval(), args, kwargs), module, args, kwargs)


def tokens() -> Traced:
    ids = torch.tensor([[1, 2, 3], [4, 5, 49]])
    return traced(Tokens(), ids, shift=torch.empty(2, 3, 8, device="meta"))


def test_a_module_runs_with_its_weights_in_eval_mode() -> None:
    network = tokens()
    network.module.train()
    own = OwnModule(network, "nchw")
    with torch.inference_mode():
        once, again = own.run(), own.run()
    assert torch.equal(once, again)  # without dropout
    assert torch.equal(own.args[0], network.args[0])
    assert float(own.kwargs["shift"].std()) > 0.5  # drawn
    expected = network.module.table.weight[network.args[0]].flip(0) - own.kwargs["shift"]
    assert torch.equal(once, expected)
    assert network.module.table.weight.requires_grad
    assert not network.module.table.weight.is_inference()


def test_one_input_that_is_given_twice_is_one() -> None:
    x = torch.zeros(2, 3)
    own = OwnModule(traced(nn.Bilinear(3, 3, 4), x, x), "nchw")
    assert own.args[0] is own.args[1]


def test_integers_without_elements_are_zero() -> None:
    ids = torch.empty(4, dtype=torch.long, device="meta")
    assert OwnModule(traced(nn.Embedding(5, 2), ids), "nchw").args[0].tolist() == [0] * 4


@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
def test_images_and_weights_are_of_the_layout(layout: str) -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    own = OwnModule(traced(module, torch.empty(2, 3, 9, 9)), layout)
    order = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    assert own.args[0].is_contiguous(memory_format=order)
    assert own.module[0].weight.is_contiguous(memory_format=order)
    with torch.inference_mode():
        assert own.run().is_contiguous(memory_format=order)
    OwnModule(traced(nn.Conv3d(3, 4, 3), torch.empty(1, 3, 4, 5, 6)), layout).run()


def test_the_module_is_of_the_graphs_dtype() -> None:
    class Rotary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("turns", torch.ones(4, dtype=torch.complex64))
            self.layer = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x)

    own = OwnModule(traced(Rotary(), torch.zeros(2, 4)).with_dtype("bf16"), "nchw")
    assert own.run().dtype == torch.bfloat16
    assert own.module.turns.dtype == torch.complex64  # which has no bf16
    with pytest.raises(UnsupportedError, match=r"Rotary: dtype fp16 .* use fp32 or bf16$"):
        of_module(traced(Rotary(), torch.zeros(2, 4)).with_dtype("fp16"), "nchw")


def flushes() -> bool:
    return bool(torch.tensor(1e-40) * 1 == 0)


@pytest.mark.parametrize("before", [False, True])
def test_denormal_numbers_are_flushed_while_it_runs(before: bool) -> None:
    class Sees(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(flushes())
            if len(seen) > 2:
                raise RuntimeError("enough")
            return x * 2

    seen: list[bool] = []
    network = traced(Sees(), torch.zeros(2))
    seen.clear()
    torch.set_flush_denormal(before)
    try:
        of_module(network, "nchw")()
        assert seen == [True] * 2
        with pytest.raises(ModelError, match=r"Sees: the module raised RuntimeError .*: enough"):
            of_module(network, "nchw")
        assert flushes() == before
    finally:
        torch.set_flush_denormal(False)


def of_torch(layout: str = "nchw") -> Profile:
    """Return a profile as if PyTorch on this processor had been measured."""
    data = af.load_profile("quadro-t2000").data
    how = {"backend": "torch", "mode": "eager", "layout": layout, "threads": 1, "on": "cpu"}
    return Profile.from_dict({**data, "name": "eager", "provenance": {**how, "dtype": "fp32"}})


def unknown() -> af.Graph:
    graph = af.Graph("unknown")
    graph.custom([graph.input((2, 3))], "my_kernels::rotary", (2, 3), flops=6)
    return graph


def test_validate_runs_the_module_itself() -> None:
    network = tokens()
    runs = network.module.runs
    backend = named("torch", on="cpu")
    (row,) = validate([network], of_torch(), backend=backend, repeats=3)
    assert network.module.runs > runs + 3
    assert (row["name"], row["measured_s"] > 0) == ("Tokens", True)


def test_refused_networks_are_said_and_the_others_run() -> None:
    small = af.Graph("small")
    small.conv2d(small.input((1, 3, 16, 16)), 8, 3)
    networks = [unknown(), small, small.with_dtype("fp16")]
    said: list[tuple[int, Error]] = []
    backend = named("torch", on="cpu")
    options = {"backend": backend, "repeats": 3}
    rows = validate(
        networks, of_torch(), **options, on_refused=lambda i, error: said.append((i, error))
    )
    assert rows["name"].tolist() == ["small"]
    assert dict(said).keys() == {0, 2}
    reasons = {i: str(error) for i, error in said}
    assert reasons[0].startswith("unknown: ")
    assert "my_kernels::rotary" in reasons[0]
    assert "give the module itself, as package.module:function" in reasons[0]
    assert "small" in reasons[2]
    assert "fp16" in reasons[2]
    none = validate([unknown()], of_torch(), **options, on_refused=lambda *_: None)
    assert len(none) == 0
    with pytest.raises(UnsupportedError, match=r"unknown: .* package.module:function"):
        validate(networks[:2], of_torch(), **options)


def test_a_graph_that_pytorch_does_not_run_as_it_is_made() -> None:
    with pytest.raises(UnsupportedError, match=r"unknown: .*my_kernels::rotary.* as package"):
        of_graph(unknown(), "nchw")
    graph = af.Graph("good")
    graph.relu(graph.input((2, 3)))
    assert of_graph(graph, "nchw")().shape == (2, 3)


@pytest.mark.parametrize("pool", [nn.AvgPool1d(2), nn.MaxPool1d(2), nn.AvgPool3d(2)])
def test_pools_of_a_graph_are_over_two_axes(pool: nn.Module) -> None:
    axes = int(type(pool).__name__[-2])
    graph = af.from_torch(pool, torch.empty(1, 3, *[8] * axes))
    message = rf"Pool{axes}d: .*: a pool over {axes} axes is not known to the torch backend"
    with pytest.raises(UnsupportedError, match=message):
        of_graph(graph, "nchw")


@pytest.mark.parametrize(
    ("module", "shape"),
    [(nn.InstanceNorm1d(3, affine=True), (2, 3, 8)), (nn.BatchNorm3d(3), (2, 3, 4, 4, 4))],
)
def test_whatever_pytorch_raises_is_an_error_of_the_network(module: nn.Module, shape) -> None:
    graph = af.from_torch(module.eval(), torch.empty(shape))
    with pytest.raises(UnsupportedError, match=rf"^{graph.name}: expected .* as package.module"):
        of_graph(graph, "nchw")


class Widens(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.float() * 2


def test_inputs_that_cannot_be_drawn_do_not_stop_the_others() -> None:
    network = traced(Widens(), torch.zeros(2, 3).to(torch.float8_e4m3fn))
    small = traced(Widens(), torch.zeros(2, 3)).graph
    said: list[str] = []
    rows = validate(
        [network, small],
        of_torch(),
        backend=named("torch", on="cpu"),
        repeats=3,
        on_refused=lambda _, error: said.append(f"{type(error).__name__}: {error}"),
    )
    assert len(rows) == 1
    assert len(said) == 1
    assert said[0].startswith("ModelError: Widens: the module raised NotImplementedError when")


def test_what_raised_lets_go_of_its_tensors() -> None:
    class Fails(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x * 2
            if not x.is_meta:
                made.append(weakref.ref(y))
                raise RuntimeError("out of memory")
            return y

    made: list[weakref.ref[torch.Tensor]] = []
    with pytest.raises(ModelError, match="out of memory") as told:
        of_module(traced(Fails(), torch.zeros(2)), "nchw")
    assert told.value.__cause__ is not None
    assert [each() for each in made] == [None]


def test_one_module_in_two_dtypes() -> None:
    network = traced(nn.Linear(4, 4), torch.zeros(2, 4))
    other = network.with_dtype("bf16")
    runs = [OwnModule(each, "nchw").run for each in (network, other)]
    assert [run().dtype for run in runs] == [torch.float32, torch.bfloat16]
    assert network.with_dtype("fp32").module is network.module
    network.module.lock = threading.Lock()
    with pytest.raises(ModelError, match=r"^Linear: the module cannot be copied .*TypeError.*lock"):
        network.with_dtype("bf16")


@pytest.mark.parametrize("whole", [True, False])
def test_one_module_in_two_dtypes_at_once_is_refused(whole: bool) -> None:
    profile = device("both", dtypes=("fp32", "bf16"), mode="eager")
    inner = nn.Linear(4, 4)
    network = traced(inner, torch.zeros(2, 4))
    second = network if whole else traced(nn.Sequential(inner, nn.ReLU()), torch.zeros(2, 4))
    other = replace(second, graph=second.graph.with_dtype("bf16"))  # by hand: of the same module
    refused: dict[int, str] = {}
    options = {"backend": named("torch"), "budget_s": 0.1}

    def note(place: int, error: Error) -> None:
        refused[place] = str(error)

    (row,) = validate([network, other], profile, on_refused=note, **options)
    assert row["name"] == "Linear"
    assert list(refused) == [1]
    assert "also runs in fp32, in another network; with_dtype('bf16') of that" in refused[1]
    assert inner.weight.dtype == torch.float32
    assert len(validate([network, second.with_dtype("bf16")], profile, **options)) == 2


MODELS = """
    import torch
    from torch import nn

    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.drop = nn.Embedding(50, 64), nn.Dropout()

        def forward(self, ids, shift):
            return self.drop(self.table(ids)) - shift

    def tokens():
        return Tokens(), {"ids": torch.ones(4, 64, dtype=torch.long), "shift": torch.empty(1, 64)}

    def by_name():
        module, kwargs = tokens()
        return module, None, kwargs

    def on_meta():
        with torch.device("meta"):
            return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), torch.empty(1, 3, 16, 16)

    class OptimizedModule(nn.Module):
        def __init__(self, module):
            super().__init__()
            self._orig_mod = module

    def compiled():  # as torch.compile does, which takes seconds to import
        return OptimizedModule(nn.Linear(3, 4)), torch.empty(1, 3)

    class Fails(nn.Module):
        def forward(self, x):
            if torch.is_inference_mode_enabled():
                raise ValueError("not\\nlike this")
            return x * 2

    def fails():
        return Fails(), torch.empty(2, 3)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "validated_models.py").write_text(textwrap.dedent(MODELS))
    monkeypatch.chdir(tmp_path)
    of_torch("channels_last").save(tmp_path / "eager.json")
    af.save_graph(unknown(), tmp_path / "unknown.json")
    yield tmp_path
    sys.modules.pop("validated_models", None)


def test_what_runs_a_network(folder: Path) -> None:
    network = load_to_run("validated_models:tokens", batch=7)
    assert isinstance(network, Traced)
    assert not network.module.training
    assert "dropout" not in {network.graph.node_op(i) for i in range(len(network.graph))}
    assert network.kwargs["ids"].shape == (7, 64)
    assert network.kwargs["shift"].shape == (1, 64)
    assert load_to_run("validated_models:by_name").kwargs["ids"].shape == (4, 64)
    assert load_to_run("validated_models:tokens", dtype="bf16").graph.dtype == "bf16"
    assert type(load_to_run("validated_models:compiled").module) is nn.Linear
    for name in ("validated_models:on_meta", "unknown.json", "mlp"):
        assert isinstance(load_to_run(name), af.Graph)


def test_the_command_line_runs_modules_and_says_what_was_refused(folder: Path) -> None:
    models = ("tokens", "on_meta", "fails")
    names = [f"validated_models:{name}" for name in models]
    command = ("validate", *names, "unknown.json", "nothing", "-d", "eager.json", "--budget", "0.1")
    done = run(*command, "--json")
    assert done.returncode == 2
    document = json.loads(done.stdout)
    assert [row["name"] for row in document["networks"]] == names[:2]
    assert all(row["measured_s"] > 0 for row in document["networks"])
    refused = {each["name"]: each["reason"] for each in document["refused"]}
    assert list(refused) == ["nothing", "validated_models:fails", "unknown.json"]
    assert "ValueError" in refused["validated_models:fails"]
    assert "not like this" in refused["validated_models:fails"]
    assert "my_kernels::rotary" in refused["unknown.json"]
    done = run(*command)
    assert done.returncode == 2
    table, _, rest = done.stdout.partition("not run: ")
    assert names[0] in table
    assert rest.count("\n") == 3
    for name, reason in refused.items():
        assert f"{name}: {reason}" in rest
    done = run("validate", names[0], "-d", "eager.json", "--budget", "0.1", "--json")
    assert (done.returncode, json.loads(done.stdout)["refused"]) == (0, [])


def test_an_error_where_every_network_is_refused(folder: Path) -> None:
    how = ("-d", "eager.json", "--budget", "0.1")
    done = run("validate", "unknown.json", *how)
    assert_one_clear_error(done, "unknown: ", "rotary", "as package.module:function")
    done = run("validate", "unknown.json", "resnet5", *how)
    assert_one_clear_error(done, "none of the networks", "rotary", "resnet50")
    assert_one_clear_error(run("validate", "resnet5", *how), "resnet50")


def test_help_says_what_a_network_may_be() -> None:
    said = " ".join(run("validate", "--help").stdout.split())
    assert "package.module:function" in said
    assert ".json" in said


def test_predictions_of_modules_are_those_of_their_graphs() -> None:
    module = nn.Conv2d(3, 64, 3)
    network = traced(module, torch.empty(1, 3, 32, 32))
    backend = named("torch", on="cpu")
    rows = validate([network, network.graph], of_torch(), backend=backend, repeats=3)
    assert not math.isnan(rows["predicted_s"][0])
    np.testing.assert_array_equal(rows["predicted_s"][0], rows["predicted_s"][1])
