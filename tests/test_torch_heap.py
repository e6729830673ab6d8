"""The heap that PyTorch's tensors come from: in one piece while a session times them."""

from __future__ import annotations

import platform
from functools import partial
from types import SimpleNamespace

import pytest

import alphaflops as af
from alphaflops.measuring.backends import named

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from alphaflops.measuring import torch_heap  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

BYTES, BLOCKS = 256 << 10, 64


def block(size):
    return torch.empty(size, dtype=torch.uint8)


def span():
    """Return how far apart new tensors lie."""
    addresses = [tensor.data_ptr() for tensor in [block(BYTES) for _ in range(BLOCKS)]]
    return max(addresses) - min(addresses)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other heaps stay as they are")
def test_new_tensors_lie_side_by_side(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(torch_heap, "time", SimpleNamespace(monotonic=lambda: now))
    heap = torch_heap.Heap()
    heap.tidy()  # others have run in this process
    before = heap.held_bytes
    now += 1.1
    holes, walls = zip(*[(block(4 * BYTES), block(BYTES)) for _ in range(BLOCKS)], strict=True)
    del holes
    assert heap.tidy()
    assert heap.held_bytes - before > 3 * BLOCKS * BYTES
    assert span() < BLOCKS * (BYTES + 4096)
    held = heap.held_bytes
    del walls
    now += 0.5
    assert not heap.tidy()  # once a second
    assert heap.held_bytes == held
    now += 0.6
    assert heap.tidy()
    assert heap.held_bytes > held + BLOCKS * BYTES / 2


@pytest.mark.parametrize("tidied", [False, True])
def test_whatever_is_timed_has_a_tidy_heap(tidied):
    """And a call that is not timed behind it, where it was untidy."""
    tidyings, passes, rooms = [], [], []
    let_go = partial(rooms.append, "let go")
    graph = af.Graph("one")
    graph.relu(graph.input((1, 8, 14, 14)))
    with named("torch", on="cpu").session() as session:
        session.heap = SimpleNamespace(
            tidy=lambda: tidyings.append(1) or tidied, make_room=rooms.append, let_go=let_go
        )
        bench = session.bench(graph)
        bench.warm_up()
        bench._settles, calls = False, bench._calls
        bench.sample(2)
        assert (len(tidyings), bench._calls - calls) == (1, 2 + tidied)
        session.timed(lambda: passes.append(1)).sample(3)
        assert (len(tidyings), len(passes)) == (2, 3 + tidied)
        assert rooms == [4 * 8 * 14 * 14] * 2 + ["let go"], "warm-up, sample, network"


def test_room_is_made_for_weights_as_well():
    rooms = []
    graph = af.Graph("one")
    graph.conv2d(graph.input((1, 64, 7, 7)), 128, 3, padding=1)
    with named("torch", on="cpu").session() as session:
        session.heap = SimpleNamespace(make_room=rooms.append, let_go=lambda: None)
        session.bench(graph).warm_up()
    assert rooms == [4 * 64 * 128 * 9]


def test_a_session_leaves_glibc_as_it_is_by_itself(monkeypatch):
    said = []
    monkeypatch.setattr(torch_heap.Heap, "_keeps", None)
    monkeypatch.setattr(torch_heap._core, "keep_freed_memory", said.append)
    graph = af.Graph("one")
    graph.relu(graph.input((1, 8, 14, 14)))

    def is_cut_short():
        with named("torch", on="cpu").session() as session:
            session.bench(graph).warm_up()
            session.bench(graph).warm_up()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        is_cut_short()
    assert said == [True, False]
