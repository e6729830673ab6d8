"""Element types of the torch backend, and its path on a GPU, whose events and graphs stand in."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from fake_gpu import FakeWatch

import alphaflops as af
from alphaflops.errors import BrokenContextError, UnsupportedError
from alphaflops.measuring import backends
from alphaflops.measuring.batches import in_batches
from alphaflops.measuring.sampling import sample_shapes
from alphaflops.table import work_table

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from alphaflops.measuring import torch_cuda, torch_runs, torch_types  # noqa: E402
from alphaflops.measuring.torch_network import TorchNetwork  # noqa: E402
from alphaflops.measuring.torch_pool import Launch, Pool  # noqa: E402
from alphaflops.measuring.torch_session import TorchSession  # noqa: E402
from alphaflops.measuring.torch_types import multiplying_in  # noqa: E402


def test_a_network_runs_in_bf16() -> None:
    graph = af.zoo.build("mobilenet_v2", image_size=32)
    results = {}
    for dtype in ("fp32", "bf16"):
        with torch.inference_mode():
            results[dtype] = TorchNetwork(graph.with_dtype(dtype), "channels_last").run()
    assert results["bf16"].dtype == torch.bfloat16
    difference = results["bf16"].float() - results["fp32"]
    assert float(difference.norm() / results["fp32"].norm()) < 0.1


def test_every_sampled_operator_runs_in_bf16() -> None:
    design = sample_shapes(120, seed=2, mode="eager")
    small = design[(work_table(design).macs < 2e7) & (design["h_in"] <= 56)]
    small = small[small["op"] != "call"]  # which has none
    small["dtype"] = "bf16"
    names = [n for n in small.dtype.names if n not in ("op", "dtype", "pass")]
    columns = {n: np.ascontiguousarray(small[n]) for n in names}
    graphs = af._core.graphs_from_specs(small["op"].tolist(), small["dtype"].tolist(), columns)
    pool = Pool("cpu", 1 << 20)
    with torch.inference_mode():
        for graph in graphs:
            launch = Launch(graph, "channels_last", pool)
            launch.point_at_weights(0)
            output = launch.operator(*[tensor.clone() for tensor in launch.inputs()])
            assert output.dtype == torch.bfloat16
            assert tuple(output.shape) == graph.shape(len(graph) - 1)
    assert len({graph.node_op(len(graph) - 1) for graph in graphs}) > 10


def test_training_is_in_fp32() -> None:
    graph = af.Graph("layer", dtype="bf16")
    graph.conv2d(graph.input((1, 8, 8, 8)), 8, 3)
    session = object.__new__(TorchSession)  # which else would time its interlude
    session._training = False
    with pytest.raises(UnsupportedError, match="layer: training in bf16 is not supported"):
        session.bench(graph, "weight_gradient")


def switches() -> list[str]:
    parts = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)
    return [part.fp32_precision for part in parts]


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="an older PyTorch")
def test_the_dtype_decides_how_fp32_is_multiplied_and_all_is_put_back() -> None:
    before = switches()
    with multiplying_in("tf32"):
        assert switches() == ["tf32"] * 3
        with multiplying_in("fp32"):
            assert switches() == ["ieee"] * 3
        assert switches() == ["tf32"] * 3
    with pytest.raises(KeyError), multiplying_in("fp16"):
        raise KeyError
    assert switches() == before
    assert torch.backends.cudnn.allow_tf32  # PyTorch refuses to say where they contradict


def test_switches_of_an_older_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    matmul, cudnn = SimpleNamespace(allow_tf32=False), SimpleNamespace(allow_tf32=True)
    old = SimpleNamespace(cuda=SimpleNamespace(matmul=matmul), cudnn=cudnn)
    monkeypatch.setattr(torch_types, "import_torch", lambda: SimpleNamespace(backends=old))
    with multiplying_in("tf32"):
        assert (matmul.allow_tf32, cudnn.allow_tf32) == (True, True)
    with multiplying_in("fp32"):
        assert (matmul.allow_tf32, cudnn.allow_tf32) == (False, False)
    assert (matmul.allow_tf32, cudnn.allow_tf32) == (False, True)


def test_a_profile_brings_its_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "named", lambda name, **options: options)
    how = {"backend": "torch", "layout": "channels_last", "threads": 1}

    def options_of(**more: object) -> dict[str, object]:
        profile = SimpleNamespace(data={"provenance": {**how, **more}})
        return backends.backend_of(profile)

    got = options_of(on="cuda", cuda_graph=1, cudnn_benchmark=0)
    assert (got["cuda_graph"], got["cudnn_benchmark"]) == (True, False)
    assert "cuda_graph" not in options_of(on="cpu", cuda_graph=0, cudnn_benchmark=1)


def test_designs_for_a_gpu_have_batches() -> None:
    design = sample_shapes(300, seed=4, mode="eager")
    batched = in_batches(design, seed=1)
    assert (design["op"] == "call").any()
    design = design[design["op"] != "call"]  # a host makes them while the GPU works
    assert batched["op"].tolist() == design["op"].tolist()
    factors = batched["batch"] / design["batch"]
    assert set(factors) <= {2.0**i for i in range(7)}
    assert 0.2 < np.mean(factors == 1) < 0.7
    assert np.mean(factors >= 16) > 0.2
    grown = work_table(batched)
    elements = grown.activations_read + grown.weights_read + grown.elements_written
    assert elements[factors > 1].max() <= 4e7
    assert grown.macs[factors > 1].max() <= 4e10
    others = [name for name in design.dtype.names if name != "batch"]
    assert all((design[name] == batched[name]).all() for name in others)


def test_operands_lie_apart_and_begin_where_an_allocator_would() -> None:
    graph = af.Graph("sum", dtype="bf16")
    graph.add(graph.input((1, 3, 5, 7)), graph.input((1, 3, 5, 7)))
    pool = Pool("cpu", 1 << 14)
    first, second = (tensor.data_ptr() for tensor in Launch(graph, "nchw", pool).inputs())
    assert second - first == 256
    graph = af.Graph("odd", dtype="bf16")
    graph.conv2d(graph.input((1, 3, 5, 7)), 5, 3, bias=True)
    launch = Launch(graph, "channels_last", pool)
    seen = set()
    for turn in range(3):
        launch.point_at_weights(turn)
        seen |= {parameter.data_ptr() for parameter in launch.operator.parameters()}
    assert len({address % 256 for address in seen}) == 1
    assert len(seen) > 2


# PyTorch on a GPU.


class _Cuda:
    """PyTorch's module of that name: a call takes a millisecond, or nothing within a graph."""

    def __init__(self) -> None:
        self.clock_ms, self.captured, self.is_capturing = 0.0, [], False
        alive = weakref.WeakSet()
        cuda = self

        class Event:
            def __init__(self, enable_timing: bool = False) -> None:
                assert enable_timing

            def record(self) -> None:
                self.at_ms = cuda.clock_ms

            def synchronize(self) -> None: ...

            def elapsed_time(self, end: Event) -> float:
                return end.at_ms - self.at_ms

        class CUDAGraph:
            def capture_begin(self, pool: object) -> None:
                assert pool == "memory"
                assert alive or not cuda.captured, "PyTorch has let go of the pool"
                alive.add(self)
                self.counted = SimpleNamespace(calls=0)
                cuda.is_capturing = True
                cuda.captured.append(self.counted)

            def capture_end(self) -> None:
                cuda.is_capturing = False

            def replay(self) -> None:
                cuda.clock_ms += 0.01 * self.counted.calls

        self.Event, self.CUDAGraph = Event, CUDAGraph

    def called(self) -> None:
        if self.is_capturing:
            self.captured[-1].calls += 1
        else:
            self.clock_ms += 0.1

    def synchronize(self) -> None: ...

    def Stream(self) -> object:
        return "stream"

    def stream(self, stream: object):
        assert stream == "stream"
        return torch.autograd.profiler.record_function("stream")

    def graph_pool_handle(self) -> str:
        return "memory"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], torch_cuda.CudaSession]:
    cuda = _Cuda()
    monkeypatch.setattr(torch_cuda, "import_torch", lambda: SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(torch_cuda, "Pool", lambda on, rotation: Pool("cpu", rotation // 64))
    monkeypatch.setitem(torch_types._ON, "cpu", ("fp32", "fp16", "bf16"))
    launch = Launch.__init__

    def counted(self: Launch, graph: af.Graph, layout: str, pool: Pool) -> None:
        launch(self, graph, layout, pool)
        operator = self.operator
        self.operator = lambda *inputs: (cuda.called(), operator(*inputs))

    monkeypatch.setattr(Launch, "__init__", counted)

    def session(in_graphs: bool) -> torch_cuda.CudaSession:
        return torch_cuda.CudaSession("channels_last", in_graphs=in_graphs, watch=FakeWatch())

    session.cuda = cuda
    return session


def linear(features: int, dtype: str = "fp16") -> af.Graph:
    graph = af.Graph("layer", dtype=dtype)
    graph.linear(graph.input((4, features)), features)
    return graph


def test_the_time_between_two_events_is_shared_by_the_calls(gpu) -> None:
    with torch.inference_mode():
        bench = gpu(False).bench(linear(16))
        assert bench.warm_up() == pytest.approx(1e-4)
        sample = bench.sample(6)
        assert bench.busy(5) == 5
    assert sample.time_s == pytest.approx(1e-4)
    assert sample.iterations == 6
    assert sample.clock_hz == pytest.approx(1.5e9)  # of the GPU


def test_graphs_hold_many_calls_and_follow_the_pool(gpu) -> None:
    with torch.inference_mode():
        session = gpu(True)
        bench = session.bench(linear(16))
        assert bench.warm_up() == pytest.approx(1e-4)
        assert [graph.calls for graph in gpu.cuda.captured] == [10]
        sample = bench.sample(15)
        assert (sample.iterations, sample.time_s) == (20, pytest.approx(1e-5))
        session.bench(linear(3000)).warm_up()  # for which the pool grows
        assert len(gpu.cuda.captured) == 2
        assert bench.sample(1).time_s == pytest.approx(1e-5)
        assert len(gpu.cuda.captured) == 3
        assert bench.sample(1).iterations == 10
        assert len(gpu.cuda.captured) == 3


def test_graphs_share_memory_after_all_benches_of_it_are_gone(gpu) -> None:
    with torch.inference_mode():
        session = gpu(True)
        for _ in range(2):
            session.bench(linear(16)).warm_up()
    assert len(gpu.cuda.captured) == 2


def test_a_module_runs_in_a_row_like_a_graph(gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def of_module(*how: object) -> Callable[[], None]:
        asked.append(how)
        return gpu.cuda.called

    monkeypatch.setattr(torch_cuda, "of_module", of_module)
    network = SimpleNamespace(graph=linear(16))
    sample = gpu(False).module(network, 3).sample(4)
    assert asked == [(network, "channels_last", "cuda", 3)]
    assert (sample.iterations, sample.time_s) == (4, pytest.approx(1e-4))


@pytest.mark.parametrize("in_graphs", [False, True])
def test_what_fails_behind_its_first_run_is_an_error_of_the_network(
    gpu, monkeypatch: pytest.MonkeyPatch, in_graphs: bool
) -> None:
    def run() -> None:
        gpu.cuda.called()
        if gpu.cuda.is_capturing or not in_graphs:
            raise RuntimeError("operation not permitted")

    monkeypatch.setattr(torch_cuda, "of_graph", lambda *_: run)
    monkeypatch.setattr(torch_runs, "import_torch", lambda: SimpleNamespace(cuda=gpu.cuda))
    session = gpu(in_graphs)
    how = "again and captured as a CUDA graph" if in_graphs else "again"
    with pytest.raises(
        UnsupportedError, match=f"^layer: .* RuntimeError when it was run {how}: op"
    ):
        session.network(linear(16), 0)

    def broken() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(gpu.cuda, "synchronize", broken)
    with pytest.raises(BrokenContextError, match="start a new process"):
        session.network(linear(16), 0)


@pytest.mark.parametrize("of", ["graph", "module"])
def test_a_broken_gpu_is_no_error_of_one_network(monkeypatch: pytest.MonkeyPatch, of: str) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    cuda = SimpleNamespace(synchronize=broken)
    for name, stands_in in (
        ("torch_type", lambda *_: torch.float32),
        ("import_torch", lambda: SimpleNamespace(cuda=cuda)),
        ("TorchNetwork", broken),
        ("OwnModule", broken),
    ):
        monkeypatch.setattr(torch_runs, name, stands_in)
    network = linear(16) if of == "graph" else SimpleNamespace(graph=linear(16))
    with pytest.raises(BrokenContextError, match="illegal memory access"):
        getattr(torch_runs, f"of_{of}")(network, "nchw", "cuda")


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        ({"pci_domain_id": 0, "pci_bus_id": 0x1A, "pci_device_id": 3}, "00000000:1a:03.0"),
        ({"uuid": "1b2c"}, "GPU-1b2c"),
        ({}, ""),
    ],
)
def test_the_watch_finds_the_gpu_of_pytorch(monkeypatch, properties, name: str) -> None:
    cuda = SimpleNamespace(
        current_device=lambda: 0, get_device_properties=lambda i: SimpleNamespace(**properties)
    )
    monkeypatch.setattr(torch_cuda, "import_torch", lambda: SimpleNamespace(cuda=cuda))
    assert torch_cuda.nvml_name() == name


def test_what_works_in_place_has_memory_of_its_own(gpu, monkeypatch) -> None:
    graph = af.Graph("silu")
    graph.activation(graph.input((4, 16)), "silu")
    pool = Pool("cpu", 1 << 10)
    with torch.inference_mode():
        before = pool.activations(64).clone()
        pool.on = "cuda"
        monkeypatch.setitem(torch_types._ON, "cuda", ("fp32",))
        pool._blocks["overwritten", torch.float32] = torch.ones(64)
        launch = Launch(graph, "nchw", pool)
        launch.operator(*launch.inputs())
    assert torch.equal(pool.activations(64), before)
    assert not (pool.overwritten(64) == 1).any()
