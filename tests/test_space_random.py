"""Random small spaces: programs with notes, several tensors and positions that are read again.

Everything about them can be counted out: tables against graphs, bounds, changes, means and their
gradients against all codes.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from space_profiles import COUNTS, SUMS, assert_same, device, unread_bytes

import alphaflops as af
from alphaflops.errors import ModelError, UnsupportedError
from alphaflops.spaces import Flow, SearchSpace

PROFILES = [
    device("first", seed=3, dtypes=("fp32", "int8")),
    device("second", seed=4, dtypes=("fp32", "int8"), overhead_s=0.0),
]
LINEAR = ("time_s", "energy_j", "alpha_flops", *COUNTS)


def conv(graph, x, c_out, kernel=3, stride=1):
    x = graph.conv2d(x, c_out, kernel, stride, kernel // 2)
    return graph.relu(graph.batch_norm(x))


@dataclass(frozen=True)
class Do:
    """A step that any flow can meet; all images have the same side."""

    what: str

    def __call__(self, graph, flow, choice):
        return getattr(self, self.what)(graph, flow.tensors, flow.notes, choice)

    def conv(self, graph, tensors, notes, choice):
        return Flow((*tensors[:-1], conv(graph, tensors[-1], 4 + 4 * choice)), notes)

    def skip(self, graph, tensors, notes, choice):
        x = tensors[0]
        return Flow((x if choice == 0 else graph.max_pool(x, 3, 1, 1), *tensors[1:]), notes)

    def fork(self, graph, tensors, notes, choice):
        return Flow((*tensors, conv(graph, tensors[0], 4, 1 + 2 * choice)), notes)

    def alias(self, _graph, tensors, notes, choice):
        return Flow((*tensors, tensors[choice % len(tensors)]), notes)

    def view(self, graph, tensors, notes, _choice):
        return Flow((*tensors, graph.view(tensors[0], graph.shape(tensors[0]))), notes)

    def join(self, graph, tensors, notes, _choice):
        return Flow((tensors[0] if len(tensors) == 1 else graph.concat(list(tensors)),), notes)

    def drop(self, _graph, tensors, notes, choice):
        return Flow((tensors[choice % len(tensors)],), notes)

    def turn(self, _graph, tensors, notes, _choice):
        return Flow(tensors[::-1], notes)

    def note(self, _graph, tensors, notes, choice):
        return Flow(tensors, (*notes, choice))

    def noted(self, graph, tensors, notes, choice):
        return Flow((*tensors[1:], conv(graph, tensors[0], 4 + sum(notes) + choice)), notes[1:])

    def forget(self, _graph, tensors, _notes, _choice):
        return Flow(tensors)

    def bits(self, graph, tensors, notes, choice):
        graph.set_dtype("int8" if choice else "fp32")
        return Flow((*tensors[:-1], conv(graph, tensors[-1], 8)), notes)

    def shrink(self, graph, tensors, notes, choice):
        return Flow(tuple(conv(graph, x, 4 + choice, 3, 2) for x in tensors), notes)

    def head(self, graph, tensors, _notes, _choice):
        x = tensors[0] if len(tensors) == 1 else graph.concat(list(tensors))
        return Flow((graph.linear(graph.flatten(graph.global_avg_pool(x)), 5),))


KINDS = ("conv", "skip", "fork", "alias", "view", "join", "drop", "turn", "note", "noted",
         "forget", "bits", "shrink")  # fmt: skip


@st.composite
def spaces(draw):
    space = SearchSpace("random")
    for i, choices in enumerate(draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))):
        space.position(f"p{i}", [f"c{c}" for c in range(choices)])
    reads = st.one_of(st.none(), st.integers(0, space.positions - 1))
    space.image(3, 8, 8)
    space.add("stem", Do("conv"))
    for i, (what, position) in enumerate(
        draw(st.lists(st.tuples(st.sampled_from(KINDS), reads), min_size=1, max_size=9))
    ):
        space.add(f"part{i}", Do(what), position)
    space.add("head", Do("head"))
    return space


def all_codes(space):
    ranges = [range(len(c)) for c in space.choices]
    return np.array(list(itertools.product(*ranges)), np.uint8).reshape(-1, space.positions)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(spaces(), st.integers(1, 3), st.sampled_from(["fused", "eager"]))
def test_tables_cost_what_graphs_cost(space, batch, mode):
    tables = space.compile(PROFILES, batch=batch, mode=mode)
    codes = all_codes(space)
    assert_same(space, tables, codes[:: max(1, len(codes) // 6)])
    for code in codes[:: max(1, len(codes) // 3)]:
        bound = tables.evaluate(code[np.newaxis], "peak_memory_bytes")[0]
        graph = space.graph(code, batch)
        assert bound >= af._core.peak_memory(graph, mode).total_bytes - unread_bytes(graph)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(spaces(), st.data())
def test_bounds_changes_and_means_are_those_of_all_codes(space, data):
    tables = space.compile(PROFILES[0])
    codes = all_codes(space)
    metric = data.draw(st.sampled_from(LINEAR))
    costs = tables.evaluate(codes, metric).astype(float)

    least, most, cheapest, dearest = tables.bounds(metric)
    np.testing.assert_allclose([least, most], [costs.min(), costs.max()], rtol=1e-12)
    ends = tables.evaluate(np.stack([cheapest, dearest]), metric)
    np.testing.assert_allclose(ends, [costs.min(), costs.max()], rtol=1e-12)

    of = {code.tobytes(): cost for code, cost in zip(codes, costs, strict=True)}
    code = codes[data.draw(st.integers(0, len(codes) - 1))]
    for position, choices in enumerate(space.choices):
        for choice in range(len(choices)):
            other = code.copy()
            other[position] = choice
            change = of[other.tobytes()] - of[code.tobytes()]
            assert tables.delta(code, position, choice, metric) == pytest.approx(
                change, rel=1e-9, abs=1e-12 * costs.max()
            )

    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    weights = [rng.uniform(0, 1, len(c)) for c in space.choices]
    weights = [w / w.sum() for w in weights]
    chances = [math.prod(w[c] for w, c in zip(weights, code, strict=True)) for code in codes]
    mean, gradient = tables.expected(weights, metric)
    assert mean == pytest.approx(np.dot(chances, costs), rel=1e-11)
    # The mean is linear in the probabilities of one position: certainty less nothing is the slope.
    for position, choices in enumerate(space.choices):
        nothing = [w if p != position else 0 * w for p, w in enumerate(weights)]
        for choice in range(len(choices)):
            certain = [w.copy() for w in nothing]
            certain[position][choice] = 1.0
            slope = tables.expected(certain, metric)[0] - tables.expected(nothing, metric)[0]
            assert gradient[position, choice] == pytest.approx(
                slope, rel=1e-9, abs=1e-12 * costs.max()
            )
        assert (gradient[position, len(choices) :] == 0).all()


def test_gradients_are_those_of_small_steps():
    space = af.spaces.SPACES["nasbench201"]()
    tables = space.compile(PROFILES)
    rng = np.random.default_rng(1)
    weights = rng.dirichlet(np.ones(5), 6)
    for profile, metric in ((0, "time_s"), (1, "energy_j")):
        mean, gradient = tables.expected(weights, metric, profile)
        assert gradient.shape == (6, 5)
        step = 1e-4
        for i, j in itertools.product(range(6), range(5)):
            up, down = weights.copy(), weights.copy()
            up[i, j] += step
            down[i, j] -= min(step, weights[i, j])
            rise = tables.expected(up, metric, profile)[0]
            fall = tables.expected(down, metric, profile)[0]
            slope = (rise - fall) / (up[i, j] - down[i, j])
            assert gradient[i, j] == pytest.approx(slope, rel=1e-6)
        codes = np.stack([rng.choice(5, 20_000, p=w) for w in weights], axis=1)
        drawn = tables.evaluate(codes, metric)[:, profile]
        assert mean == pytest.approx(drawn.mean(), rel=6 * drawn.std() / mean / math.sqrt(20_000))
    with pytest.raises(UnsupportedError, match="bounds of time_hi_s is not to be had"):
        tables.bounds("time_hi_s")


# What the parts of a space may not do


def space_of(*steps, positions=(2,)):
    space = SearchSpace("odd")
    for i, n in enumerate(positions):
        space.position(f"p{i}", [f"c{c}" for c in range(n)])
    space.image(3, 8, 8)
    for i, (step, reads) in enumerate(steps):
        space.add(f"part{i}", step, reads)
    return space


def test_shapes_that_cannot_connect_name_part_and_choice():
    def widen(graph, flow, choice):
        return Flow((flow.x, conv(graph, flow.x, 4 + choice)), ())

    def add(graph, flow, _choice):
        return Flow((graph.add(conv(graph, flow.tensors[0], 4), flow.tensors[1]),), ())

    space = space_of((widen, 0), (add, None))
    assert len(space.graph([0])) > 0
    for broken in (lambda: space.graph([1]), lambda: space.compile(PROFILES[0])):
        with pytest.raises(
            af.errors.ShapeError, match=r"odd: part 'part1', behind .*\[1, 5, 8, 8\].*add"
        ):
            broken()

    def small(graph, flow, choice):
        return Flow((graph.conv2d(flow.x, 4, 9 + choice),), ())

    with pytest.raises(
        af.errors.ShapeError, match=r"part 'part0', choice 'c1', behind \[1, 3, 8, 8\]: "
    ):
        space_of((small, 0)).graph([1])


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, "returned None"),
        (3, "returned 3"),
        (Flow((None,)), "returned Flow(tensors=(None,)"),
        (Flow((0,), (0.5,)), "integers"),
    ],
)
def test_steps_return_flows(returned, said):
    space = space_of((lambda _graph, _flow, _choice: returned, 0))
    with pytest.raises(ModelError) as error:
        space.graph([0])
    assert "part 'part0', choice 'c0', behind " in str(error.value)
    assert said in str(error.value)


def test_steps_hand_on_tensors_that_are_there():
    space = space_of((lambda _graph, _flow, _choice: Flow((7,)), 0))
    with pytest.raises(af.errors.ShapeError, match=r"part 'part0'.*tensor 7 is not in graph"):
        space.compile(PROFILES[0])


def test_constants_stay_in_their_part():
    def step(graph, _flow, _choice):
        return Flow((graph.relu(graph.constant([1, 3, 8, 8], name="weights")),))

    space = space_of((step, None), (Do("head"), None))
    with pytest.raises(UnsupportedError, match="'part0' hands on a constant"):
        space.compile(PROFILES[0])


def test_an_exception_of_a_step_is_the_cause_and_breaks_nothing():
    calls = []

    def step(graph, flow, choice):
        calls.append(choice)
        if choice == 1 and len(calls) < 3:
            raise KeyError("mine")
        graph.set_dtype("int8" if choice else "fp32")
        return Flow((conv(graph, flow.x, 4),), ())

    space = space_of((step, 0), (Do("head"), None))
    with pytest.raises(ModelError, match=r"choice 'c1', .* it raised KeyError: 'mine'") as told:
        space.compile(PROFILES[0])
    assert isinstance(told.value.__cause__, KeyError)
    tables = space.compile(PROFILES[0])
    assert_same(space, tables, all_codes(space))


def test_graphs_are_lent_for_the_call():
    kept = []

    def step(graph, flow, _choice):
        kept.append(graph)
        return Flow((conv(graph, flow.x, 4),), ())

    space = space_of((step, 0), (Do("head"), None))
    graph = space.graph([0])
    assert len(kept[0]) == 0
    assert graph.node_name(len(graph) - 1) == "part1.out"
    kept[0].input([1, 2])
    assert len(graph) == len(space.graph([0]))


def test_equal_steps_are_priced_once_and_steps_need_no_hash():
    @dataclass  # equal but without a hash
    class Wide:
        c_out: int

        def __call__(self, graph, flow, _choice):
            return Flow((conv(graph, flow.x, self.c_out),), ())

    apart = space_of((Wide(3), None), (Wide(3), None), (Wide(3), None)).compile(PROFILES[0])
    same = Do("conv")
    together = space_of((same, None), (Do("conv"), None), (same, None)).compile(PROFILES[0])
    assert apart.parts == 4
    assert together.parts == 3  # the first of them sees 3 channels, the others 4


# What would be too large


def test_tables_over_too_many_positions():
    space = space_of(*((Do("note"), i) for i in range(5)), (Do("noted"), None), positions=(3,) * 5)
    with pytest.raises(
        UnsupportedError,
        match=r"'part4' costs depends on positions 'p0', .* 'p4': a table of 243 entries",
    ):
        space.compile(PROFILES[0])


def test_tables_of_too_many_entries():
    def total(_graph, flow, choice):
        return Flow(flow.tensors, ((sum(flow.notes) + choice) % 2,))

    space = space_of(*((total, i) for i in range(4)), positions=(256,) * 4)
    with pytest.raises(UnsupportedError, match=r"a table of 16777216 entries; at most 4194304"):
        space.compile(PROFILES[0])


def test_tables_of_too_many_bytes():
    def total(_graph, flow, choice):
        return Flow(flow.tensors, ((sum(flow.notes) + choice) % 2,))

    space = space_of((Do("conv"), None), *((total, i) for i in range(3)), positions=(100,) * 3)
    with pytest.raises(UnsupportedError, match=r"tables would take \d+ MiB; at most 2048 MiB"):
        space.compile([PROFILES[0]] * 80)


def test_too_many_flows():
    def count(_graph, flow, choice):
        return Flow(flow.tensors, (256 * sum(flow.notes) + choice,))

    space = space_of((count, 0), (count, 1), (count, 2), positions=(256, 256, 2))
    with pytest.raises(UnsupportedError, match="more than 65536 parts"):
        space.compile(PROFILES[0])


def test_single_choices_do_not_count_as_positions():
    space = space_of(
        *((Do("note"), i) for i in range(6)), (Do("noted"), 5), (Do("head"), None),
        positions=(2, 1, 2, 1, 2, 1),
    )  # fmt: skip
    assert_same(space, space.compile(PROFILES), all_codes(space), metrics=(*SUMS, *COUNTS))


def test_positions_have_choices():
    space = SearchSpace("none")
    with pytest.raises(ModelError, match="position 'p' has 0 choices; a position has 1 to 256"):
        space.position("p", [])
    with pytest.raises(ModelError, match="257 choices"):
        space.position("p", [str(i) for i in range(257)])
    with pytest.raises(ModelError, match="part 'x' reads position 0; there are 0"):
        space.add("x", Do("conv"), 0)
