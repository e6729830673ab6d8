"""Recurrences on the cuda backend: steps of a layer, how they are timed, what they are priced."""

from __future__ import annotations

import numpy as np
import pytest
from fake_gpu import FakeDriver, FakeWatch

import alphaflops as af
from alphaflops import zoo
from alphaflops._cuda_plan import Target
from alphaflops.measuring.batches import in_batches
from alphaflops.measuring.cuda_backend import CudaBackend
from alphaflops.measuring.cuda_session import CudaSession
from alphaflops.measuring.cuda_steps import bytes_of, steps_of
from alphaflops.measuring.validation import validate

HOPPER = Target(90, True, 132, 227 << 10)


def test_a_recurrence_is_two_steps_a_layer() -> None:
    graph = af.Graph("states", dtype="fp16")
    x = graph.input((4, 7, 24))
    graph.relu(graph.recurrent(x, "lstm", 40, 2, bidirectional=True, projection=16, name="rnn"))
    *steps, relu = steps_of(graph, HOPPER)
    assert [step.name for step in steps] == ["rnn.0.tokens", "rnn.0", "rnn.1.tokens", "rnn.1"]
    gates, width = 2 * 4 * 40, 2 * 16
    outputs = [step.output for step in steps]
    assert outputs == [3, 4, 5, 1]
    assert [step.inputs["input"] for step in (*steps, relu)] == [x, *outputs]
    assert bytes_of(graph, steps)[3:] == [28 * gates * 2, 28 * width * 2, 28 * gates * 2]
    assert [step.parameters for step in steps[1:3]] == [
        {"weights": gates * 16 * 2, "bias": gates * 4, "second_input": width * 40 * 2},
        {"weights": gates * width * 2, "bias": gates * 4},
    ]
    # The cells and the projection of every token; and products but behind no state.
    by_steps, by_products = steps[1].plans
    assert (by_steps.algorithm, len(by_steps.launches)) == ("recurrent_steps", 7 + 7)
    assert (by_products.algorithm, len(by_products.launches)) == ("recurrent_products", 7 + 7 + 6)
    assert steps[1].key == steps[3].key


def test_what_has_many_launches_is_timed_as_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = af.Graph("long")
    graph.recurrent(graph.input((1, 150, 8)), "gru", 16)
    session = CudaSession(FakeDriver(), FakeWatch(), "hot")
    captured: list[int] = []
    whole = session.driver.captured
    monkeypatch.setattr(
        session.driver,
        "captured",
        lambda programs, turns=1: captured.append(len(programs[0])) or whole(programs, turns),
    )
    bench = session.bench(graph)
    assert bench.warm_up() > 150 * 2e-6
    assert captured == [150, 150 + 149, 151]  # two plans by themselves, then all of it
    assert bench.busy(3) == 3
    assert len(captured) == 3


def test_recurrences_are_priced_by_their_steps() -> None:
    """Two layers of one image, from single layers of any length and batch."""

    def backend() -> CudaBackend:
        return CudaBackend("hot", driver=FakeDriver(memory_bytes=64 << 30), watch=FakeWatch())

    drawn = in_batches(af.sample_shapes(450, sequences=True))
    table = drawn[np.isin(drawn["op"], ["lstm", "gru", "linear", "concat"])]
    assert [np.sum(table["op"] == op) >= 6 for op in ("lstm", "gru")] == [True, True]
    measured = af.measure(table, backend=backend(), budget_s=20)
    profile = af.fit(measured, form="alpha-floor").profile
    lstm = zoo.build("lstm")
    assert {step.plans[0].algorithm for step in steps_of(lstm, HOPPER)} >= {"recurrent_steps"}
    (row,) = validate([lstm], profile, backend=backend(), budget_s=0.1)
    assert row["measured_s"] > 2 * 35 * 2e-6
    assert abs(row["error"]) < 0.1
