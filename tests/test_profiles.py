"""Device profiles: shipped ones, files, and one clear error for each bad input."""

from __future__ import annotations

import copy
import json
import re
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from measurements import published

import alphaflops as af
from alphaflops.errors import Error, IoError, ProfileError
from alphaflops.fitting.metrics import evaluate
from alphaflops.profiles import Profile, load_profile, shipped_profiles

GOOD = {
    "format": "alphaflops-profile",
    "version": 1,
    "name": "mine",
    "provenance": {"backend": "native"},
    "interval_level": 0.9,
    "models": [
        {
            "kind": "conv_1x1",
            "pass": "forward",
            "dtype": "fp32",
            "form": "alpha",
            "parameters": {"seconds_per_mac": 1e-11, "beta": 0.1, "gamma": 0.5, "floor_s": 1e-6},
            "interval": {"lower_factor": 0.8, "upper_factor": 1.3},
        },
        {
            "kind": "pool",
            "pass": "forward",
            "dtype": "fp32",
            "form": "traffic",
            "parameters": {"seconds_per_byte_read": 1e-10, "seconds_per_byte_written": 2e-10},
        },
    ],
    "out_of_scope": ["norm"],
}


def changed(*path, to):
    """Return GOOD with the value at `path` replaced, or removed where `to` is Ellipsis."""
    data = copy.deepcopy(GOOD)
    at = data
    for key in path[:-1]:
        at = at[key]
    if to is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = to
    return data


DOCS = (Path(__file__).parents[1] / "docs" / "profile.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("network", ["resnet18", "resnet50"])
def test_the_documented_profile_prices_a_network(tmp_path, network):
    (text,) = re.findall(r"```json\n(.*?)```", DOCS, re.DOTALL)
    (tmp_path / "my-cpu.json").write_text(text)
    profile = load_profile(tmp_path / "my-cpu.json")
    assert profile == Profile.from_dict(json.loads(text))
    report = af.estimate(network, profile, strict=True)
    assert not report.unpriced
    assert report.time_interval_s[0] < report.time_s < report.time_interval_s[1]


def test_the_documented_lines_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (lines,) = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    exec(lines, {"af": af})
    assert load_profile("copy.json") == load_profile("quadro-t2000")


def test_the_shipped_profile_has_the_published_parameters():
    profile = load_profile("quadro-t2000")
    found = {m["kind"]: m["parameters"] for m in profile.data["models"]}
    small = {"seconds_per_mac": 0.0375e-3 / 1e6, "beta": 0.02, "gamma": 0.99}
    large = {"seconds_per_mac": 0.0375e-3 / 1e6, "beta": 0.001, "gamma": 0.56}
    assert {k: {n: pytest.approx(v) for n, v in p.items()} for k, p in found.items()} == {
        "conv_1x1": small,
        "linear": small,
        "conv_spatial": large,
        "conv_grouped": large,
    }
    assert profile.data["out_of_scope"] == [
        "elementwise", "norm", "pool", "softmax", "copy", "reduce", "transcendental",
    ]  # fmt: skip
    assert any("outside the paper's data" in text for text in profile.assumptions)
    assert profile.device_name == "NVIDIA Quadro T2000"
    assert profile.core.interval_level == 0.9


def test_every_shipped_profile_loads_and_says_where_it_is_from():
    assert "quadro-t2000" in shipped_profiles()
    for name in shipped_profiles():
        profile = load_profile(name)
        assert profile.name == name
        assert profile.description
        assert {"backend", "created", "source", "points"} <= set(profile.data["provenance"])
        assert profile.data["errors"]


def test_the_shipped_profile_reaches_the_published_error():
    errors = evaluate(load_profile("quadro-t2000"), published("conv_quadro_t2000.csv"))
    assert errors.n == 721
    assert errors.mape == pytest.approx(0.216, abs=0.001)
    assert errors.mdape == pytest.approx(0.127, abs=0.001)
    assert errors.within_10pct == pytest.approx(0.416, abs=0.001)
    assert errors.coverage_90 == pytest.approx(0.9, abs=0.02)


def test_the_shipped_profile_is_what_its_script_makes(monkeypatch):
    table = published("conv_quadro_t2000.csv")
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    import paper_t2000  # noqa: PLC0415

    monkeypatch.delitem(sys.modules, "paper_t2000", raising=False)
    made, shipped = paper_t2000.shipped_profile(table).data, load_profile("quadro-t2000").data
    made["provenance"]["alphaflops_version"] = shipped["provenance"]["alphaflops_version"]
    assert made == shipped


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(ProfileError, match=r"did you mean 'quadro-t2000'\? shipped are"):
        load_profile("quadro_T2000")
    with pytest.raises(ProfileError, match="no profile is called 'zzz'; shipped are"):
        load_profile("zzz")
    with pytest.raises(ProfileError):
        load_profile("nul\0")


def test_save_and_load(tmp_path, monkeypatch):
    profile = Profile.from_dict(GOOD)
    path = tmp_path / "mine.json"
    profile.save(path)
    assert load_profile(path) == load_profile(str(path)) == profile
    assert json.loads(path.read_text())["models"] == GOOD["models"]
    (tmp_path / "bare").write_text(path.read_text())
    monkeypatch.chdir(tmp_path)
    assert load_profile("bare") == profile
    assert profile.kinds == ("conv_1x1", "pool")
    assert profile.core.prices("pool")
    assert not profile.core.prices("linear")


def test_data_is_a_copy():
    profile = Profile.from_dict(GOOD)
    profile.data["models"].clear()
    assert profile.data == GOOD


@pytest.mark.parametrize("target", ["missing/mine.json", ".", "mine.json/mine.json"])
def test_save_where_nothing_can_be_written(tmp_path, target):
    (tmp_path / "mine.json").write_text("old")
    with pytest.raises(IoError):
        Profile.from_dict(GOOD).save(tmp_path / target)
    assert (tmp_path / "mine.json").read_text() == "old"


def test_a_full_disk_leaves_the_old_profile(tmp_path, monkeypatch):
    path = tmp_path / "mine.json"
    path.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(IoError, match="No space left"):
        Profile.from_dict(GOOD).save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.json"]
    assert path.read_text() == "old"


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(IoError, match=r"absent\.json: cannot read this profile: No such file"):
        load_profile(tmp_path / "absent.json")
    with pytest.raises(IoError):
        load_profile(tmp_path)
    (tmp_path / "b.json").write_bytes(b'{"name": "\xff"}')
    with pytest.raises(ProfileError, match=r"b\.json: this is no device profile"):
        load_profile(tmp_path / "b.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("[]", "must be a JSON object"),
        ("{", "not valid JSON at line 1"),
        ('{"format": "onnx"}', "this is no device profile"),
        (json.dumps(GOOD)[:-1] + ', "x": 01}', "not valid JSON"),
        (json.dumps(GOOD)[:-1] + ', "name": "twice"}', "stands twice"),
        ("[" * 100_000, "must be|nested"),
        ('{"a": "\ud800"}', "half a surrogate"),
    ],
)
def test_malformed_json(text, message):
    with pytest.raises(ProfileError, match=message):
        Profile(text, "bad.json")


@pytest.mark.parametrize(
    ("path", "to", "message"),
    [
        (("version",), 2, "calibrate again"),
        (("name",), ..., '"name" is missing'),
        (("models",), [], "prices nothing"),
        (("models",), {}, '"models" must be an array'),
        (("models", 0, "kind"), "conv_9d", "kind 'conv_9d' is not known"),
        (("models", 0, "form"), "cubic", "form 'cubic' is not known"),
        (("models", 0, "parameters", "beta"), -0.1, r'"beta" is -0\.1'),
        (("models", 0, "parameters", "gamma"), "x", '"gamma" must be a number'),
        (("models", 0, "parameters", "sharpness"), 0.5, '"sharpness" is 0.5'),
        (("models", 1, "parameters", "cache_bytes"), -1, '"cache_bytes" is -1'),
        (("models", 1, "parameters", "seconds_per_byte_beyond"), "x", "must be a number"),
        (("models", 1, "parameters", "seconds_per_tap"), -1, '"seconds_per_tap" is -1'),
        (("models", 1, "parameters", "op_factors"), [2], r"op_factors must be a JSON object"),
        (("models", 1, "parameters", "op_factors"), {"add": 0}, r'op_factors: "add" is 0'),
        (("models", 1, "parameters", "op_factors"), {"ad": 2}, "operator 'ad' is not known"),
        (("models", 0, "interval", "lower_factor"), 1.2, '"lower_factor" is 1.2'),
        (("models", 0, "per_step"), True, '"per_step" is true or false, and true of recurrences'),
        (("models", 0, "per_step"), 1, '"per_step" is true or false'),
        (("models", 1, "kind"), "conv_1x1", "stands twice"),
        (("out_of_scope",), ["pool"], "kind 'pool' has a model and stands in"),
        (("out_of_scope",), None, '"out_of_scope" must be an array'),
        (("provenance", "mode"), "lazy", r"\.provenance: mode 'lazy' is not known; use fused, "),
        (("provenance", "mode"), 1, r'\.provenance: "mode" must be a string'),
        (("interval_level",), ..., "state their coverage"),
        (("assumptions",), "text", '"assumptions" must be an array'),
        (("assumptions",), [1], '"assumptions" must be an array'),
        (("device",), "gpu", '"device" must be an object'),
        (("errors",), {"pool": {"rmse": 1}}, r"errors\.pool must be an object of mape"),
        (("power_w",), float("nan"), "cannot be written as JSON"),
        (("device",), {"x": object()}, "cannot be written as JSON"),
    ],
)
def test_bad_fields_are_named(path, to, message):
    with pytest.raises(ProfileError, match=message):
        Profile.from_dict(changed(*path, to=to), "bad.json")


@pytest.mark.parametrize("mode", ["fused", "fused_relu", "eager"])
def test_the_mode_is_the_cores(mode):
    profile = Profile.from_dict(changed("provenance", "mode", to=mode))
    assert profile.mode == profile.core.mode == mode


def test_a_profile_that_says_no_mode_was_timed_in_fused():
    assert Profile.from_dict(GOOD).mode == "fused"
    assert Profile.from_dict(changed("provenance", "mode", to=None)).mode == "fused"


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
places = st.sampled_from(
    [(k,) for k in (*GOOD, "device", "errors", "standard_errors", "assumptions", "power_w")]
    + [("models", 0, k) for k in GOOD["models"][0]]
    + [("models", 0, "parameters", k) for k in GOOD["models"][0]["parameters"]]
    + [("models", 0, "interval", "upper_factor"), ("provenance", "backend"), ("provenance", "mode")]
)


@settings(max_examples=300, deadline=None)
@given(places, values)
def test_any_value_anywhere_is_a_profile_or_an_error(place, value):
    try:
        profile = Profile.from_dict(changed(*place, to=value))
    except Error:
        return
    assert Profile.from_dict(profile.data) == profile


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.one_of(st.binary(max_size=60), st.integers(0, 10**6)))
def test_any_file_is_a_profile_or_an_error(tmp_path, content):
    good = json.dumps(GOOD).encode()
    if isinstance(content, int):  # cut somewhere, and a byte flipped there
        at = content % len(good)
        content = good[:at] + bytes([good[at] ^ (1 << content % 8)]) + good[at + 1 :]
    path = tmp_path / "any.json"
    path.write_bytes(content)
    try:
        profile = load_profile(path)
    except Error:
        return
    assert isinstance(profile.name, str)


def test_package_names():
    assert af.load_profile is load_profile
    assert af.Profile is Profile
