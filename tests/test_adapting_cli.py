"""`alphaflops adapt`: the same as the library, and clear about what it cannot read."""

from __future__ import annotations

import csv
import json

import pytest
from adapting_devices import (
    CODES,
    FEW,
    ONE_THREAD,
    PHONE,
    SPACE,
    times,
)
from command_line import assert_one_clear_error, run

import alphaflops as af


@pytest.fixture(scope="module")
def phone():
    """Times of 160 networks with 2 % noise, and a profile from the first 12."""
    measured = times(PHONE, noise=0.02)
    return measured, af.adapt(SPACE, CODES[FEW], measured[FEW], name="mine")


def write(path, rows, header=("arch", "time_s")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def samples(tmp_path, phone):
    measured, _ = phone
    rows = [(SPACE.encode(code), time) for code, time in zip(CODES, measured, strict=True)]
    return (
        write(tmp_path / "few.csv", rows[:12]),
        write(tmp_path / "rest.csv", rows[12:]),
        tmp_path / "phone.json",
    )


def test_command_line_and_library_agree(samples, phone):
    few, rest, out = samples
    done = run("adapt", "--space", "fbnet", "--samples", few, "--test", rest, "--json", "-o", out)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["profile"] == str(out)
    for errors in (document["fit"], document["test"]):
        assert set(errors) == {
            "mape", "mdape", "within_10pct", "spearman", "coverage_90", "n",
        }  # fmt: skip
    assert document["test"]["n"] == 148
    assert document["test"]["mape"] < 0.05
    _, found = phone
    assert af.load_profile(out).data["models"] == found.profile.data["models"]


def test_command_line_without_test_or_output(tmp_path, phone):
    rows = [(SPACE.encode(code), time) for code, time in zip(CODES[:4], phone[0], strict=False)]
    few = write(tmp_path / "few.csv", rows)
    document = json.loads(run("adapt", "--space", "fbnet", "--samples", few, "--json").stdout)
    assert document["test"] is None
    assert document["profile"] is None
    text = run("adapt", "--space", "fbnet", "--samples", few).stdout
    assert "4 networks" in text
    assert "held out" in text


def test_command_line_names_outliers_and_another_time_column(tmp_path, phone):
    measured, _ = phone
    spoiled = measured[:12].copy()
    spoiled[2] = 1e-7
    rows = [(SPACE.encode(c), "x", t) for c, t in zip(CODES, spoiled, strict=False)]
    few = write(tmp_path / "few.csv", rows, ("arch", "note", "phone_s"))
    done = run("adapt", "--space", "fbnet", "--samples", few, "--time-column", "phone_s")
    assert done.returncode == 0, done.stderr
    assert "row 3" in done.stdout


def test_command_line_takes_models_by_name(tmp_path):
    names = ("resnet18", "resnet50", "mobilenet_v2", "vgg16")
    rows = [(name, af.estimate(name, ONE_THREAD).time_s) for name in names]
    few = write(tmp_path / "few.csv", rows, ("model", "time_s"))
    out = tmp_path / "p.json"
    done = run("adapt", "--samples", few, "-o", out)
    assert done.returncode == 0, done.stderr
    found = af.estimate("vgg16", af.load_profile(out)).time_s
    assert found == pytest.approx(rows[3][1], rel=0.2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("few.csv", "no rows")),
        ("arch,time_s\n", ("few.csv", "no rows")),
        ("arch,seconds\n1,2\n", ("column 'time_s' is missing", "arch, seconds")),
        ("model,time_s\nresnet18,2\n", ("column 'arch' is missing",)),
        ("arch,time_s\n1-2-3,0.01\n", ("row 1", "3 positions")),
        ("arch,time_s\nhello,0.01\n", ("row 1", "is no code")),
        (f"arch,time_s\n{'-'.join('1' * 22)},fast\n", ("row 1", "'fast' is no number")),
        (f"arch,time_s\n{'-'.join('1' * 22)},\n", ("none of 1 times",)),
        (f"arch,time_s\n{'-'.join('1' * 22)}\n", ("none of 1 times",)),
    ],
)
def test_command_line_refuses_bad_samples(tmp_path, text, words):
    few = tmp_path / "few.csv"
    few.write_text(text)
    out = tmp_path / "p.json"
    assert_one_clear_error(run("adapt", "--space", "fbnet", "--samples", few, "-o", out), *words)
    assert not out.exists()


def test_command_line_refuses_unknown_spaces_and_files(tmp_path):
    done = run("adapt", "--space", "fbnet2", "--samples", tmp_path / "few.csv")
    assert_one_clear_error(done, "fbnet2", "use darts, fbnet")
    assert_one_clear_error(run("adapt", "--samples", "nowhere.csv"), "nowhere.csv")
