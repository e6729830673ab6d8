"""The journal: what survives, and what is refused."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from alphaflops.errors import IoError, JournalError
from alphaflops.measuring.journal import Journal, journal_for
from alphaflops.measuring.readings import Reading

ABOUT = {"device": "A", "isa": "scalar", "shapes": 2}


def reading(time_s: float) -> Reading:
    return Reading(time_s, 3, 0.01, 1, 2.5e9, 1000.0)


def test_samples_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    with Journal(path, "key", ABOUT, ["a", "b"]) as journal:
        for i in range(5):
            journal.add(i % 2, reading(i + 1.0))
        journal.commit()
        journal.commit()  # nothing is written twice
    with Journal(path, "key", ABOUT, ["a", "b"]) as journal:
        assert journal.load() == {
            0: [reading(1), reading(3), reading(5)],
            1: [reading(2), reading(4)],
        }


def test_notes_are_replaced_and_survive(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    with Journal(path, "key", ABOUT) as journal:
        journal.note("state", "early")
        journal.note("seed", "5")
        journal.commit()
        journal.note("state", "late")
        journal.commit()
        journal.note("state", "never")
    with Journal(path, "key", ABOUT) as journal:
        assert journal.notes() == {"state": "late", "seed": "5"}


def test_an_interrupted_commit_writes_samples_once(tmp_path: Path) -> None:
    class Interrupting:
        """A connection that Ctrl-C meets right before or right after a statement."""

        def __init__(self, db: sqlite3.Connection, at: str, after: bool) -> None:
            self.db, self.at, self.after = db, at, after

        def execute(self, statement: str) -> sqlite3.Cursor:
            hit, self.at = statement.startswith(self.at), self.at
            if hit and not self.after:
                raise KeyboardInterrupt
            cursor = self.db.execute(statement)
            if hit:
                raise KeyboardInterrupt
            return cursor

        def __getattr__(self, name: str) -> object:
            return getattr(self.db, name)

    for i, (at, after) in enumerate(
        [("BEGIN", False), ("BEGIN", True), ("COMMIT", False), ("COMMIT", True)]
    ):
        with Journal(tmp_path / f"{i}.sqlite", "key", ABOUT) as journal:
            journal.add(0, reading(1))
            db = journal._db
            journal._db = Interrupting(db, at, after)
            with pytest.raises(KeyboardInterrupt):
                journal.commit()
            journal._db = db
            journal.commit()
            assert journal.load() == {0: [reading(1)]}


def test_the_journal_of_an_output(tmp_path: Path) -> None:
    output = tmp_path / "out.json"
    for keep, left in ((True, ["out.json.samples.sqlite"]), (False, [])):
        with contextlib.suppress(KeyError), journal_for(output, keep=keep) as path:
            path.write_text("samples")
            raise KeyError
        assert path.read_text() == "samples"
        with journal_for(output, keep=keep) as path:
            assert path.read_text() == "samples"
        assert [p.name for p in tmp_path.iterdir()] == left
        for each in tmp_path.iterdir():
            each.unlink()
    with pytest.raises(IoError, match="it is a folder"), journal_for(tmp_path):
        pass
    with pytest.raises(IoError, match="it is no regular file"), journal_for(Path(os.devnull)):
        pass


def test_uncommitted_samples_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    with Journal(path, "key", ABOUT) as journal:
        journal.add(0, reading(1))
        journal.commit()
        journal.add(0, reading(2))
    with Journal(path, "key", ABOUT) as journal:
        assert journal.load() == {0: [reading(1)]}


def test_another_device_is_named(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    with Journal(path, "key", ABOUT) as journal:
        journal.add(0, reading(1.0))
        journal.commit()
    with pytest.raises(JournalError, match=r"device: A there, B here.*name another journal"):
        Journal(path, "other key", {**ABOUT, "device": "B"})
    with pytest.raises(JournalError, match="of other shapes"):
        Journal(path, "other key", ABOUT)
    Journal(path, "key", ABOUT).close()  # still fine for its own


def test_a_campaign_that_took_no_sample_stands_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    with Journal(path, "key", ABOUT, ["a"]) as journal:
        journal.note("seed", "5")
        journal.commit()
    with Journal(path, "other key", {**ABOUT, "device": "B"}, ["b", "c"]) as journal:
        assert not journal.notes()
        journal.add(1, reading(1.0))
        journal.commit()
    with pytest.raises(JournalError, match="device: B there, A here"):
        Journal(path, "key", ABOUT, ["a"])


@pytest.mark.parametrize("content", [b"time_s,op\n" * 200, os.urandom(8192)])
def test_a_file_that_is_no_database(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "times.csv"
    path.write_bytes(content)
    with pytest.raises(JournalError, match=r"times\.csv: not a measuring journal"):
        Journal(path, "key", ABOUT)
    assert path.read_bytes() == content


def test_another_database(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE t (x)")
    db.commit()
    db.close()
    with pytest.raises(JournalError, match="something else"):
        Journal(path, "key", ABOUT)


def test_a_damaged_journal(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    with Journal(path, "key", ABOUT, ["a" * 50] * 200) as journal:
        for i in range(2000):
            journal.add(i % 200, reading(1.0))
        journal.commit()
    data = bytearray(path.read_bytes())
    data[4096 : len(data) // 2] = b"\xff" * (len(data) // 2 - 4096)
    path.write_bytes(data)
    with (
        pytest.raises(JournalError, match=r"j\.sqlite.*damaged.*delete"),
        Journal(path, "key", ABOUT) as journal,
    ):
        journal.load()


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    with Journal(path, "key", ABOUT), pytest.raises(IoError, match="another campaign is writing"):
        Journal(path, "key", ABOUT)
    Journal(path, "key", ABOUT).close()


def test_paths_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(IoError, match="folder"):
        Journal(tmp_path, "key", ABOUT)
    with pytest.raises(IoError, match="does not exist"):
        Journal(tmp_path / "no" / "j.sqlite", "key", ABOUT)


def test_nan_clock_survives(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite", "key", ABOUT) as journal:
        journal.add(0, Reading(1.0))
        journal.commit()
        (read,) = journal.load()[0]
    assert read.time_s == 1.0
    assert math.isnan(read.clock_hz)


def run_script(body: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(body), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_full_disk_loses_nothing_committed(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    script = """
        import resource, sys
        from alphaflops.errors import IoError
        from alphaflops.measuring.journal import Journal
        from alphaflops.measuring.readings import Reading

        resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, 64 << 10))
        committed = 0
        with Journal(sys.argv[1], "key", {"device": "A"}) as journal:
            try:
                for _ in range(100):
                    for _ in range(100):
                        journal.add(0, Reading(1.0))
                    journal.commit()
                    committed += 100
            except IoError as error:
                assert "cannot write" in str(error) and "resume" in str(error), error
                print(committed)
    """
    process = run_script(script, str(path))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    committed = int(out)
    assert 100 <= committed < 10_000
    with Journal(path, "key", {"device": "A"}) as journal:
        assert len(journal.load()[0]) == committed
        journal.add(0, reading(1))
        journal.commit()  # and goes on where there is room again


def test_a_kill_loses_only_what_was_in_flight(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    script = """
        import sys
        from alphaflops.measuring.journal import Journal
        from alphaflops.measuring.readings import Reading

        with Journal(sys.argv[1], "key", {"device": "A"}) as journal:
            for n in range(1, 1_000_000):
                journal.add(0, Reading(float(n)))
                journal.commit()
                print(n, flush=True)
    """
    process = run_script(script, str(path))
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 50:
            break
    process.send_signal(signal.SIGKILL)
    said = [int(line) for line in process.stdout.read().split()]
    process.wait(timeout=60)
    if process.stderr is not None:
        process.stderr.close()
    process.stdout.close()
    least = max([50, *said[:-1]])
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            journal = Journal(path, "key", {"device": "A"})
            break
        except IoError:  # the killed process's lock goes with it, a moment later
            time.sleep(0.05)
    with journal:
        times = [r.time_s for r in journal.load()[0]]
    assert len(times) >= least
    assert times == [float(n) for n in range(1, len(times) + 1)]
