"""Whole jobs from the command line: calibrate, validate, demo, and Ctrl-C in the middle."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from alphaflops import zoo
from alphaflops.scenarios.demo import misordered, ranking_table

COMMAND = [sys.executable, "-m", "alphaflops"]


def run(*arguments, cwd):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=cwd
    )


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibrated")
    done = run("calibrate", "--budget", "6", "-o", "mine.json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return folder


def test_a_calibrated_profile_says_where_it_comes_from(calibrated):
    profile = json.loads((calibrated / "mine.json").read_text())
    assert profile["name"] == "mine"
    device, provenance = profile["device"], profile["provenance"]
    assert device["name"]
    assert device["isa"] in {"scalar", "avx2", "avx512", "neon"}
    assert device["clock_hz"] > 1e8
    assert provenance["backend"] == "native"
    assert provenance["points"] > 100
    for field in ("created", "compiler", "alphaflops_version", "dtype"):
        assert provenance[field]
    kinds = {model["kind"] for model in profile["models"]}
    assert {"conv_1x1", "conv_spatial", "conv_grouped", "linear", "elementwise"} <= kinds


def test_raw_samples_are_kept_beside_the_profile(calibrated):
    names = sorted(path.name for path in calibrated.iterdir())
    assert names == ["mine.json", "mine.json.samples.sqlite"]
    with closing(sqlite3.connect(calibrated / "mine.json.samples.sqlite")) as book:
        (samples,) = book.execute("select count(*) from samples where time_s > 0").fetchone()
    assert samples > 500


def test_reference_networks_are_priced_in_full(calibrated):
    for name in zoo.REFERENCE:
        done = run("estimate", name, "-d", "mine.json", "-f", "json", cwd=calibrated)
        report = json.loads(done.stdout)
        assert report["unpriced"] == {}
        assert report["time_interval_s"][0] < report["time_s"] < report["time_interval_s"][1]


def test_validate_compares_with_the_executor(calibrated):
    command = ("validate", "resnet18", "-d", "mine.json", "--budget", "1")
    done = run(*command, "--json", cwd=calibrated)
    document = json.loads(done.stdout)
    (network,) = document["networks"]
    assert network["name"] == "resnet18"
    error = network["predicted_s"] / network["measured_s"] - 1
    assert network["error"] == pytest.approx(error)
    assert abs(error) < 1  # a wrong unit or a missing layer would show; noise here does not
    assert document["within_10pct"] == (abs(error) <= 0.1)
    assert run(*command, "--within", "1e-9", cwd=calibrated).returncode == 1


def test_demo_shows_every_step(tmp_path):
    done = run("demo", "--budget", "5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for words in (
        "GFLOP/s",
        "alpha-floor",
        "predicted ms",
        "measured ms",
        "quadro-t2000",
        "MACs get this pair wrong: resnet18",
    ):
        assert words in done.stdout
    for name in zoo.REFERENCE:
        assert done.stdout.count(name) >= 2
    assert (tmp_path / "this-cpu.json").is_file()


def test_interrupt_keeps_the_samples_and_the_same_command_resumes(tmp_path):
    command = [*COMMAND, "calibrate", "--budget", "30", "-o", "mine.json"]
    # A shell's background jobs ignore Ctrl-C, and children inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    partial = tmp_path / "mine.json.partial.sqlite"
    give_up = time.monotonic() + 60
    sizes = [0]  # of a journal without samples, then of one with some
    while len(sizes) < 4:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < give_up
        time.sleep(0.1)
        size = partial.stat().st_size if partial.exists() else 0
        if size > sizes[-1]:
            sizes.append(size)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate()
    assert process.returncode == 130
    assert "mine.json.partial.sqlite: run the same again to resume" in message
    assert "Traceback" not in message
    assert os.listdir(tmp_path) == [partial.name]
    kept = count(partial)
    assert kept > 10

    done = run("calibrate", "--budget", "3", "-o", "mine.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"going on from {kept} samples\n" in done.stderr
    assert "going on" not in message + done.stdout
    assert count(tmp_path / "mine.json.samples.sqlite") > kept
    assert (tmp_path / "mine.json").is_file()


def count(journal):
    with closing(sqlite3.connect(journal)) as book:
        return book.execute("select count(*) from samples").fetchone()[0]


class Priced:
    """As much of a report as a ranking reads."""

    def __init__(self, name, macs, time_s):
        self.graph = type("Graph", (), {"name": name})
        self.macs, self.time_s = macs, time_s


def test_the_worst_misordered_pair_is_named():
    reports = [Priced("a", 100, 3.0), Priced("b", 200, 2.0), Priced("c", 400, 1.0)]
    sentence = misordered(reports)
    assert "a has 4.00 times fewer MACs than c and takes 3.00 times as long" in sentence
    assert misordered(reports[:1]) == "MACs order these networks as their times do."
    assert ranking_table(reports).row_count == 3
