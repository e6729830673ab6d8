"""The torch backend: that campaigns work with it, and what they leave behind."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

import alphaflops as af
from alphaflops import _core
from alphaflops.cli import app
from alphaflops.errors import Error, MissingExtraError, ShapeError, TableError, UnsupportedError
from alphaflops.measuring.backends import backend_of, named
from alphaflops.measuring.journal import JournalError
from alphaflops.measuring.sampling import sample_shapes
from alphaflops.measuring.validation import validate
from alphaflops.table import work_table

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from alphaflops.measuring import torch_operators  # noqa: E402

LAYOUTS = ("nchw", "channels_last")

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def small_shapes(batches: list[int], channels: int = 32) -> dict[str, object]:
    columns = {"batch": batches, "c_in": [channels], "c_out": [channels]}
    for name, value in {"h_in": 14, "w_in": 14, "k_h": 3, "k_w": 3, "pad_h": 1, "pad_w": 1}.items():
        columns[name] = [value]
    return columns


def test_a_table_of_times_says_how_it_came_about() -> None:
    threads, affinity = torch.get_num_threads(), _core.thread_affinity()
    table = af.measure(
        small_shapes([1, 8]), backend="torch", layout="channels_last", threads=1, budget_s=2.0
    )
    assert torch.get_num_threads() == threads
    assert _core.thread_affinity() == affinity
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    assert table["batch"].tolist() == [1, 8]
    assert 2 < table["time_s"][1] / table["time_s"][0] < 12
    assert (table["samples"] >= 3).all()
    said = {name: table[name][0].item() for name in ("backend", "layout", "threads", "on", "mode")}
    expected_on = "cuda" if torch.cuda.is_available() else "cpu"
    assert ("sms" in (table.dtype.names or ())) == (expected_on == "cuda")
    assert said == {
        "backend": "torch",
        "layout": "channels_last",
        "threads": 1,
        "on": expected_on,
        "mode": "eager",
    }
    assert table["torch"][0] == torch.__version__
    assert table["cudnn_benchmark"][0] == int(torch.backends.cudnn.benchmark)
    assert table["cuda_graph"][0] == 0


def test_a_campaign_in_bf16() -> None:
    shapes = {**small_shapes([1, 8]), "dtype": ["bf16"]}
    table = af.measure(shapes, backend="torch", on="cpu", budget_s=2.0)
    assert table["dtype"].tolist() == ["bf16"] * 2
    assert table["time_s"][1] > table["time_s"][0]


@pytest.mark.skipif(_core.processor_count() < 2, reason="needs two processors")
@pytest.mark.usefixtures("five_samples")
def test_two_threads() -> None:
    table = af.measure(small_shapes([4]), backend="torch", on="cpu", threads=2, budget_s=60.0)
    assert table["threads"].tolist() == [2]
    assert torch.get_num_threads() == 1


@pytest.mark.usefixtures("five_samples")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_sampled_family_is_measured(layout: str) -> None:
    design = sample_shapes(60, seed=1, mode="eager")
    small = design[(design["c_in"] * design["c_out"] < 200_000) & (design["h_in"] <= 112)]
    result = af.measure(small, backend="torch", layout=layout, on="cpu", budget_s=60)
    assert result["op"].tolist() == small["op"].tolist()
    assert (result["time_s"] > 1e-6).all()


def test_an_eager_design_has_more_of_what_eager_networks_launch() -> None:
    fused, eager = (sample_shapes(2000, mode=mode)["op"].tolist() for mode in ("fused", "eager"))
    for ops in (["batch_norm"], ["relu", "relu6", "add", "mul"], ["max_pool"]):
        assert sum(map(eager.count, ops)) > sum(map(fused.count, ops))
    like = sample_shapes(200, like=[af.zoo.build("resnet18")], mode="eager")
    assert {"conv2d", "batch_norm", "relu", "add"} <= set(like["op"])
    with pytest.raises(UnsupportedError, match="'lazy'"):
        sample_shapes(5, mode="lazy")


@pytest.mark.usefixtures("five_samples")
def test_a_campaign_resumes(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    options = {"backend": "torch", "on": "cpu", "budget_s": 60.0, "journal": path}
    first = af.measure(small_shapes([1, 2]), **options)
    size = path.stat().st_size
    assert np.array_equal(first, af.measure(small_shapes([1, 2]), **options, seed=3))
    assert path.stat().st_size == size
    with pytest.raises(JournalError, match="layout: nchw there, channels_last here"):
        af.measure(small_shapes([1, 2]), **options, layout="channels_last")


def test_interrupted_it_puts_back_what_it_set(tmp_path: Path) -> None:
    threads, affinity = torch.get_num_threads(), _core.thread_affinity()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="run the same again to resume"):
        af.measure(
            small_shapes([1]),
            backend="torch",
            on="cpu",
            journal=tmp_path / "j.sqlite",
            on_point=interrupt,
        )
    assert torch.get_num_threads() == threads
    assert _core.thread_affinity() == affinity
    assert not torch.is_inference_mode_enabled()


def test_refusals() -> None:
    def measure(**options: object) -> None:
        af.measure(small_shapes([1]), backend="torch", budget_s=1.0, **options)

    with pytest.raises(UnsupportedError, match=r"layout 'nhwc' is not known; use nchw or chan"):
        measure(layout="nhwc")
    with pytest.raises(ShapeError, match="threads is 0"):
        measure(threads=0)
    with pytest.raises(UnsupportedError, match="threads is 4096"):
        measure(threads=4096)
    with pytest.raises(ShapeError, match="isa is 'avx2'; the torch backend has no such option"):
        measure(isa="avx2")
    with pytest.raises(UnsupportedError, match="cache 'hot'"):
        measure(cache="hot")
    with pytest.raises(UnsupportedError, match="'tpu'"):
        measure(on="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(UnsupportedError, match="finds no GPU"):
            measure(on="cuda")
    with pytest.raises(ShapeError, match="layout is 'nchw'; the native backend has no such option"):
        af.measure(small_shapes([1]), layout="nchw")
    with pytest.raises(UnsupportedError, match=r"row 1.*fp16 .* on cpu; use fp32 or bf16"):
        af.measure({**small_shapes([1]), "dtype": ["fp16"]}, backend="torch", on="cpu")
    with pytest.raises(ShapeError, match="cuda_graph and cudnn_benchmark are options on a GPU"):
        named("torch", on="cpu", cuda_graph=True)
    with pytest.raises(ShapeError, match="cuda_graph is True; the native backend has no such"):
        named("native", cuda_graph=True)
    with pytest.raises(Error, match=r"row 2: conv2d: needs \d+ bytes.*1500000000"):
        af.measure(small_shapes([1, 200_000]), backend="torch", on="cpu")


def test_without_pytorch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(torch_operators, "importlib", SimpleNamespace(import_module=absent))
    with pytest.raises(MissingExtraError, match=r'pip install "alphaflops\[torch\]"'):
        af.measure(small_shapes([1]), backend="torch")


def test_importing_the_package_does_not_import_pytorch() -> None:
    script = "import alphaflops as af, sys; af.measure; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_mixtures_are_not_fitted() -> None:
    design = sample_shapes(12, mode="eager")
    parts = []
    for layout in LAYOUTS:
        part = np.zeros(len(design), [*design.dtype.descr, ("time_s", float), ("layout", "U13")])
        for name in design.dtype.names:
            part[name] = design[name]
        part["time_s"], part["layout"] = 1e-3, layout
        parts.append(part)
    with pytest.raises(TableError, match="'layout' mixes 'channels_last', 'nchw'"):
        af.fit(np.concatenate(parts))


@pytest.mark.usefixtures("five_samples")
def test_a_profile_brings_its_backend_and_mode() -> None:
    design = sample_shapes(100, mode="eager")
    short = design[work_table(design).macs < 5e7]
    table = af.measure(short, backend="torch", on="cpu", budget_s=60.0)
    profile = af.fit(table, name="eager").profile
    provenance = profile.data["provenance"]
    assert {"backend": "torch", "layout": "nchw", "threads": 1}.items() <= provenance.items()
    graph = af.zoo.build("mobilenet_v2")
    assert af.estimate(graph, profile).mode == "eager"
    assert af.estimate(graph, profile, mode="fused").mode == "fused"
    backend = backend_of(profile)
    assert backend.provenance()["layout"] == "nchw"
    (row,) = validate([graph], profile, backend=backend, budget_s=0.5)
    assert row["predicted_s"] == pytest.approx(af.estimate(graph, profile).time_s)
    assert row["error"] == pytest.approx(row["predicted_s"] / row["measured_s"] - 1)
    assert abs(math.log(row["predicted_s"] / row["measured_s"])) < 1  # a missing layer would show
    assert abs(math.log(row["slowdown"])) < 1


@pytest.mark.usefixtures("five_samples")
def test_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("alphaflops.scenarios.calibrate.POINTS", {"eager": 100})  # which are enough

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        return done.stdout

    how = ("--backend", "torch", "--layout", "channels_last", "--threads", "1", "--on", "cpu")
    assert run("calibrate", *how, "--budget", "60", "-o", "eager.json") == ""
    provenance = json.loads((tmp_path / "eager.json").read_text())["provenance"]
    assert (provenance["backend"], provenance["layout"]) == ("torch", "channels_last")
    (row,) = json.loads(run("validate", "resnet18", "-d", "eager.json", "--budget", "1", "--json"))[
        "networks"
    ]
    priced = json.loads(run("estimate", "resnet18", "-d", "eager.json", "-f", "json"))
    assert priced["mode"] == "eager"
    assert row["predicted_s"] == pytest.approx(priced["time_s"])


def test_named() -> None:
    with pytest.raises(UnsupportedError, match="'opencl' is not known; use native or torch"):
        named("opencl")
