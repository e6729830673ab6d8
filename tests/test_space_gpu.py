"""Populations on a GPU without one: what is packed, told and cached; a made-up CuPy runs the sums.

The kernel itself runs on the emulation, in tests/cuda/test_population.cpp.
"""

import contextlib
import ctypes
import sys
import types

import numpy as np
import pytest

import alphaflops as af
from alphaflops.errors import MissingExtraError, ModelError, UnsupportedError
from alphaflops.spaces import gpu


def at(address, dtype, count):
    size = np.dtype(dtype).itemsize * int(count)
    if size == 0:
        return np.zeros(0, dtype)
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(int(address))).view(dtype)


class Array(np.ndarray):
    """Memory of the processor that passes for a GPU's."""

    device_id = 0

    @property
    def __cuda_array_interface__(self):
        return self.__array_interface__

    @property
    def device(self):
        device = contextlib.nullcontext()
        device.id = self.device_id
        return device

    @property
    def data(self):
        return types.SimpleNamespace(ptr=self.__array_interface__["data"][0])

    def get(self):
        return np.array(self)


def on_device(array, device=0):
    made = np.array(array).view(Array)
    made.device_id = device
    return made


def price_by_struct(name, arguments):
    """Do what the kernel does, from its parameters alone."""
    (p,) = arguments[0]
    columns, rows = int(p["columns"]), int(p["rows"])
    assert name.startswith(f"population_{columns if columns in (1, 2, 4, 8) else 0}_")
    codes = at(p["codes"], np.uint8, rows * p["positions"]).reshape(rows, -1)
    values = at(p["values"], np.float64, p["value_count"])
    lookups = at(p["lookups"], gpu._LOOKUP, p["sums"] + p["peaks"])
    base = at(p["base"], np.float64, columns + 1)
    finishes = at(p["finishes"], gpu._FINISH, p["quantities"])
    output = at(p["output"], np.float64, rows * p["quantities"]).reshape(-1, rows)
    bad = np.zeros(rows, bool)
    for other in at(p["others"], gpu._DIGIT, p["other_count"]):
        bad |= codes[:, other["position"]] > other["last"]
    sums, peak = np.tile(base[:columns], (rows, 1)), np.full(rows, base[columns])
    for i, lookup in enumerate(lookups):
        entry = np.full(rows, lookup["offset"], np.int64)
        for d in range(lookup["digits"]):
            digit = codes[:, lookup["position"][d]]
            bad |= digit > lookup["last"][d]
            entry += lookup["stride"][d] * np.minimum(digit, lookup["last"][d]).astype(np.int64)
        if i < p["sums"]:
            sums += values[entry[:, None] + np.arange(columns)]
        else:
            peak = np.maximum(peak, values[entry])
    for q, f in enumerate(finishes):
        result = sums[:, f["column"]]
        if f["kind"] == 0:
            result = f["scale"] * result
        elif f["kind"] == 2:
            result = result + peak
        else:
            own = at(p["widths"], np.int32, f["first_width"] + f["widths"])[f["first_width"] :]
            squares = (sums[:, own] ** 2).sum(axis=1)
            result = np.maximum(0.0, result + f["scale"] * np.sqrt(squares))
        output[q] = result if not f["integer"] else result.astype(np.int64).view(np.float64)
    if bad.any():
        at(p["error"], np.uint64, 1)[0] = 2**64 - 1 - int(bad.argmax())


@pytest.fixture
def launches(monkeypatch):
    """Put a made-up CuPy in place; gives what is launched."""
    done = []

    def kernel(name):
        def launch(grid, block, arguments, shared_mem):
            assert shared_mem <= 48 * 1024
            done.append((name, grid, block, shared_mem))
            price_by_struct(name, arguments)

        return launch

    runtime = types.SimpleNamespace(
        getDeviceProperties=lambda _: {"major": 9, "minor": 0, "multiProcessorCount": 4}
    )
    cupy = types.SimpleNamespace(
        asarray=lambda x: x if isinstance(x, Array) else on_device(x),
        empty=lambda shape, dtype: on_device(np.full(shape, np.nan, dtype)),
        zeros=lambda shape, dtype: on_device(np.zeros(shape, dtype)),
        cuda=types.SimpleNamespace(runtime=runtime),
        RawModule=lambda path: types.SimpleNamespace(get_function=kernel),
    )
    driver = types.SimpleNamespace(translated=lambda *_: contextlib.nullcontext())
    cubins = types.SimpleNamespace(cubin_of=lambda header, arch: f"{header}-{arch}")
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    for name, module in {"cupy_driver": driver, "cubins": cubins}.items():
        monkeypatch.setitem(sys.modules, f"alphaflops.cuda.{name}", module)
    monkeypatch.setitem(sys.modules, "alphaflops.cuda", types.ModuleType("alphaflops.cuda"))
    return done


@pytest.fixture(scope="module")
def compiled():
    return af.spaces.fbnet().compile(["quadro-t2000", "quadro-t2000"])


def test_structs_are_as_large_as_in_the_kernel():
    # tests/cuda/test_population.cpp asserts the same.
    sizes = [d.itemsize for d in (gpu._PARAMS, gpu._LOOKUP, gpu._FINISH, gpu._DIGIT)]
    assert sizes == [120, 40, 32, 8]


@pytest.mark.parametrize(
    "metrics",
    [
        ("time_s",),
        ("time_s", "macs"),
        ("time_lo_s", "time_hi_s", "peak_memory_bytes", "params"),
        ("alpha_flops", "macs", "flops", "params", "bytes_read", "bytes_written", "launches"),
    ],
)
def test_results_are_those_of_the_processor(launches, compiled, metrics):
    codes = compiled.space.sample(700, rng=0)
    found = compiled.evaluate(on_device(codes), metrics)
    expected = compiled.evaluate(codes, metrics)
    assert list(found) == list(metrics)
    for metric in metrics:
        assert found[metric].dtype == expected[metric].dtype
        assert found[metric].shape == expected[metric].shape
        np.testing.assert_allclose(found[metric], expected[metric], rtol=1e-15)
    assert len(launches) == 1
    assert launches[0][1] == (3,)


def test_one_metric_of_one_profile_is_an_array_and_may_be_written_to(launches):
    compiled = af.spaces.fbnet().compile("quadro-t2000")
    codes = compiled.space.sample(100, rng=0)
    expected = compiled.evaluate(codes, "time_s")
    found = compiled.evaluate(on_device(codes), "time_s")
    np.testing.assert_array_equal(found, expected)
    out = on_device(np.zeros(100))
    assert compiled.evaluate(on_device(codes), "time_s", out=out).base is not None
    np.testing.assert_array_equal(out, expected)
    assert len(compiled.on_device) == 1  # tables are copied once
    assert compiled.evaluate(on_device(codes[:0]), "macs").shape == (0,)


def test_a_second_device_has_tables_of_its_own(launches):
    compiled = af.spaces.fbnet().compile("quadro-t2000")
    codes = compiled.space.sample(10, rng=0)
    compiled.evaluate(on_device(codes))
    compiled.evaluate(on_device(codes, device=1))
    assert set(compiled.on_device) == {(("time_s",), 0), (("time_s",), 1)}
    with pytest.raises(ModelError, match="codes are on device 1 and out on device 0"):
        compiled.evaluate(on_device(codes, device=1), out=on_device(np.zeros(10)))


def test_bad_codes_are_named(launches, compiled):
    codes = compiled.space.sample(50, rng=0)
    codes[31, 4] = 9
    codes[40, 2] = 200
    with pytest.raises(ModelError, match="code 31 has 9 at position 4"):
        compiled.evaluate(on_device(codes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.astype(np.int64), "must be uint8"),
        (lambda c: c[:, :21], r"must be \[n, 22\]"),
        (np.asfortranarray, "must be contiguous"),
        (lambda c: c[0], r"must be \[n, 22\]"),
    ],
)
def test_what_is_no_population_is_refused(launches, compiled, change, message):
    codes = change(compiled.space.sample(50, rng=0))
    array = codes.view(Array)  # as it lies
    with pytest.raises(ModelError, match=message):
        compiled.evaluate(array)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.zeros(10), "not on the GPU"),
        (on_device(np.zeros(9)), r"must be \[10\]"),
        (on_device(np.zeros(10, np.float32)), "of float64"),
    ],
)
def test_outs_that_do_not_fit_are_refused(launches, out, message):
    compiled = af.spaces.fbnet().compile("quadro-t2000")
    with pytest.raises(ModelError, match=message):
        compiled.evaluate(on_device(compiled.space.sample(10, rng=0)), out=out)


def test_tables_too_large_for_shared_memory_stay_outside(launches):
    space = af.spaces.SearchSpace("wide")
    space.image(3, 8, 8)
    for i in range(3):
        # Each width is what the next position sees.
        space.choose(
            f"width{i}",
            {str(c): (lambda g, x, c=c: g.conv2d(x, c)) for c in range(1, 81)},
        )
    compiled = space.compile("quadro-t2000")
    codes = space.sample(40, rng=0)
    found = compiled.evaluate(on_device(codes), "macs")
    np.testing.assert_array_equal(found, compiled.evaluate(codes, "macs"))
    assert launches[0][0].endswith("_global")
    assert launches[0][3] == 256 * 3


def test_too_many_positions_are_told(launches):
    space = af.spaces.SearchSpace("long")
    space.image(3, 8, 8)
    for i in range(1600):
        space.position(f"p{i}", ["a", "b"])
    compiled = space.compile("quadro-t2000")
    with pytest.raises(UnsupportedError, match="1600 positions"):
        compiled.evaluate(on_device(space.sample(2, rng=0)))


def test_without_cupy_the_extra_is_named(monkeypatch, compiled):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(MissingExtraError, match=r"alphaflops\[cuda13\]"):
        compiled.evaluate(on_device(compiled.space.sample(2, rng=0)))
