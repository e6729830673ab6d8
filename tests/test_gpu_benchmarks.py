"""The scripts of the GPU suite, on a GPU that is made up: none should fail first on a real one."""

from __future__ import annotations

import csv
import importlib
import json
import os
import subprocess
import sys
import tarfile
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fake_gpu import FakeDriver, FakeWatch

import alphaflops as af
from alphaflops._cuda_plan import conv_plans
from alphaflops.measuring.control import control_in
from alphaflops.measuring.cuda_backend import CudaBackend
from alphaflops.measuring.cuda_probe import probe_gpu
from alphaflops.measuring.cuda_session import CudaSession

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def script(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module(name)


@pytest.mark.filterwarnings("ignore:divide by zero")  # times of a device that is too regular
@pytest.mark.filterwarnings("ignore:the budget did not reach")
def test_calibrations_become_tables_and_a_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrations = script("gpu_calibrations", monkeypatch)
    backend = CudaBackend("hot", driver=FakeDriver(), watch=FakeWatch())
    monkeypatch.setattr(calibrations, "named", lambda name: backend)
    monkeypatch.setitem(calibrations.POINTS, "fused_relu", 60)
    monkeypatch.setattr(calibrations, "_ROUNDS", 2)
    monkeypatch.setattr(af.zoo, "REFERENCE", ("resnet18",))
    monkeypatch.setattr(af.zoo, "names", lambda: ("resnet18", "mobilenet_v2"))
    folder = tmp_path / "calibrations"
    for dtype in ("fp32", "fp16"):
        arguments = ["gpu_calibrations", f"cuda-{dtype}", "--budget", "2", "--out", str(folder)]
        monkeypatch.setattr(sys, "argv", arguments)
        assert calibrations.main() in (0, 1)
    said = capsys.readouterr().out
    assert "cuda-fp16: " in said
    assert "resnet18 batch 16: graph" in said
    results = json.loads((folder / "calibrations.json").read_text())["calibrations"]
    assert [each["name"] for each in results] == ["cuda-fp32", "cuda-fp16"]
    assert {len(each["networks"]) for each in results} == {3}
    assert all("failed" not in row for each in results for row in each["networks"])
    assert len(af.read_table(folder / "cuda-fp16.csv")) == results[1]["rows"]

    driver = FakeDriver()
    (tmp_path / "probe.json").write_text(
        json.dumps(probe_gpu(0.01, driver=driver, watch=FakeWatch()))
    )
    (tmp_path / "conv.csv").write_text(
        "set,batch,dtype,ratio\nresnet50,64,fp32,0.5\nresnet50,64,fp32,2.0\nresnet50,64,fp32,\n"
    )
    report = script("gpu_report", monkeypatch)
    profile = tmp_path / "made-up.json"
    arguments = [str(tmp_path), "--profile", str(profile), "--name", "made-up", "--of", "cuda"]
    monkeypatch.setattr(sys, "argv", ["gpu_report", *arguments])
    assert report.main() == 0
    tables = capsys.readouterr().out
    assert "| resnet50 | fp32 |  |  | 1.00 (2 of 3) |" in tables
    assert "| cuda-fp16 |" in tables
    assert "Not there: repeat.json, energy.json." in tables
    joined = af.load_profile(profile)
    graph = af.zoo.build("resnet18")
    for dtype in ("fp32", "fp16"):
        alone = af.load_profile(folder / f"cuda-{dtype}.json")
        of_type = graph.with_dtype(dtype)
        assert af.estimate(of_type, joined).time_s == af.estimate(of_type, alone).time_s
        own = control_in(alone, backend.provenance(), dtype)
        assert len(own) > 0
        np.testing.assert_array_equal(control_in(joined, backend.provenance(), dtype), own)
    assert set(joined.data["provenance"]["dtypes"]) == {"fp32", "fp16"}


def test_convolutions_beside_cudnn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    conv = script("gpu_conv", monkeypatch)
    cuda = SimpleNamespace(get_device_name=lambda: "Fake H1")
    cudnn = SimpleNamespace(version=lambda: 91000)
    torch = SimpleNamespace(cuda=cuda, backends=SimpleNamespace(cudnn=cudnn), __version__="9.9")
    monkeypatch.setattr(conv, "import_torch", lambda: torch)
    monkeypatch.setattr(conv, "open_driver", FakeDriver)
    monkeypatch.setattr(conv, "open_watch", lambda bus: FakeWatch())
    monkeypatch.setattr(conv, "cudnn_s", lambda shape, attributes, dtype: 1.0)
    monkeypatch.setattr(conv, "BATCHES", (64,))
    some = conv.layers()
    assert {kind for kind, _, _ in some} == {"resnet50", "depthwise"}
    monkeypatch.setattr(conv, "layers", lambda: [*some[1:4], some[-1]])
    peaks = tmp_path / "probe.json"
    peaks.write_text(json.dumps({"peak_ops_per_s": {"fp32": 1e13, "fp16": 1e15}}))
    arguments = ["--csv", str(tmp_path / "conv.csv"), "--peaks", str(peaks)]
    monkeypatch.setattr(sys, "argv", ["gpu_conv", *arguments])
    assert conv.main() == 0  # next to a second, anything is fast
    said = capsys.readouterr().out
    assert "fp16 implicit_gemm_wgmma: " in said
    assert "of the peak of 1000 TFLOP/s over 3 large layers" in said
    with (tmp_path / "conv.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 3
    assert all(float(row["ratio"]) > 1 for row in rows)


def test_names_of_calibrations(monkeypatch: pytest.MonkeyPatch) -> None:
    calibrations = script("gpu_calibrations", monkeypatch)
    monkeypatch.setattr(calibrations, "named", lambda name, **how: (name, how))
    seen = {name: calibrations.backend_of(name) for name in calibrations.NAMES}
    assert seen["cuda-tf32"] == (("cuda", {}), "tf32")
    (kind, how), dtype = seen["torch-fp16-graph"]
    assert (kind, dtype, how["cuda_graph"], how["on"]) == ("torch", "fp16", True, "cuda")
    assert seen["torch-fp32"][0][1]["cuda_graph"] is False


def test_more_work_is_found_and_the_same_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    repeat = script("gpu_repeat", monkeypatch)
    session = CudaSession(FakeDriver(noise=0.002), FakeWatch(), "hot")
    graph = af.Graph("product")
    graph.linear(graph.input((64, 256)), 256)
    assert repeat.called_slower(session, graph, 20) == (20, 0)
    monkeypatch.setattr(repeat, "open_driver", FakeDriver)
    monkeypatch.setattr(repeat, "open_watch", lambda bus: FakeWatch())
    shapes = repeat.design(3, "fp16")
    assert repeat.injected(shapes, 2) == (6, 6, 0)
    monkeypatch.setattr(repeat, "CudaBackend", lambda cache: CudaBackend(
        cache, driver=FakeDriver(), watch=FakeWatch()
    ))  # fmt: skip
    written = {}
    monkeypatch.setattr(repeat, "write_table", lambda table, path: written.update(table=table))
    repeat.once(Namespace(shapes=3, dtype="fp16", budget=0.5, seed=1, once=None))
    assert written["table"]["row"].tolist() == [0, 1, 2]


def test_shapes_for_a_gpu_meet_every_algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    smoke = script("gpu_smoke", monkeypatch)
    target = FakeDriver().info().target
    met: dict[tuple[str, str], int] = {}
    for dtype in ("fp32", "fp16"):
        for pass_ in smoke.PASSES:
            random = np.random.default_rng([len(dtype), len(pass_)])
            for turn in range(40):
                sizes = smoke.random_sizes(random, turn)
                plans = conv_plans(sizes, target, dtype, pass_, "none", 0)
                for name in {plan.algorithm for plan in plans}:
                    met[name, pass_] = met.get((name, pass_), 0) + 1
    assert min(met.values()) >= 3
    backward = {"input_gradient", "weight_gradient"}
    assert {pass_ for name, pass_ in met if name == "depthwise"} == {"forward", *backward}
    assert {"winograd4", "direct", "grouped", "implicit_gemm_wgmma"} <= {name for name, _ in met}


def test_plans_that_are_wrong_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    smoke = script("gpu_smoke", monkeypatch)
    monkeypatch.setattr(smoke, "open_driver", FakeDriver)
    names = smoke.algorithms()
    assert names[0] == "implicit_gemm_wgmma"
    assert {"implicit_gemm", "winograd4", "matmul", "attention_fused", "multiply"} <= set(names)
    monkeypatch.setattr(smoke.Problem, "error", lambda *_, **__: 0.0)
    monkeypatch.setattr(smoke, "_DRAWN", 9)
    assert smoke.try_one("grouped", 1) == 0
    assert capsys.readouterr().out.endswith(" runs, 0 wrong\n")
    sequences = importlib.import_module("sequences_on_gpu").Problem
    monkeypatch.setattr(sequences, "error", lambda problem, *_: 0.5)
    assert smoke.try_one("attention_fused", 1) == 1
    assert "fp16 attention" in capsys.readouterr().out
    outcomes = {"implicit_gemm_wgmma": (False, "hangs"), "general": (True, "9 runs, 0 wrong")}
    monkeypatch.setattr(smoke, "algorithms", lambda: list(outcomes))
    monkeypatch.setattr(smoke, "outcome", lambda name, options: (name, *outcomes[name]))
    monkeypatch.setattr(sys, "argv", ["gpu_smoke", "--out", str(tmp_path / "without.txt")])
    assert smoke.main() == 1
    assert (tmp_path / "without.txt").read_text() == "implicit_gemm_wgmma"


def test_the_suite_says_what_is_missing_and_packs_what_it_has(tmp_path: Path) -> None:
    def suite(*steps: str) -> subprocess.CompletedProcess[str]:
        command = [str(BENCHMARKS / "gpu_suite.sh"), str(tmp_path / "out"), *steps]
        # Without what a machine with a GPU has on its path.
        packed = str(tmp_path / "out" / "all.tgz")
        more = {"PYTHON": sys.executable, "PACK": packed, "CXX": "no-compiler"}
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, **more}
        )

    unknown = suite("mising")
    assert unknown.returncode == 1
    assert "no step mising; there are missing build" in unknown.stdout
    done = suite("missing")
    assert done.returncode == 1
    assert "missing: no-compiler" in done.stdout
    steps = (tmp_path / "out" / "steps.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in steps] == [["step", "status"], ["missing", "failed"]]
    with tarfile.open(tmp_path / "out" / "all.tgz") as packed:
        assert {"./steps.csv", "./log.txt"} <= set(packed.getnames())
        log = packed.extractfile("./log.txt")
        assert log is not None
        assert b"1 steps did not succeed" in log.read()
