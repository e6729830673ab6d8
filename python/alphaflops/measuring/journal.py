"""A journal of raw samples: what makes a measuring campaign survive Ctrl-C, a kill, a full disk.

One SQLite file a campaign. Samples are committed a few times a second; what was committed stays,
whatever happens to the process afterwards. A campaign with the same key resumes from them.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from alphaflops.errors import Error, IoError, JournalError
from alphaflops.measuring.readings import Reading

__all__ = ["Journal", "journal_for"]

_APPLICATION = 0x616C7068  # "alph": tells our files from other SQLite databases
_VERSION = 2
_SCHEMA = """
CREATE TABLE campaign (key TEXT NOT NULL, about TEXT NOT NULL);
CREATE TABLE shapes (id INTEGER PRIMARY KEY, about TEXT NOT NULL);
CREATE TABLE samples (
    shape INTEGER NOT NULL REFERENCES shapes (id),
    time_s REAL NOT NULL,
    iterations INTEGER NOT NULL,
    steal_s REAL NOT NULL,
    switches INTEGER NOT NULL,
    clock_hz REAL,
    at REAL NOT NULL,
    reorder_s REAL NOT NULL
);
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


@contextmanager
def journal_for(output: Path, *, keep: bool = True) -> Iterator[Path]:
    """Give the journal of a campaign whose result goes to `output`.

    It is OUTPUT.partial.sqlite until the block ends well, so that the same command resumes after
    Ctrl-C or a crash; then it becomes OUTPUT.samples.sqlite, or is removed without `keep`, and the
    next campaign starts anew.

    Raises
    ------
    IoError
        The output is a folder, or a device: known before anything is measured.
    """
    if output.is_dir():
        raise IoError(f"{output}: it is a folder; name a file")
    if output.exists() and not output.is_file():
        raise IoError(f"{output}: it is no regular file, beside which samples are kept; name one")
    partial = output.with_name(output.name + ".partial.sqlite")
    yield partial
    if keep:
        partial.replace(output.with_name(output.name + ".samples.sqlite"))
    else:
        partial.unlink(missing_ok=True)


class Journal:
    """Samples of one campaign, in one file.

    Parameters
    ----------
    path
        Made where it does not exist.
    key
        What the samples must agree in to be of the same campaign: the same text for the same
        shapes, settings and device.
    about
        The campaign in words (device, settings, number of shapes), for errors and for readers of
        the file.
    shapes
        One text a shape, in the order of the campaign.

    Raises
    ------
    JournalError
        The file belongs to another campaign or is none.
    IoError
        The file cannot be opened or written, or another campaign is writing it now.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        key: str,
        about: Mapping[str, object],
        shapes: Iterable[str] = (),
    ) -> None:
        self.path = Path(path)
        self._pending: list[tuple[int, Reading]] = []
        self._notes: dict[str, str] = {}
        if self.path.is_dir():
            raise IoError(f"{self.path}: it is a folder; name a file for the journal")
        if not self.path.parent.is_dir():
            raise IoError(f"{self.path}: the folder does not exist; make it, or name another")
        try:
            # autocommit: transactions are begun and ended by hand
            self._db = sqlite3.connect(self.path, timeout=0.2, isolation_level=None)
        except sqlite3.Error as error:
            raise self._cannot("open", error) from error
        try:
            self._prepare(key, dict(about), shapes)
        except sqlite3.DatabaseError as error:
            self._db.close()
            if isinstance(error, sqlite3.OperationalError):
                raise self._cannot("open", error) from error
            raise JournalError(
                f"{self.path}: not a measuring journal, or a damaged one ({error}); "
                "name another file, or delete this one to start anew"
            ) from error
        except Error:
            self._db.close()
            raise

    def _prepare(self, key: str, about: dict[str, object], shapes: Iterable[str]) -> None:
        db = self._db
        tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        application = db.execute("PRAGMA application_id").fetchone()[0]
        if tables and application != _APPLICATION:
            raise JournalError(
                f"{self.path}: an SQLite database of something else; name another file"
            )
        # Held until the journal is closed, so that two campaigns cannot write one file.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("BEGIN IMMEDIATE")
        if tables and self._is_same(key, about):
            db.execute("UPDATE campaign SET about = about")  # takes the write lock
        else:
            if tables:  # of another campaign, which took no sample
                for name in ("campaign", "shapes", "notes"):
                    db.execute(f"DELETE FROM {name}")
            else:
                # executescript would commit what is begun; the statements are run one by one.
                for statement in _SCHEMA.split(";\n"):
                    db.execute(statement)
            db.execute("INSERT INTO campaign VALUES (?, ?)", (key, json.dumps(about)))
            db.executemany("INSERT INTO shapes VALUES (?, ?)", enumerate(shapes))
            db.execute(f"PRAGMA application_id = {_APPLICATION}")
            db.execute(f"PRAGMA user_version = {_VERSION}")
        db.execute("COMMIT")

    def _is_same(self, key: str, about: dict[str, object]) -> bool:
        """Return whether it is of this campaign; raise where it holds samples of another."""
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version != _VERSION:
            raise JournalError(
                f"{self.path}: a journal of version {version}; this release writes version "
                f"{_VERSION}: name another file"
            )
        row = self._db.execute("SELECT key, about FROM campaign").fetchone()
        if row is None:
            raise JournalError(f"{self.path}: a journal without a campaign; delete it")
        if row[0] == key:
            return True
        if self._db.execute("SELECT count(*) FROM samples").fetchone()[0] == 0:
            return False
        theirs = json.loads(row[1])
        differ = [n for n in about if theirs.get(n) != about[n]]
        said = "; ".join(f"{n}: {theirs.get(n, 'none')} there, {about[n]} here" for n in differ)
        said = said or "of other shapes, as many as here"
        raise JournalError(
            f"{self.path}: holds samples of another campaign ({said}); name another journal, or "
            "delete this one to start anew"
        )

    def load(self) -> dict[int, list[Reading]]:
        """Return the committed samples of every shape that has some, in the order taken."""
        readings: dict[int, list[Reading]] = {}
        try:
            rows = self._db.execute(
                "SELECT shape, time_s, iterations, steal_s, switches, clock_hz, at, reorder_s "
                "FROM samples ORDER BY rowid"
            )
            for shape, time_s, iterations, steal_s, switches, clock_hz, at, reorder_s in rows:
                clock = math.nan if clock_hz is None else clock_hz  # SQLite has no NaN
                reading = Reading(time_s, iterations, steal_s, switches, clock, at, reorder_s)
                readings.setdefault(shape, []).append(reading)
        except (sqlite3.DatabaseError, TypeError) as error:
            raise JournalError(
                f"{self.path}: damaged ({error}); delete it to start anew"
            ) from error
        return readings

    def notes(self) -> dict[str, str]:
        """Return what `note` committed."""
        try:
            return dict(self._db.execute("SELECT name, value FROM notes"))
        except sqlite3.DatabaseError as error:
            raise JournalError(
                f"{self.path}: damaged ({error}); delete it to start anew"
            ) from error

    def add(self, shape: int, reading: Reading) -> None:
        """Keep a sample for the next `commit`."""
        self._pending.append((shape, reading))

    def note(self, name: str, value: str) -> None:
        """Keep a word on the campaign for the next `commit`, in place of an earlier one."""
        self._notes[name] = value

    def commit(self) -> None:
        """Write what `add` and `note` kept; on failure everything committed before stands.

        Raises
        ------
        IoError
            The disk is full, or the file cannot be written.
        """
        if not self._pending and not self._notes:
            return
        rows = [
            (s, r.time_s, r.iterations, r.steal_s, r.switches, r.clock_hz, r.at, r.reorder_s)
            for s, r in self._pending
        ]
        before = self._db.total_changes
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            self._db.executemany(
                "INSERT OR REPLACE INTO notes VALUES (?, ?)", list(self._notes.items())
            )
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise self._cannot("write", error) from error
        except KeyboardInterrupt:
            # It may come after COMMIT: written twice, a sample would count twice.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            elif self._db.total_changes > before:
                self._forget()
            raise
        self._forget()

    def _forget(self) -> None:
        self._pending.clear()
        self._notes.clear()

    def close(self) -> None:
        """Let go of the file; what was not committed is dropped."""
        self._db.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _cannot(self, what: str, error: sqlite3.Error) -> IoError:
        if "locked" in str(error):
            return IoError(
                f"{self.path}: another campaign is writing this journal; wait for it, or name "
                "another file"
            )
        return IoError(
            f"{self.path}: cannot {what} this journal ({error}); what was committed before is "
            "kept: free space, or name a file that can be written, and run the same again to resume"
        )
