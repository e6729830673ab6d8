"""The command line as a user meets it: results, formats, and one clear error a fault."""

import csv
import io
import json
import os
import subprocess
import sys

import pytest
from command_line import assert_one_clear_error, run, run_process

import alphaflops as af


def test_estimate_table_states_head_and_totals():
    done = run("estimate", "resnet50")
    assert done.returncode == 0, done.stderr
    for words in ("resnet50", "batch 1", "fp32", "quadro-t2000", "fused", "4,089.2 MMACs"):
        assert words in done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--batch", "9" * 20), "--batch " + "9" * 20),
        (("--batch", "6000000000"), "MACs in all exceed"),
        (("--training", "--accumulate", "9" * 20), "--accumulate " + "9" * 20),
    ],
)
def test_counts_that_64_bits_do_not_hold(options, said):
    assert (
        len(assert_one_clear_error(run("estimate", "resnet18", *options), said).splitlines()) == 1
    )


def test_estimate_json_is_one_object_and_nothing_else():
    done = run_process("estimate", "resnet50", "--format", "json", "--batch", "2")
    document = json.loads(done.stdout)
    assert document["macs"] == 2 * 4_089_184_256
    assert document["batch"] == 2
    assert done.stderr == ""


@pytest.mark.parametrize("mode", ["fused", "fused_relu", "eager"])
def test_estimate_in_every_mode(mode):
    done = run("estimate", "mobilenet_v3_large", "--mode", mode, "-f", "json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["mode"] == mode
    graph = af.load("mobilenet_v3_large")
    assert len(document["layers"]) == len(af.lower(graph, mode))


def test_estimate_shows_no_fewer_layers_than_none():
    assert_one_clear_error(run("estimate", "resnet18", "--top", "-1"), "--top", "0")
    layers = [len(run("estimate", "mlp", "--top", top).stdout.splitlines()) for top in (1, 0)]
    assert layers[0] < layers[1]


def test_estimate_a_step_of_training():
    options = ("--training", "--optimizer", "adam", "--frozen", "layer1", "--checkpoint", "layer2")
    document = json.loads(run("estimate", "resnet18", *options, "-f", "json").stdout)
    assert document["training"]["optimizer"] == "adam"
    assert {layer["pass"] for layer in document["layers"]} == set(document["passes"])
    assert set(document["passes"]) == {
        "forward",
        "input_gradient",
        "weight_gradient",
        "optimizer",
    }
    assert document["macs"] > 2.5 * 1_814_073_344
    done = run("estimate", "resnet18", *options)
    for words in ("training, adam", "weight gradient", "memory ", "optimizer: "):
        assert words in done.stdout
    done = run("estimate", "resnet18", "--training", "--frozen", "layer9")
    assert_one_clear_error(done, "frozen 'layer9'")
    done = run("estimate", "resnet18", "--training", "--optimizer", "lion")
    assert_one_clear_error(done, "lion", "adamw")


def test_estimate_csv_and_markdown():
    done = run("estimate", "vgg16", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert sum(int(row["macs"]) for row in rows) == 15_470_264_320
    assert run("estimate", "vgg16", "--format", "markdown").stdout.startswith("**vgg16")


def test_estimate_writes_a_file_or_nothing(tmp_path):
    target = tmp_path / "report.json"
    assert run("estimate", "resnet18", "-f", "json", "-o", target).returncode == 0
    assert json.loads(target.read_text())["macs"] == 1_814_073_344
    error = assert_one_clear_error(
        run("estimate", "resnet18", "-f", "json", "-o", tmp_path / "no" / "report.json")
    )
    assert str(tmp_path / "no" / "report.json") in error
    assert_one_clear_error(run("estimate", "resnet18", "-o", tmp_path), "folder")
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_full_disk_is_a_clear_error():
    if not os.path.exists("/dev/full"):
        pytest.skip("/dev/full stands for a full disk and is not here")
    assert_one_clear_error(run("estimate", "resnet18", "-o", "/dev/full"), "/dev/full", "space")


@pytest.mark.parametrize("command", ["calibrate", "measure"])
def test_an_output_that_is_no_file_is_refused_before_measuring(tmp_path, monkeypatch, command):
    def measure(*_, **__):
        pytest.fail("it measured")

    monkeypatch.setattr("alphaflops.measuring.campaign.measure", measure)
    monkeypatch.setattr("alphaflops.scenarios.calibrate.measure", measure)
    (tmp_path / "shapes.csv").write_text(TIMES.replace(",time_s", "") + "1,8,4,4,8,1,1,0,0\n")
    output = tmp_path / "pipe"
    os.mkfifo(output)
    shapes = [tmp_path / "shapes.csv"] if command == "measure" else []
    done = run(command, *shapes, "-o", output)
    assert_one_clear_error(done, str(output), "no regular file")
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "shapes.csv"}


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("resnet5", ["resnet5", "resnet50"]),
        ("missing.onnx", ["missing.onnx"]),
        ("", ["model"]),
    ],
)
def test_unknown_models_are_named(model, words):
    assert_one_clear_error(run_process("estimate", model), *words)


def test_unknown_device_suggests_the_nearest():
    assert_one_clear_error(run("estimate", "resnet18", "-d", "quadro-t200"), "quadro-t2000")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"{", "JSON"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "profile.json"),
        (b'{"format": "alphaflops-profile", "version": 99}', "version"),
        (b'{"a": 1}', "profile"),
        (b"[]", "object"),
    ],
)
def test_bad_profiles_are_clear_errors(tmp_path, content, word):
    path = tmp_path / "profile.json"
    path.write_bytes(content)
    assert_one_clear_error(run("estimate", "resnet18", "-d", path), str(path), word)


def test_sizes_out_of_range():
    assert_one_clear_error(run("estimate", "resnet18", "--batch", "0"), "batch")
    assert_one_clear_error(run("estimate", "resnet18", "--batch", str(2**61)), "2^63")
    assert_one_clear_error(run("estimate", "resnet18", "--dtype", "fp64"), "fp64", "fp32")
    assert_one_clear_error(run("estimate", "resnet18", "--dtype", "fp16"), "fp16", "quadro-t2000")


def test_compare_prices_every_pair():
    done = run("compare", "resnet18", "vgg16", "--devices", "quadro-t2000", "--json")
    networks = json.loads(done.stdout)["networks"]
    assert [n["network"] for n in networks] == ["resnet18", "vgg16"]
    assert networks[0]["time_s"]["quadro-t2000"] < networks[1]["time_s"]["quadro-t2000"]
    least, most = networks[0]["time_interval_s"]["quadro-t2000"]
    assert least < networks[0]["time_s"]["quadro-t2000"] < most


def test_compare_marks_times_that_leave_much_out():
    done = run("compare", "vgg16", "densenet121")
    vgg, densenet = (line for line in done.stdout.splitlines() if "│" in line)
    assert "°" in densenet
    assert "°" not in vgg
    assert "have no price" in done.stdout


@pytest.fixture
def with_symbols(tmp_path):
    """Two files whose inputs have symbolic axes: x of both, and y of the second."""
    models = pytest.importorskip("onnx_models", reason="the extra alphaflops[onnx] is missing")
    paths = []
    for name, others in (("one", {}), ("two", {"y": ("n", 4, 9, 8)})):
        layer = models.node("Relu") if not others else models.node("Add", "x", "y", outputs=["z"])
        outputs = ("z",) if others else ("y",)
        model = models.model_of([layer], None, ("n", 4, "h", 8), outputs=outputs, **others)
        paths.append(tmp_path / f"{name}.onnx")
        paths[-1].write_bytes(model.SerializeToString())
    return paths


def test_compare_gives_each_file_the_shapes_of_its_own_inputs(with_symbols):
    given = ["--input", "x=3x4x9x8", "-i", "y=3x4x9x8", "--json"]
    done = run("compare", *with_symbols, "mlp", *given)
    assert done.returncode == 0, done.stderr
    networks = json.loads(done.stdout)["networks"]
    assert [n["network"] for n in networks] == ["one", "two", "mlp"]
    alone = json.loads(run("estimate", with_symbols[0], *given[:2], "-f", "json").stdout)
    assert networks[0]["time_s"]["quadro-t2000"] == alone["time_s"]


def test_compare_and_shapes_that_nothing_takes(with_symbols):
    assert_one_clear_error(run("compare", *with_symbols), "symbolic", "--batch", "--input")
    done = run("compare", *with_symbols, "mlp", "--input", "image=1x3")
    assert_one_clear_error(done, "none of the models", "'image'", "they have x, y")
    done = run("compare", "mlp", "lstm", "--input", "x=1x3")
    assert_one_clear_error(done, "'x'", "only .onnx files have some")
    assert_one_clear_error(run("compare", *with_symbols, "-i", "x:3"), "'x:3'", "x3x224x224")
    done = run("compare", *with_symbols, "-i", "x=1x4x9")
    assert_one_clear_error(done, "one.onnx", "'x'")


def test_causal_attention(tmp_path):
    lots, few = (
        json.loads(run("compare", "gpt2", *option, "--json").stdout)["networks"][0]["macs"]
        for option in ([], ["--causal"])
    )
    assert lots - few == 12 * 12 * (1024 * 1023 // 2) * 2 * 64
    report = json.loads(run("estimate", "gpt2", "--causal", "-f", "json").stdout)
    assert report["macs"] == few


def test_devices_lists_the_shipped_profiles():
    assert "quadro-t2000" in run("devices").stdout
    listed = json.loads(run("devices", "--json").stdout)["devices"]
    assert "quadro-t2000" in {device["name"] for device in listed}


TIMES = "batch,c_in,h_in,w_in,c_out,k_h,k_w,pad_h,pad_w,time_s\n"


def rows(n=40):
    lines = []
    for i in range(n):
        extent, channels, kernel = 4 + 3 * (i % 13), 8 * (1 + i % 7), (1, 3)[i % 2]
        macs = extent**2 * channels**2 * kernel**2
        seconds = 2e-5 + 2e-11 * macs * (1 + 0.02 * ((i * 7919) % 5 - 2))
        pad = kernel // 2
        lines.append(
            f"1,{channels},{extent},{extent},{channels},{kernel},{kernel},{pad},{pad},{seconds}\n"
        )
    return lines


def test_fit_writes_a_profile_that_estimate_takes(tmp_path):
    (tmp_path / "times.csv").write_text(TIMES + "".join(rows(60)))
    (tmp_path / "test.csv").write_text(TIMES + "".join(rows(13)))
    out = tmp_path / "mine.json"
    done = run("fit", tmp_path / "times.csv", "--test", tmp_path / "test.csv", "--json", "-o", out)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert {"macs", "published", "alpha", "alpha-floor"} <= set(document["forms"])
    chosen = document["forms"][document["selected"]]
    assert set(chosen["cv"]) == {"mape", "mdape", "within_10pct", "spearman", "coverage_90", "n"}
    assert chosen["test"]["mape"] < 0.1
    assert document["profile"] == str(out)
    estimated = json.loads(run("estimate", "resnet18", "-d", out, "-f", "json").stdout)
    assert estimated["time_s"] > 0
    assert estimated["profile"] == "mine"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["empty"]),
        (TIMES, ["row"]),
        (TIMES.replace(",time_s", ",speed") + rows(1)[0], ["time_s"]),
        (TIMES + "1,8,4,4,8,1,1,0,0,nan\n", ["time_s", "nan"]),
        (TIMES + "1,8,4,4,8,1,1,0,0,-1\n", ["time_s", "-1"]),
        (TIMES + "1,8,4,4,8,1,1,0,0,0\n", ["time_s", "0"]),
        (TIMES + "1,0,4,4,8,1,1,0,0,0.1\n", ["c_in", "0"]),
        (TIMES + "1,8,4,4,8,9,9,0,0,0.1\n", ["kernel"]),
        (TIMES + f"1,8,{10**20},4,8,1,1,0,0,0.1\n", ["h_in"]),
        ("\x00\x01\x02", ["times.csv"]),
    ],
)
def test_bad_tables_are_clear_errors(tmp_path, text, words):
    path = tmp_path / "times.csv"
    path.write_text(text)
    out = tmp_path / "mine.json"
    assert_one_clear_error(run("fit", path, "-o", out), "times.csv", *words)
    assert not out.exists()


def test_fit_takes_what_is_known_of_the_device(tmp_path):
    (tmp_path / "times.csv").write_text(TIMES + "".join(rows(60)))
    out = tmp_path / "mine.json"
    facts = "sms=40, clock_ghz=1.59,bandwidth_gbs=320"
    done = run("fit", tmp_path / "times.csv", "--device-facts", facts, "-o", out, "--json")
    assert done.returncode == 0, done.stderr
    device = json.loads(out.read_text())["device"]
    assert (device["sms"], device["clock_ghz"], device["bandwidth_gbs"]) == (40, 1.59, 320)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ("sms", ["'sms'", "NAME=NUMBER"]),
        ("sms=many", ["'sms=many'"]),
        ("sms=40,clock_ghz=-1", ["'clock_ghz=-1'", "positive"]),
        ("sms=40,sms=80", ["sms stands twice"]),
        ("", ["NAME=NUMBER"]),
    ],
)
def test_device_facts_that_are_none(tmp_path, facts, words):
    (tmp_path / "times.csv").write_text(TIMES + "".join(rows(9)))
    done = run("fit", tmp_path / "times.csv", "--device-facts", facts)
    assert_one_clear_error(done, *words)


def test_fit_warns_of_contradictory_times_in_a_line(tmp_path):
    lines = rows(9)
    again = lines[0].rsplit(",", 1)[0] + ",9.5\n"
    (tmp_path / "times.csv").write_text(TIMES + "".join(lines) + again)
    done = run("fit", tmp_path / "times.csv", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["selected"]
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert "rows 1 and 10" in warnings[0]


def test_fit_of_a_missing_file():
    assert_one_clear_error(run("fit", "nowhere.csv"), "nowhere.csv")


def test_usage_errors_exit_with_2():
    assert run("estimat").returncode == 2
    assert run("estimate").returncode == 2
    assert run("estimate", "resnet18", "--format", "yaml").returncode == 2


def test_a_pipe_closed_early_is_no_error():
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; '{sys.executable}' -m alphaflops estimate densenet121 "
         "-f csv | head -1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.startswith("name,")


def test_library_and_command_line_agree():
    document = json.loads(run("estimate", "mobilenet_v2", "-f", "json").stdout)
    report = af.estimate("mobilenet_v2", "quadro-t2000")
    assert document["time_s"] == report.time_s
