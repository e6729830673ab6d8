"""A bench that is cut short loses no sample: journal, resumption, what there is by then."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from alphaflops.cli import app
from alphaflops.errors import Error, IoError, JournalError
from alphaflops.measuring import bench as bench_module
from alphaflops.measuring.bench import bench
from alphaflops.measuring.bench_file import load_bench
from alphaflops.measuring.cases import Case
from alphaflops.measuring.job import Job
from alphaflops.measuring.readings import Reading
from alphaflops.measuring.sampler import Batch, take_apart


def cases(n: int = 2) -> list[Case]:
    shape = {"c_in": 32, "h_in": 14, "w_in": 14, "k_h": 3, "k_w": 3}
    return [Case(f"row {i}", "conv2d", {**shape, "c_out": 16 * i}, "fp32") for i in range(1, n + 1)]


def after(calls: int) -> Callable[..., None]:
    """Give a tick that is Ctrl-C at its so-manieth call."""
    count = 0

    def tick(*_: object) -> None:
        nonlocal count
        count += 1
        if count == calls:
            raise KeyboardInterrupt

    return tick


def samples_of(document: dict) -> dict[tuple[str, str], list]:
    return {
        (p["name"], cache): p[cache]["samples"]
        for p in document["points"]
        for cache in ("hot", "cold")
    }


def test_ctrl_c_loses_no_sample_and_the_same_call_resumes(tmp_path: Path) -> None:
    path, seen = tmp_path / "j.sqlite", []
    with pytest.raises(
        KeyboardInterrupt, match=r"interrupted; \d+ samples are in .*j\.sqlite: run"
    ):
        bench(cases(), budget_s=30.0, journal=path, partial=seen.append, tick=after(1))
    (partial,) = seen
    assert partial["interrupted"]
    before = samples_of(partial)
    assert sum(len(rows) for rows in before.values()) > 4
    resumed: list[int] = []
    document = bench(cases(), budget_s=1.0, journal=path, on_resume=resumed.append)
    assert resumed == [sum(len(rows) for rows in before.values())]
    assert not document["interrupted"]
    assert document["options"]["seed"] == partial["options"]["seed"]
    assert [p["algorithm"] for p in document["points"]] == [
        p["algorithm"] for p in partial["points"]
    ]
    for point, rows in samples_of(document).items():
        assert rows[: len(before[point])] == before[point]


def test_a_finished_bench_is_not_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "j.sqlite"
    first = bench(cases(1), budget_s=0.5, journal=path)
    monkeypatch.setattr(bench_module, "take", None)
    assert samples_of(bench(cases(1), budget_s=1.0, journal=path)) == samples_of(first)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of a bench of one case that was cut short."""
    path = tmp_path_factory.mktemp("interrupted") / "j.sqlite"
    with pytest.raises(KeyboardInterrupt):
        bench(cases(1), budget_s=5.0, journal=path, tick=after(1))
    return path


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"threads": [1], "layout": "nchw"}, "layout: nhwc there, nchw here"),
        ({"seed": 5}, "seed: random there, 5 here"),
        ({"algorithm": "gemm"}, "algorithm: auto there, gemm here"),
        ({"processes": 2}, "processes: 1 there, 2 here"),
    ],
)
def test_another_bench_is_refused(interrupted: Path, change: dict, says: str) -> None:
    with pytest.raises(JournalError, match=says):
        bench(cases(1), **{"budget_s": 1.0, "journal": interrupted, **change})


def test_a_bench_of_other_shapes_is_refused(interrupted: Path) -> None:
    with pytest.raises(JournalError, match="shapes: 1 there, 2 here"):
        bench(cases(2), budget_s=1.0, journal=interrupted)


def test_a_process_that_fails_leaves_what_the_others_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(job: Job, process: int, *rest: object) -> None:
        if process == 1:
            raise Error("bench process 2: ended by signal 9")
        take_apart(job, process, *rest)

    path, seen = tmp_path / "j.sqlite", []
    monkeypatch.setattr(bench_module, "take_apart", failing)
    with pytest.raises(Error, match=r"process 2: ended by signal 9; \d+ samples are in .*: run"):
        bench(cases(1), budget_s=2.0, processes=2, journal=path, partial=seen.append)
    before = samples_of(seen[0])
    ran = []

    def noting(job: Job, process: int, *rest: object) -> None:
        ran.append(process)
        take_apart(job, process, *rest)

    monkeypatch.setattr(bench_module, "take_apart", noting)
    document = bench(cases(1), budget_s=1.0, processes=2, journal=path)
    assert ran == [1]
    for point, rows in samples_of(document).items():
        assert rows[: len(before[point])] == before[point]
        assert {row[6] for row in rows} == {0, 1}


def test_a_process_says_why_it_failed() -> None:
    job = Job(cases(1), ["direct"], {"fp32": "scalar"}, limit_bytes=4096)
    with pytest.raises(Error, match=r"bench process 3: row 1 .*needs \d+ bytes"):
        take_apart(job, 2, lambda _: None)


def test_a_batch_is_a_line_and_back() -> None:
    reading = Reading(1e-4, 3, 0.01, 1, 2.5e9, 1000.0, 2e-5)
    batch = Batch([((4, 1), reading)], {4: "gemm"}, 1e11, 3e9, 2, 10)
    assert "\n" not in batch.to_json()
    assert Batch.from_json(batch.to_json()) == batch


def command(*arguments: str) -> subprocess.Popen[str]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a child inherits "ignore"
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "alphaflops", "bench", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "200"},
        )
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_on_the_command_line(tmp_path: Path) -> None:
    output = tmp_path / "out.json"
    journal = tmp_path / "out.json.partial.sqlite"
    arguments = ["mobilenet_v2", "--processes", "2", "-o", str(output)]
    process = command(*arguments, "--budget", "40")
    give_up = time.monotonic() + 60
    sizes = [0]  # of a journal without samples, then of one with some
    while len(sizes) < 4:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < give_up
        time.sleep(0.1)
        size = journal.stat().st_size if journal.exists() else 0
        if size > sizes[-1]:
            sizes.append(size)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert out == ""
    said = re.search(r"interrupted; (\d+) samples are in \S+\.partial\.sqlite: run the same", err)
    assert said, err
    assert not output.exists()
    done = CliRunner().invoke(app, ["bench", *arguments, "--budget", "3"])
    assert done.exit_code == 0, done.output
    document = load_bench(output)
    assert not document["interrupted"]
    assert sum(map(len, samples_of(document).values())) > int(said[1]) > 0
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


@pytest.mark.parametrize("form", ["--json", "table"])
def test_without_an_output_what_there_is_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    interrupt = after(1)

    def interrupted(*arguments: object, **options: object) -> None:
        bench(*arguments, **{**options, "tick": interrupt})

    monkeypatch.setattr(bench_module, "bench", interrupted)
    table = tmp_path / "shapes.csv"
    table.write_text("op,batch,c_in,h_in,w_in,c_out,k_h,k_w\nconv2d,1,32,14,14,16,3,3\n")
    runner = CliRunner()
    flags = [] if form == "table" else [form]
    done = runner.invoke(app, ["bench", str(table), "--budget", "20", *flags])
    assert done.exception is not None
    if form == "table":
        assert "14x14 32>16 k3" in done.stdout
        assert "interrupted: what was measured until then" in done.stdout
    else:
        assert json.loads(done.stdout)["interrupted"]


def test_an_output_that_cannot_be_is_refused_before_time_is_spent(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["bench", "resnet18", "-o", str(tmp_path)])
    assert isinstance(done.exception, IoError)
    assert "it is a folder" in str(done.exception)
