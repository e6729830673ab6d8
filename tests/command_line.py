"""The command line, run in this process or, as a user does, in one of its own."""

import io
import os
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from unittest.mock import patch

from alphaflops.__main__ import main

COLUMNS = {"COLUMNS": "200"}


def run(*arguments, **environment):
    """What the command does and says, without the half second that a process takes to start."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in "oe")
    command = ["alphaflops", *map(str, arguments)]
    code = 0
    with (
        patch.object(sys, "argv", command),
        patch.dict(os.environ, COLUMNS | environment),
        warnings.catch_warnings(record=True) as said,
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        warnings.simplefilter("default")
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    texts = [stream.buffer.getvalue().decode() for stream in (out, err)]
    texts[1] += "".join(
        warnings.formatwarning(w.message, w.category, w.filename, w.lineno) for w in said
    )
    return subprocess.CompletedProcess(command, code, *texts)


def run_process(*arguments, **environment):
    """The same in a process."""
    return subprocess.run(
        [sys.executable, "-m", "alphaflops", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **COLUMNS, **environment},
    )


def assert_one_clear_error(done, *words):
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr
    return done.stderr
