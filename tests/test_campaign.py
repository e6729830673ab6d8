"""Measuring campaigns: what they return, how they stop, and that they resume."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from alphaflops import _core
from alphaflops.errors import Error, IoError, ShapeError, TableError, UnsupportedError
from alphaflops.measuring import backends, campaign
from alphaflops.measuring.campaign import measure
from alphaflops.measuring.journal import Journal, JournalError
from alphaflops.measuring.sampling import sample_shapes
from alphaflops.table import check_table, read_table, write_table


def shapes(batches: list[int], channels: int = 32) -> dict[str, object]:
    return {
        "batch": batches,
        "c_in": [channels],
        "h_in": [14],
        "w_in": [14],
        "c_out": [channels],
        "k_h": [3],
        "k_w": [3],
        "pad_h": [1],
        "pad_w": [1],
    }


def test_a_table_of_times(tmp_path: Path) -> None:
    points: list[int] = []
    calls: list[tuple[int, int, float, float]] = []
    table = measure(
        shapes([1, 4]),
        budget_s=2.0,
        progress=lambda *a: calls.append(a),
        on_point=lambda i, summary: points.append(i),
    )
    assert len(table) == 2
    assert (table["time_lo_s"] <= table["time_s"]).all()
    assert (table["time_s"] <= table["time_hi_s"]).all()
    assert (table["samples"] >= 3).all()
    assert 2.5 < table["time_s"][1] / table["time_s"][0] < 6
    assert (table["clock_hz"] > 1e8).all()
    assert (table["steal_s"] >= 0).all()
    assert set(table["unstable"]) <= {0, 1}
    assert set(table["backend"]) == {"native"}
    assert set(table["isa"]) == {_core.best_isa()}
    assert set(table["cache"]) == {"context"}
    assert table["device"][0]
    assert set(points) == {0, 1}
    assert all(0 <= done <= total == 2 and left >= 0 for done, total, _, left in calls)
    check_table(table)
    write_table(table, tmp_path / "t.csv")
    again = read_table(tmp_path / "t.csv", need_time=True)
    np.testing.assert_allclose(again["time_s"], table["time_s"])


@pytest.mark.usefixtures("five_samples")
def test_a_measured_table_can_be_measured_again() -> None:
    first = measure(shapes([1]), budget_s=10)
    second = measure(first, budget_s=10, isa="scalar")
    assert second["isa"][0] == "scalar"
    assert second["time_s"][0] > first["time_s"][0] * 0.9
    assert second.dtype.names.count("time_s") == 1


@pytest.mark.usefixtures("five_samples")
def test_every_sampled_family_is_measured() -> None:
    table = sample_shapes(40, seed=1)
    small = table[(table["c_in"] * table["c_out"] < 200_000) & (table["h_in"] <= 112)]
    result = measure(small, budget_s=60)
    assert len(result) == len(small)
    assert (result["samples"] >= 3).all()
    assert result["op"].tolist() == small["op"].tolist()


def test_the_budget_is_kept() -> None:
    start = time.monotonic()
    measure(sample_shapes(30, seed=2)[:12], budget_s=1.5)
    assert time.monotonic() - start < 4.0


def test_rows_beyond_the_budget_are_named() -> None:
    # One call of the last, 740 GFLOP, takes seconds on any core there is.
    table = shapes([1, 2, 4, 200])
    table["c_in"] = table["c_out"] = [64, 64, 64, 1024]
    with pytest.warns(RuntimeWarning, match="1 of 4 rows, which are left out: 4; give more time"):
        result = measure(table, budget_s=2.0, seed=5)
    assert result["batch"].tolist() == [1, 2, 4]


def test_errors() -> None:
    with pytest.raises(UnsupportedError, match="backend 'opencl'"):
        measure(shapes([1]), backend="opencl")
    with pytest.raises(ShapeError, match="budget_s"):
        measure(shapes([1]), budget_s=0)
    with pytest.raises(ShapeError, match="budget_s"):
        measure(shapes([1]), budget_s=float("nan"))
    with pytest.raises(UnsupportedError, match="cold"):
        measure(shapes([1]), cache="cold")
    with pytest.raises(UnsupportedError, match=r"row 1.*fp16"):
        measure({**shapes([1]), "dtype": ["fp16"]})
    with pytest.raises(TableError, match="c_in"):
        measure({**shapes([1]), "c_in": [0]})
    with pytest.raises(TableError, match="'c_in' has 3 values"):
        measure({**shapes([1, 2]), "c_in": [1, 2, 3, 4][:3], "batch": [1, 2, 3, 4]})
    with pytest.raises(Error, match=r"row 2: conv2d: needs \d+ bytes.*1500000000"):
        measure(shapes([1, 200_000]))


@pytest.mark.usefixtures("five_samples")
def test_a_finished_campaign_is_not_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    first = measure(shapes([1, 2]), budget_s=30, journal=path)
    size = path.stat().st_size
    again = measure(shapes([1, 2]), budget_s=30, journal=path, seed=9)
    assert np.array_equal(first, again)
    assert path.stat().st_size == size


def test_a_journal_of_other_shapes_or_another_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "j.sqlite"
    measure(shapes([1]), budget_s=0.5, journal=path, isa="scalar")
    with pytest.raises(JournalError, match="another campaign"):
        measure(shapes([2]), budget_s=1.0, journal=path, isa="scalar")
    with pytest.raises(JournalError, match="cache: context there, hot here"):
        measure(shapes([1]), budget_s=1.0, journal=path, isa="scalar", cache="hot")
    real = backends.describe_device

    def other(isa: str | None) -> object:
        return {**real(isa), "name": "Another CPU"}

    monkeypatch.setattr(backends, "describe_device", other)
    with pytest.raises(JournalError, match="Another CPU here"):
        measure(shapes([1]), budget_s=1.0, journal=path, isa="scalar")


@pytest.mark.usefixtures("five_samples")
def test_ctrl_c_saves_and_says_how_to_resume(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    before = _core.thread_affinity()
    seen = 0

    def interrupt(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"samples are in .*j\.sqlite: run the same again"):
        measure(shapes([1, 2]), budget_s=60, journal=path, on_point=interrupt)
    assert _core.thread_affinity() == before
    seen = 0
    with pytest.raises(KeyboardInterrupt, match="give a journal"):
        measure(shapes([1, 2]), budget_s=60, on_point=interrupt)
    resumed: list[int] = []
    with_kept = measure(shapes([1, 2]), budget_s=10, journal=path, on_resume=resumed.append)
    assert (with_kept["samples"] >= 3).all()
    assert resumed == [8]  # of each row two that `on_point` is not called for, and two
    measure(shapes([1]), budget_s=10, journal=tmp_path / "new.sqlite", on_resume=resumed.append)
    assert len(resumed) == 1


@pytest.mark.usefixtures("five_samples")
def test_a_full_disk_keeps_what_was_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "j.sqlite"
    monkeypatch.setattr(campaign, "_COMMIT_S", 0.0)
    commit = Journal.commit
    commits = 0

    def full(self: Journal) -> None:
        nonlocal commits
        commits += 1
        if commits > 3:
            raise IoError("disk is full")
        commit(self)

    monkeypatch.setattr(Journal, "commit", full)
    before = _core.thread_affinity()
    with pytest.raises(IoError, match="full"):
        measure(shapes([1, 2]), budget_s=5, journal=path)
    assert _core.thread_affinity() == before
    monkeypatch.setattr(Journal, "commit", commit)
    assert samples_in(path) == 3
    assert len(measure(shapes([1, 2]), budget_s=10, journal=path)) == 2


def samples_in(path: Path) -> int:
    import sqlite3  # noqa: PLC0415

    db = sqlite3.connect(path)
    try:
        return int(db.execute("SELECT count(*) FROM samples").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        db.close()


CAMPAIGN = """
    import os, sys
    from alphaflops.measuring import campaign, readings
    readings.SETTLED = 1.0  # a shape is settled with its fifth sample
    campaign._COMMIT_S = 0.0
    shapes = {
        "batch": [1, 2, 3, 4], "c_in": [64], "h_in": [56], "w_in": [56], "c_out": [64],
        "k_h": [3], "k_w": [3], "pad_h": [1], "pad_w": [1],
    }
    taken = 0
    sample = campaign._Campaign._sample
    def counted(self, i):
        global taken
        sample(self, i)
        taken += 1
        if taken == int(sys.argv[2]):
            os.kill(os.getpid(), 9)
    campaign._Campaign._sample = counted
    table = campaign.measure(shapes, budget_s=30, journal=sys.argv[1], isa="scalar")
    print(taken, int(table["samples"].sum()))
"""


def run_campaign(path: Path, kill_after: int) -> subprocess.CompletedProcess[str]:
    script = textwrap.dedent(CAMPAIGN)
    return subprocess.run(
        [sys.executable, "-c", script, os.fspath(path), str(kill_after)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_killed_campaign_resumes_without_measuring_again(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    killed = run_campaign(path, kill_after=13)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    kept = samples_in(path)
    assert kept == 13
    resumed = run_campaign(path, kill_after=0)
    assert resumed.returncode == 0, resumed.stderr
    taken, counted = map(int, resumed.stdout.split())
    assert samples_in(path) == kept + taken
    assert taken < counted
    again = run_campaign(path, kill_after=0)
    assert again.stdout.split()[0] == "0", again.stderr
