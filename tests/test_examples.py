"""The examples, run as a user runs them: the real engines, in processes of their own."""

import importlib.util
import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

import alphaflops as af

EXAMPLES = Path(__file__).parents[1] / "examples"
PROFILE = resources.files("alphaflops") / "profiles" / "quadro-t2000.json"


def run_example(name, needs, *arguments):
    if importlib.util.find_spec(needs) is None:
        pytest.skip(f"{needs} is not installed")
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_DOCKER_CPU_WARNING": "1"}
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **quiet},
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def compiled():
    return af.spaces.fbnet().compile("quadro-t2000")


def test_optuna_keeps_its_limit(compiled):
    limit_s = sum(compiled.bounds()[:2]) / 3
    found = run_example(
        "search_optuna.py", "optuna", "--trials", "60", "--limit-ms", str(limit_s * 1e3)
    )
    costs = compiled.evaluate([compiled.space.decode(found["code"])], ("time_s", "macs"))[0]
    assert costs["time_s"] == found["time_s"] <= limit_s == pytest.approx(found["limit_s"])
    assert costs["macs"] == found["macs"]
    assert 0 < found["feasible"] < found["trials"] == 60


def test_pymoo_finds_a_better_front_than_chance(compiled):
    found = run_example("search_pymoo.py", "pymoo", "--generations", "25", "--population", "80")
    front = found["front"]
    codes = np.array([compiled.space.decode(each["code"]) for each in front])
    costs = compiled.evaluate(codes, ("time_s", "macs"))
    assert costs["time_s"].tolist() == [each["time_s"] for each in front]
    assert (np.diff(costs["time_s"]) >= 0).all()
    assert (np.diff(costs["macs"]) >= 0).all()
    drawn = compiled.evaluate(compiled.space.sample(80 * 25, rng=0), ("time_s", "macs"))
    both = np.concatenate([costs, drawn])
    best = af.pareto(both, maximise="macs")
    assert (best < len(costs)).mean() > 0.5


@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_two_workers_price_as_one_process_does(compiled, engine):
    needs = {"dask": "distributed", "ray": "ray"}[engine]
    found = run_example(f"search_{engine}.py", needs, "--codes", "40000", "--workers", "2")
    assert found["equal"] is True
    assert found["codes"] == 40000
    assert found["workers"] == 2
    codes = compiled.space.sample(40000, rng=0)
    assert found["best"] == compiled.space.encode(codes[compiled.evaluate(codes).argmin()])


def test_a_search_in_cpp_builds_against_the_installed_package(tmp_path, cmake, cmake_dir):
    source = EXAMPLES / "cpp" / "search"
    configure = [cmake, "-S", source, "-B", tmp_path, f"-Dalphaflops_DIR={cmake_dir}"]
    for command in (configure, [cmake, "--build", tmp_path]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    search = [tmp_path / "search", str(PROFILE)]
    out = subprocess.run([*search, "0.08", "50"], capture_output=True, text=True, check=True).stdout
    values = dict(line.split() for line in out.splitlines())
    assert 0 < float(values["time_ms"]) <= 0.08
    assert float(values["one_by_one_ms"]) == pytest.approx(float(values["time_ms"]), rel=1e-12)
    assert int(values["macs"]) > 1_000_000
    assert float(values["evaluations_per_s"]) > 1e4
    assert all(0 <= int(digit) < 12 for digit in values["code"].split("-"))

    hopeless = subprocess.run([*search, "1e-6", "1"], capture_output=True, text=True, check=False)
    assert hopeless.returncode == 1
    assert "the fastest takes" in hopeless.stderr
    absent = subprocess.run(
        [*search[:1], "none.json", "1"], capture_output=True, text=True, check=False
    )
    assert absent.returncode == 2
    assert "none.json" in absent.stderr
    for arguments, wrong in ((["0.08", "0"], "ROUNDS is '0'"), (["fast"], "LIMIT_MS is 'fast'")):
        done = subprocess.run([*search, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert wrong in done.stderr
