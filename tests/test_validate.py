"""What `validate` does by default, what it says of its networks, and networks that fail late."""

from __future__ import annotations

import json
import math
import textwrap
from pathlib import Path

import pytest
from command_line import assert_one_clear_error, run
from space_profiles import FAST

import alphaflops as af
from alphaflops import _core
from alphaflops.errors import ModelError, ShapeError
from alphaflops.fitting import evaluate
from alphaflops.measuring import backends
from alphaflops.measuring.readings import Sample
from alphaflops.measuring.validation import validate
from alphaflops.profiles import Profile

FAILS_LATE = """
    import torch
    from torch import nn

    class Late(nn.Module):
        def __init__(self, most):
            super().__init__()
            self.layer, self.calls, self.most = nn.Linear(8, 8), 0, most

        def forward(self, x):
            self.calls += torch.is_inference_mode_enabled()
            if self.calls > self.most:
                raise KeyError("the cache is full")
            return self.layer(x)

    def second():
        return Late(1), torch.empty(1, 8)

    def tenth():
        return Late(9), torch.empty(1, 8)

    def sound():
        return Late(float("inf")), torch.empty(1, 8)

    class Spectrum(nn.Module):
        def forward(self, x):
            return torch.fft.rfft(x).abs()

    def spectrum():
        return Spectrum(), torch.empty(1, 64)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "late_models.py").write_text(textwrap.dedent(FAILS_LATE))
    monkeypatch.chdir(tmp_path)
    of_torch().save(tmp_path / "eager.json")
    return tmp_path


def of_torch() -> Profile:
    data = af.load_profile("quadro-t2000").data
    how = {"backend": "torch", "mode": "eager", "layout": "nchw", "threads": 1, "on": "cpu"}
    return Profile.from_dict({**data, "name": "eager", "provenance": {**how, "dtype": "fp32"}})


@pytest.mark.usefixtures("one_torch_thread")
def test_by_default_the_profiles_backend_runs(folder: Path) -> None:
    pytest.importorskip("torch", reason="it is the backend")
    graph = af.Graph("groups")  # which no native kernel normalises
    graph.norm(graph.conv2d(graph.input((1, 3, 8, 8)), 8, 3), "group", name="norm")
    for profile in (of_torch(), "eager.json", folder / "eager.json"):
        (row,) = validate([graph], profile, repeats=3)
        assert row["measured_s"] > 0
    (row,) = validate(af.zoo.build("mlp"), "quadro-t2000", repeats=3)
    assert math.isnan(row["slowdown"])


@pytest.mark.parametrize("budget", [0.0, -3.0, math.nan, math.inf])
def test_a_budget_is_a_positive_number(budget: float) -> None:
    with pytest.raises(ShapeError, match=r"budget_s is .*; it must be a positive number"):
        validate([af.zoo.build("mlp")], "quadro-t2000", budget_s=budget)


def test_names_of_networks_are_no_networks() -> None:
    with pytest.raises(ModelError, match=r"'mlp' is a str and no graph; give a Graph"):
        validate(["mlp"], "quadro-t2000")  # type: ignore[list-item]


def test_profiles_by_path_are_evaluated(folder: Path) -> None:
    FAST.save(folder / "fast.json")
    table = af.measure(af.sample_shapes(40)[:3], budget_s=1.0)
    assert evaluate(folder / "fast.json", table).mape == evaluate(FAST, table).mape


def test_networks_that_fail_late_cost_no_other(folder: Path) -> None:
    pytest.importorskip("torch", reason="it is the backend")
    names = [f"late_models:{name}" for name in ("second", "sound", "tenth")]
    done = run("validate", *names, "-d", "eager.json", "--budget", "0.5", "--json")
    assert done.returncode == 2, done.stderr
    document = json.loads(done.stdout)
    (row,) = document["networks"]
    assert row["name"] == names[1]
    refused = {each["name"]: each["reason"] for each in document["refused"]}
    assert list(refused) == [names[0], names[2]]
    for reason in refused.values():
        assert reason.endswith(": it raised KeyError when it was timed: 'the cache is full'")
    alone = run("validate", names[2], "-d", "eager.json", "--budget", "0.5")
    assert_one_clear_error(alone, "KeyError", "the cache is full")


@pytest.mark.parametrize("when", ["made ready", "timed"])
def test_memory_that_is_not_there_costs_no_other(
    when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound, made = backends._NativeNetwork, []

    class Large(sound):
        """The first finds no memory, at once or when it runs the ninth time."""

        runs = 0

        def __init__(self, executor: _core.Executor) -> None:
            super().__init__(executor)
            made.append(self)
            if when == "made ready":
                self.sample(9)

        def sample(self, passes: int) -> Sample:
            self.runs += passes
            if self.runs > 8 and self is made[0]:
                raise MemoryError("std::bad_alloc")
            return super().sample(passes)

    monkeypatch.setattr(backends, "_NativeNetwork", Large)
    refused = {}
    large, small = af.Graph("large"), af.Graph("small")
    for graph in (large, small):
        graph.conv2d(graph.input((1, 8, 8, 8)), 8, 3)
    (row,) = validate(
        [large, small], "quadro-t2000", backend=backends.NativeBackend(), budget_s=0.2,
        on_refused=lambda place, error: refused.update({place: error}),
    )  # fmt: skip
    assert row["name"] == "small"
    reason = f"large: it raised MemoryError when it was {when}: std::bad_alloc"
    assert {place: str(error) for place, error in refused.items()} == {0: reason}


def test_what_is_not_priced_is_marked(folder: Path) -> None:
    pytest.importorskip("torch", reason="it is the backend")
    command = ("validate", "late_models:spectrum", "-d", "eager.json", "--budget", "0.1")
    shown = run(*command).stdout
    assert "late_models:spectrum" in shown
    assert "°: over 10% of the bytes have no price" in " ".join(shown.split())
    assert "the profile is of NVIDIA Quadro T2000, and this is" in " ".join(shown.split())
    document = json.loads(run(*command, "--json").stdout)
    assert document["networks"][0]["unpriced_share"] > 0.1
    assert document["profile_device"] == af.load_profile("quadro-t2000").data["device"]["name"]
    assert document["device"]


def test_networks_beyond_the_limit_are_named() -> None:
    command = ("validate", "mlp", "resnet18", "-d", "quadro-t2000", "--budget", "0.1")
    done = run(*command, "--within", "0.0001")
    assert done.returncode == 1
    assert "not within 0.0%: mlp (" in done.stderr
    assert "resnet18 (" in done.stderr


@pytest.mark.parametrize(
    ("given", "fix"),
    [("20", "0.2 is 20 %"), ("1", "0.01 is 1 %"), ("1e3", "0.2 is 20 %"), ("-1", "0.2 is 20 %")],
)
def test_a_limit_in_percent_is_refused(given: str, fix: str) -> None:
    done = run("validate", "mlp", "-d", "quadro-t2000", "--budget", "0.1", "--within", given)
    assert_one_clear_error(done, f"--within {float(given):g}: it is a share", fix)
