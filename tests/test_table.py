"""Measurement tables: round trips, defaults, and one clear error for each bad input."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from measurements import with_column

import alphaflops as af
from alphaflops import _core
from alphaflops.errors import IoError, MissingExtraError, TableError
from alphaflops.fitting import evaluate
from alphaflops.table import check_table, read_table, table_of, work_table, write_table

HEADER = "batch,c_in,h_in,w_in,c_out,k_h,k_w,time_s"
GOOD = "1,64,56,56,128,3,3,0.001"

in_one_folder = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def read(tmp_path, text, name="times.csv", **options):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path, **options)


def minimal(rows=1, **columns):
    table = np.ones(rows, [(n, np.int64) for n in ("batch", "c_in", "h_in", "w_in", "c_out")])
    table = with_column(table, "time_s", np.full(rows, 1e-3))
    for name, values in columns.items():
        table = with_column(table, name, values)
    return table


def test_defaults_fill_the_absent_columns(tmp_path):
    table = read(tmp_path, "batch,c_in,h_in,w_in,c_out,time_s\n2,3,8,9,4,1e-3\n")
    row = table[0]
    assert [row[n] for n in ("k_h", "k_w", "stride_h", "stride_w", "groups")] == [1, 1, 1, 1, 1]
    assert [row[n] for n in ("pad_h", "pad_w", "h_out", "w_out")] == [0, 0, 0, 0]
    assert [row[n] for n in ("op", "dtype", "pass")] == ["conv2d", "fp32", "forward"]
    assert row["backend"] == row["device"] == ""
    assert table["batch"].dtype == np.int64
    assert row["time_s"] == 1e-3


def test_blank_cells_take_the_default(tmp_path):
    table = read(tmp_path, "batch,c_in,h_in,w_in,c_out,k_h,op,energy_j\n1,3,8,8,4,,,\n")
    assert table["k_h"][0] == 1
    assert table["op"][0] == "conv2d"
    assert np.isnan(table["energy_j"][0])


def test_unknown_columns_are_kept_as_numbers_or_text(tmp_path):
    text = f"{HEADER},line,score,id,note\n{GOOD},3,0.5,007,a\n{GOOD},4,1e-3,008,b\n"
    table = read(tmp_path, text)
    assert table["line"].tolist() == [3, 4]
    assert table["line"].dtype == np.int64
    assert table["score"].tolist() == [0.5, 1e-3]
    assert table["id"].tolist() == ["007", "008"]
    assert table["note"].tolist() == ["a", "b"]


def test_work_counts_by_hand():
    table = minimal(2, c_in=[64, 8], c_out=[128, 16], h_in=[56, 9], w_in=[56, 9], k_h=[3, 3])
    table = with_column(with_column(table, "k_w", [3, 3]), "h_out", [56, 0])
    table = with_column(table, "w_out", [56, 0])
    work = work_table(table)
    assert work.macs.tolist() == [56 * 56 * 9 * 64 * 128, 7 * 7 * 9 * 8 * 16]
    assert [_core.OPERATORS[op] for op in work.op] == ["conv2d", "conv2d"]


def test_byte_order_mark_and_windows_lines_are_read(tmp_path):
    table = read(tmp_path, b"\xef\xbb\xbf" + f"{HEADER}\r\n{GOOD}\r\n\r\n".encode())
    assert len(table) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        (HEADER + "\n", "only a header"),
        (b"PAR1\x00\x01\x02", "NUL bytes"),
        (b"batch,c_in\n\xff\xfe,1\n", "line 2 is not UTF-8"),
        ("batch,c_in,h_in,w_in,c_out\n1,2,3,4,5\n", "column 'time_s' missing"),
        ("batch,time_s\n1,2\n", "columns 'c_in', 'h_in', 'w_in', 'c_out' missing"),
        (f"{HEADER}\n{GOOD}\n{GOOD[:-5]}nan\n", "row 2, column 'time_s': 'nan'"),
        (f"{HEADER}\n{GOOD[:-5]}-0.1\n", "row 1, column 'time_s': '-0.1'"),
        (f"{HEADER}\n{GOOD[:-5]}0\n", "column 'time_s': '0' is not right; it must be a positive"),
        (f"{HEADER}\n{GOOD[:-5]}inf\n", "column 'time_s': 'inf'"),
        (f"{HEADER}\n{GOOD[:-5]}\n", "column 'time_s': ''"),
        (f"{HEADER}\n{GOOD[:-5]}1_0\n", "column 'time_s': '1_0'"),
        (f"{HEADER}\n1.5{GOOD[1:]}\n", "column 'batch': '1.5' is not right; it must be a whole"),
        (f"{HEADER}\n0{GOOD[1:]}\n", "column 'batch': '0'"),
        (f"{HEADER}\n{2**63}{GOOD[1:]}\n", "2^63 - 1"),
        (f"{HEADER}\n{'9' * 5000}{GOOD[1:]}\n", "column 'batch': '999"),
        (f"{HEADER}\nmany{GOOD[1:]}\n", "column 'batch': 'many'"),
        (f"{HEADER}\n{GOOD}\n{GOOD},7\n", "row 2 has 9 fields; the header has 8"),
        (f"{HEADER}\n{GOOD[:-6]}\n", "row 1 has 7 fields; the header has 8"),
        (f"{HEADER},batch\n{GOOD},1\n", "column 'batch' stands twice"),
        (f"{HEADER},\n{GOOD},1\n", "a column has no name"),
        (HEADER.replace(",", ";") + "\n" + GOOD.replace(",", ";"), "not separated by commas"),
        (f'{HEADER}\n"{GOOD}\n', "not a CSV file"),
        (f"{HEADER},dtype\n{GOOD},fp33\n", "column 'dtype': 'fp33' is not known; use one of fp32"),
        (f"{HEADER},pass\n{GOOD},sideways\n", "column 'pass': 'sideways' is not known"),
        (f"{HEADER},op\n{GOOD},conv9d\n", "row 1: op 'conv9d' is not known"),
        (f"{HEADER},groups\n{GOOD},1\n{GOOD},7\n", "row 2: "),
        (f"{HEADER},energy_j\n{GOOD},-1\n", "column 'energy_j': '-1'"),
        (f"{HEADER}\n{2**62},{2**62}{GOOD[4:]}\n", "row 1: "),
    ],
)
def test_bad_files_are_named(tmp_path, text, message):
    with pytest.raises(TableError) as caught:
        read(tmp_path, text, need_time=True)
    assert message in str(caught.value)
    assert str(tmp_path / "times.csv") in str(caught.value)


def test_missing_file_and_folder_are_named(tmp_path):
    with pytest.raises(TableError, match=r"absent\.csv: cannot read.*No such file"):
        read_table(tmp_path / "absent.csv")
    with pytest.raises(TableError, match="Is a directory"):
        read_table(tmp_path)
    with pytest.raises(TableError, match="cannot read"):
        read_table("nul\0byte.csv")


@pytest.mark.parametrize(
    "table", [[1, 2], np.ones(3), minimal().reshape(1, 1), {"batch": [1]}, None, minimal()[:0]]
)
def test_what_is_no_table_is_refused(table):
    with pytest.raises(TableError):
        check_table(table)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("batch", 1.5),
        ("batch", np.nan),
        ("c_in", np.inf),
        ("c_out", 2.0**63),
        ("h_in", -1),
        ("k_h", True),
        ("k_h", "three"),
        ("stride_h", 0),
        ("time_s", np.nan),
        ("time_s", 1e9),
        ("time_s", 1e-15),
        ("time_s", "fast"),
        ("device", b"bytes"),
    ],
)
def test_bad_values_in_arrays_are_named(column, value):
    with pytest.raises(TableError, match=f"row 1, column '{column}'"):
        check_table(minimal(1, **{column: [value]}))


def test_whole_floats_are_sizes_and_numbers_are_device_names():
    table = check_table(minimal(1, c_in=[64.0], device=[4090]))
    assert table["c_in"][0] == 64
    assert table["device"][0] == "4090"


def test_check_is_idempotent_and_copies():
    table = minimal(2)
    once = check_table(table)
    once["batch"] = 7
    assert table["batch"].tolist() == [1, 1]
    assert (check_table(once) == once).all()


text_cells = st.text(st.characters(min_codepoint=0x20, exclude_categories=("Cs",)), max_size=12)
sizes = st.integers(1, 2**12)


@in_one_folder
@given(
    st.lists(
        st.tuples(*[sizes] * 5, st.floats(1e-12, 1e6), st.floats(), text_cells, text_cells),
        min_size=1,
        max_size=6,
    )
)
def test_csv_round_trip_is_exact(tmp_path, rows):
    names = ("batch", "c_in", "h_in", "w_in", "c_out", "time_s", "score", "note", "device")
    kinds = [np.int64] * 5 + [np.float64] * 2 + ["U14"] * 2
    table = np.array(
        [(*row[:-2], f"x{row[-2]}", row[-1]) for row in rows],
        list(zip(names, kinds, strict=True)),
    )
    checked = check_table(table)
    path = tmp_path / "round.csv"
    write_table(checked, path)
    again = read_table(path)
    assert again.dtype.names == checked.dtype.names
    for name in names[:6] + names[7:]:
        assert again[name].tolist() == checked[name].tolist()
    np.testing.assert_array_equal(again["score"], checked["score"])


cells = st.sampled_from(["1", "3", "0.5", "", "nan", "-1", "x", "1e999", "٣", '"', "'", "fp16"])


@in_one_folder
@given(st.one_of(st.binary(max_size=80), st.lists(st.lists(cells, max_size=9), max_size=4)))
@example(b"\xef\xbb\xbf")
@example(b'batch,c_in\n1,"2')
def test_malformed_csv_is_a_table_or_an_error(tmp_path, content):
    if isinstance(content, list):
        lines = [HEADER, *(",".join(row) for row in content)]
        content = "\n".join(lines).encode()
    try:
        table = read(tmp_path, content)
    except TableError:
        return
    assert len(work_table(table)) == len(table) > 0


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "times.csv"
    write_table(check_table(minimal(1)), path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(IoError, match="No space left"):
        write_table(check_table(minimal(3)), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["times.csv"]


def test_write_refuses_what_csv_cannot_hold(tmp_path):
    with pytest.raises(TableError, match="row 1, column 'note'"):
        write_table(minimal(1, note=["two\nlines"]), tmp_path / "a.csv")
    with pytest.raises(TableError, match="no rows"):
        write_table(minimal(1)[:0], tmp_path / "a.csv")
    with pytest.raises(IoError):
        write_table(minimal(1), tmp_path / "no" / "folder.csv")
    assert list(tmp_path.iterdir()) == []


def test_parquet_needs_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"alphaflops\[parquet\]"):
        write_table(minimal(1), tmp_path / "a.parquet")
    with pytest.raises(MissingExtraError, match=r"alphaflops\[parquet\]"):
        read(tmp_path, b"PAR1", "a.parquet")


def test_parquet_round_trip(tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    table = check_table(minimal(3, note=["a", "b", ""], line=[1, 2, 3]))
    write_table(table, tmp_path / "a.parquet")
    assert (read_table(tmp_path / "a.parquet", need_time=True) == table).all()
    with pytest.raises(TableError, match="not a Parquet file"):
        read(tmp_path, b"PAR1 and no more", "b.parquet")


def test_package_names():
    assert af.read_table is read_table
    assert af.write_table is write_table


def test_data_frames_and_columns_are_tables(tmp_path):
    pandas = pytest.importorskip("pandas")
    columns = {
        "batch": [1, 2],
        "c_in": [8, 16],
        "h_in": 7,
        "w_in": 7,
        "c_out": 8,
        "time_s": [1e-5, 2e-5],
    }
    expected = check_table(table_of(columns, "table"))
    frame = pandas.DataFrame({**columns, "op": ["conv2d", None], "note": ["a", None]})
    for table in (columns, frame, frame.convert_dtypes()):
        found = check_table(table)
        assert found[list(expected.dtype.names)].tolist() == expected.tolist()
    assert check_table(frame)["note"].tolist() == ["a", ""]
    write_table(frame, tmp_path / "t.csv")
    assert read_table(tmp_path / "t.csv", need_time=True)["op"].tolist() == ["conv2d", "conv2d"]
    assert len(af.price(frame, "quadro-t2000")) == len(work_table(frame)) == 2
    assert evaluate("quadro-t2000", frame) == evaluate("quadro-t2000", expected)
    measured = af.measure(frame, budget_s=1.0)
    assert (measured["time_s"] != expected["time_s"]).all()
    blank = frame.assign(device=float("nan"), backend=None, stride_h=[None, 1])
    for table in (blank, blank.convert_dtypes()):
        found = check_table(table)
        for name in ("device", "backend", "stride_h", "op"):
            assert found[name].tolist() == check_table(frame)[name].tolist(), name
    frame.loc[1, "c_in"] = -1
    with pytest.raises(TableError, match="row 2, column 'c_in': -1"):
        check_table(frame)
    for nothing in (pandas.DataFrame(), 5, "times.csv", None, np.zeros(3)):
        with pytest.raises(TableError, match=r"table: .*columns"):
            check_table(nothing)
