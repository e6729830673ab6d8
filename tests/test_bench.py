"""The microbenchmark: what a result holds, its statistics, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from alphaflops import _core, zoo
from alphaflops.cli import app
from alphaflops.errors import Error, ShapeError, TableError, UnsupportedError
from alphaflops.measuring import bench as bench_module
from alphaflops.measuring import sampler
from alphaflops.measuring.bench import bench
from alphaflops.measuring.bench_file import load_bench, to_csv
from alphaflops.measuring.cases import Case, cases_of, cases_of_graph
from alphaflops.measuring.compare import compare_benches
from alphaflops.measuring.job import Job, parse_threads
from alphaflops.measuring.points import causes, floor_of, is_settled, point_stats
from alphaflops.measuring.readings import Reading
from alphaflops.measuring.sampler import take_apart
from alphaflops.render_bench import bench_table
from alphaflops.roofline import draw_roofline

HEADER = "op,batch,c_in,h_in,w_in,c_out,k_h,k_w,pad_h,pad_w,stride_h,stride_w,groups\n"
ROWS = (
    "conv2d,1,32,14,14,48,3,3,1,1,1,1,1\n"
    "conv2d,1,64,28,28,64,3,3,1,1,1,1,64\n"
    "linear,2,256,1,1,100,1,1,0,0,1,1,1\n"
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "shapes.csv"
    path.write_text(HEADER + ROWS)
    return path


def settle_soon(patch: pytest.MonkeyPatch) -> None:
    """Have points settled with their twelfth sample, however slow the machine is."""
    patch.setattr(sampler, "is_settled", lambda readings: len(readings) >= 12)
    patch.setattr(bench_module, "_ROOF_MOST_S", 0.3)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    settle_soon(monkeypatch)


@pytest.fixture(scope="module")
def result() -> dict:
    cases = cases_of_graph(zoo.build("mobilenet_v2"))[3:8]
    with pytest.MonkeyPatch.context() as patch:
        settle_soon(patch)
        return bench(cases, budget_s=60.0, seed=1)


def one(**changes: int) -> Case:
    shape = {"batch": 1, "c_in": 16, "h_in": 14, "w_in": 14, "c_out": 16, "k_h": 3, "k_w": 3}
    shape |= {"pad_top": 1, "pad_bottom": 1, "pad_left": 1, "pad_right": 1}
    return Case("one", "conv2d", {**shape, **changes}, "fp32")


def reading(time_s: float, **fields: float) -> Reading:
    return Reading(time_s, **{"clock_hz": 3e9, **fields})


def test_a_result_holds_times_shares_bounds_and_samples(result: dict) -> None:
    assert len(result["points"]) == 5
    assert result["left_out"] == []
    for point in result["points"]:
        assert 0 < point["macs_without_padding"] <= point["macs"]
        for cache in ("hot", "cold"):
            s = point[cache]
            assert 0 < s["min_s"] <= s["floor_s"] <= s["time_s"] <= s["q3_s"]
            assert s["time_lo_s"] <= s["time_s"] <= s["time_hi_s"]
            assert s["ops_per_s"] == pytest.approx(2 * point["macs"] / s["time_s"])
            # A roof probed while a neighbour was busy may lie a little low.
            assert 0 < s["share_of_peak"] < 1.5
            assert 0 < s["share_of_bound"] < 1.8
            assert s["bound"] in {"compute", "cache", "memory"}
            assert len(s["samples"]) >= s["used"] >= 1
            assert all(row[0] > 0 for row in s["samples"])
        # Weights and activations must come from memory first.
        assert point["cold"]["floor_s"] > point["hot"]["floor_s"]


def test_hot_and_cold_take_turns_at_random(result: dict) -> None:
    taken = [
        (row[5], p["name"], cache)
        for p in result["points"]
        for cache in ("hot", "cold")
        for row in p[cache]["samples"]
    ]
    order = [(name, cache) for _, name, cache in sorted(taken)]
    rounds = [order[i * 10 : i * 10 + 10] for i in range(3)]
    assert all(len(set(each)) == 10 for each in rounds)
    assert rounds[0] != rounds[1]


def test_a_depthwise_layer_is_bound_by_memory_when_cold(result: dict) -> None:
    own = [p for p in result["points"] if p["kind"] == "depthwise"]
    assert own
    assert {p["cold"]["bound"] for p in own} == {"memory"}


def test_a_table_of_shapes(table: Path) -> None:
    cases = cases_of(table)
    assert [c.op for c in cases] == ["conv2d", "conv2d", "linear"]
    assert [c.kind for c in cases] == ["3x3", "depthwise", "linear"]
    assert cases[0].shape["pad_bottom"] == 1
    assert _core.conv_macs(cases[2].shape) == (2 * 256 * 100, 2 * 256 * 100)


def test_distinct_layers_of_a_network() -> None:
    cases = cases_of_graph(zoo.build("resnet50"))
    assert sum(c.count for c in cases) == 54
    assert len({json.dumps(c.shape) for c in cases}) == len(cases) < 30
    total = sum(c.count * _core.conv_macs(c.shape)[0] for c in cases)
    assert total == 4_089_184_256


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("dtype", ["bf16", "int8"])
def test_narrow_dtypes_and_algorithms(dtype: str) -> None:
    case = Case("one", "conv2d", one().shape, dtype)
    document = bench([case], algorithm="gemm", budget_s=60.0)
    assert document["points"][0]["algorithm"] == "gemm"
    assert document["points"][0]["dtype"] == dtype


def test_two_processes_and_fresh_inputs() -> None:
    document = bench([one()], budget_s=2.0, processes=2)
    processes = {row[6] for row in document["points"][0]["hot"]["samples"]}
    assert processes == {0, 1}
    sums = []
    for seed in (1, 2, 1):
        native = _core.ConvBench(one().shape, _core.ConvWorkbench(1, seed))
        native.sample(3)
        sums.append(native.checksum)
    assert sums[0] == sums[2] != sums[1]


@pytest.mark.usefixtures("soon")
def test_each_shape_on_each_number_of_threads() -> None:
    if _core.processor_count() < 2:
        pytest.skip("one processor")
    cases = [one(c_in=64, c_out=64), one(c_in=8)]
    document = bench(cases, threads="1-2", budget_s=60.0)
    assert [p["threads"] for p in document["points"]] == [1, 2, 1, 2]
    assert [r["threads"] for r in document["roofs"]] == [1, 2]
    alone, together = document["points"][:2]
    for cache in ("hot", "cold"):
        assert alone[cache]["speedup"] == 1.0
        ratio = alone[cache]["floor_s"] / together[cache]["floor_s"]
        assert together[cache]["speedup"] == ratio
    lines = list(csv.DictReader(io.StringIO(to_csv(document))))
    assert [line["threads"] for line in lines] == ["1", "2", "1", "2"]
    assert float(lines[1]["hot_speedup"]) == together["hot"]["speedup"]
    result = compare_benches(document, {**document, "points": document["points"][1:]})
    assert [p["threads"] for p in result["points"]] == [2, 2, 1, 1, 2, 2]
    assert {p["ratio"] for p in result["points"]} == {1.0}
    assert result["only_a"] == [alone["label"]]


@pytest.mark.parametrize(
    ("text", "counts"), [("1", [1]), ("1,1", [1]), ("1-1", [1]), (1, [1]), ([1], [1])]
)
def test_numbers_of_threads(text: str | int | list[int], counts: list[int]) -> None:
    assert parse_threads(text) == counts


def test_auto_measures_once_and_all_processes_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = []

    def noting(job: Job, *rest: object) -> None:
        jobs.append(job)
        take_apart(job, *rest)

    monkeypatch.setattr(bench_module, "take_apart", noting)
    case = one(c_in=128, c_out=128, h_in=28, w_in=28)
    document = bench([case], budget_s=2.0, processes=2)
    chosen = document["points"][0]["algorithm"]
    assert chosen in {"winograd2", "winograd4"}  # 2.25 times fewer multiplications or more
    assert [job.algorithms for job in jobs] == [["auto"], [chosen]]
    assert document["options"]["algorithm"] == "auto"
    settle_soon(monkeypatch)
    document = bench([case], budget_s=60.0, winograd=False)
    assert document["points"][0]["algorithm"] in {"direct", "gemm"}


@pytest.mark.usefixtures("soon")
def test_an_algorithm_a_case() -> None:
    document = bench([one(), one(c_in=8)], algorithm=["direct", "gemm"], budget_s=60.0)
    assert [p["algorithm"] for p in document["points"]] == ["direct", "gemm"]
    with pytest.raises(ShapeError, match="1 algorithms for 2 cases"):
        bench([one(), one(c_in=8)], algorithm=["direct"])


@pytest.mark.usefixtures("soon")
def test_nchw_reports_what_reordering_takes() -> None:
    case = one(c_in=64, c_out=64, h_in=56, w_in=56)
    nchw = bench([case], algorithm="direct", layout="nchw", budget_s=60.0)
    nhwc = bench([case], algorithm="direct", budget_s=60.0)
    for cache in ("hot", "cold"):
        stats = nchw["points"][0][cache]
        assert 0 < stats["reorder_s"] < stats["time_s"]
        assert all(0 < row[7] < row[0] for row in stats["samples"])
        assert nhwc["points"][0][cache]["reorder_s"] == 0
    assert nchw["points"][0]["layout"] == "nchw"
    assert "hot_reorder_s" in to_csv(nchw).splitlines()[0]
    with pytest.raises(TableError, match="threads and layout"):
        compare_benches(nchw, nhwc)


def test_tables_of_several_threads_and_of_nchw(result: dict) -> None:
    def shown(document: dict) -> str:
        console = Console(width=250, record=True, file=io.StringIO())
        console.print(bench_table(document))
        return console.export_text()

    plain = shown(result)
    assert "speed-up" not in plain
    assert "reorder" not in plain
    options = result["options"]
    several = shown({**result, "options": {**options, "threads": [1, 2]}})
    assert "speed-up" in several
    reordered = shown({**result, "options": {**options, "layout": "nchw"}, "interrupted": True})
    assert "0.0 (0%)" in reordered
    assert "interrupted: what was measured until then" in reordered


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"threads": 4096}, UnsupportedError, "threads is 4096; this process may use"),
        ({"threads": 0}, ShapeError, "threads is 0"),
        ({"isa": "avx1024"}, UnsupportedError, "avx1024"),
        ({"threads": "1-4096"}, UnsupportedError, "threads is 4096; this process may use"),
        ({"threads": "2-1"}, ShapeError, "threads is '2-1'; give a number, a list such as 1,2"),
        ({"threads": "1,x"}, ShapeError, "threads is '1,x'"),
        ({"threads": []}, ShapeError, "threads is empty"),
        ({"layout": "chwn"}, UnsupportedError, "layout 'chwn' is neither nhwc nor nchw"),
        ({"algorithm": "fft"}, UnsupportedError, "'fft' is none of auto, direct"),
        ({"algorithm": "depthwise"}, UnsupportedError, "one .14x14 16>16 k3.: .*depthwise"),
        ({"budget_s": -1.0}, ShapeError, "budget_s is -1"),
        ({"budget_s": 1e-4}, TableError, "did not reach any of 1 shapes; give more time"),
        ({"processes": 0}, ShapeError, "processes is 0"),
        ({"delay": -1.0}, ShapeError, "delay is -1"),
        ({"limit_bytes": 4096}, Error, r"one .14x14 16>16 k3.: .*needs \d+ bytes.* 4096 are"),
    ],
)
def test_bad_input_is_refused(options: dict, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        bench([one()], **{"budget_s": 0.2, **options})


def test_a_shape_that_no_memory_holds_is_refused_before_allocation() -> None:
    with pytest.raises(Error, match=r"needs \d{13,} bytes"):
        bench([one(batch=10_000_000, h_in=112, w_in=112)], budget_s=0.2)


def test_nchw_takes_fp32_only() -> None:
    with pytest.raises(UnsupportedError, match="layout nchw takes fp32, not int8; use nhwc"):
        bench([Case("one", "conv2d", one().shape, "int8")], layout="nchw", budget_s=0.2)


def test_an_absent_dtype_and_other_operators_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="fp16"):
        bench([Case("one", "conv2d", one().shape, "fp16")], budget_s=0.2)
    path = tmp_path / "shapes.csv"
    path.write_text("op,batch,c_in,h_in,w_in,c_out\nrelu,1,8,8,8,8\n")
    with pytest.raises(TableError, match="row 1: op 'relu' is no convolution"):
        cases_of(path)


def test_a_short_budget_says_what_it_left_out() -> None:
    cases = [one(), one(c_in=512, c_out=512, h_in=112, w_in=112, batch=8)]
    with pytest.warns(RuntimeWarning, match=r"did not reach 1 of 2 shapes.*512>512"):
        document = bench(cases, budget_s=0.5)
    assert len(document["points"]) == 1
    assert "512>512" in document["left_out"][0]


def test_statistics_of_a_point() -> None:
    stats = point_stats([reading(t) for t in (5.0, 1.0, 2.0, 3.0, 4.0)])
    assert (stats["time_s"], stats["min_s"], stats["q3_s"], stats["mad_s"]) == (3, 1, 4, 1)
    assert floor_of(np.array([3.0, 1.0, 2.0])) == pytest.approx(1.1)
    assert not stats["floor_settled"]


def test_disturbed_samples_do_not_count_where_others_exist() -> None:
    clean = [reading(1.0 + i / 1e4) for i in range(10)]
    stats = point_stats([*clean, reading(0.1, switches=1), reading(9.0, steal_s=0.01)])
    assert stats["used"] == 10
    assert stats["min_s"] == 1.0


def test_causes_are_named() -> None:
    steady = [reading(1.0 + i / 1e4) for i in range(20)]
    assert causes(steady) == []
    assert is_settled(steady)
    assert causes([reading(1.0, steal_s=0.01)] * 8 + steady[:12]) == ["steal"]
    assert causes([reading(1.0, switches=2)] * 8 + steady[:12]) == ["switches"]
    assert "clock" in causes([reading(1.0, clock_hz=2e9)] * 8 + steady[:12])
    assert "bimodal" in causes([reading(1.3 + i / 1e4) for i in range(8)] + steady)
    wide = [reading(float(t)) for t in np.random.default_rng(0).lognormal(0, 0.3, 15)]
    assert causes(wide) == ["noise"]
    assert not is_settled(wide)
    assert causes([reading(1.0)]) == ["samples"]


def test_saved_and_read_again(result: dict, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(result, allow_nan=False))
    assert load_bench(path) == json.loads(json.dumps(result))
    lines = list(csv.DictReader(io.StringIO(to_csv(result))))
    assert len(lines) == 5
    assert float(lines[0]["hot_time_s"]) == result["points"][0]["hot"]["time_s"]
    for text, says in (("{}", "not a saved bench"), ("x", "not a saved"), (None, "cannot read")):
        other = tmp_path / f"{says}.json"
        if text is not None:
            other.write_text(text)
        with pytest.raises(TableError, match=says):
            load_bench(other)


def test_roofline_is_drawn(result: dict, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "roofline.png"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of matplotlib's own imports
        draw_roofline(result, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 20_000


def test_command_line(table: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    saved = tmp_path / "bench.json"
    done = runner.invoke(app, ["bench", str(table), "--budget", "1", "-o", str(saved)])
    assert done.exit_code == 0, done.output
    assert "14x14 32>48 k3" in done.stdout
    assert len(load_bench(saved)["points"]) == 3

    done = runner.invoke(app, ["bench", str(table), "--budget", "0.5", "--json"])
    assert json.loads(done.stdout)["format"] == "alphaflops bench"
    done = runner.invoke(app, ["bench", str(table), "--budget", "0.5", "--csv"])
    assert done.stdout.splitlines()[0].startswith("name,label,kind")

    done = runner.invoke(app, ["bench", "compare", str(saved), str(saved), "--json"])
    assert done.exit_code == 0, done.output
    assert {p["ratio"] for p in json.loads(done.stdout)["points"]} == {1.0}
