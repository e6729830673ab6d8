"""Plans of the cuda backend for whole networks: every network, and where each tensor lies."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fake_gpu import FakeDriver, FakeWatch

import alphaflops as af
from alphaflops import zoo
from alphaflops._cuda_plan import PARTS, Target, matmul_plans, stream_plans
from alphaflops.errors import ShapeError, UnsupportedError
from alphaflops.measuring.batches import in_batches
from alphaflops.measuring.cuda_backend import CudaBackend
from alphaflops.measuring.cuda_layouts import Layouts, Rows, Strides
from alphaflops.measuring.cuda_network import CudaNetwork
from alphaflops.measuring.cuda_session import CudaSession
from alphaflops.measuring.cuda_steps import bytes_of, steps_of, views_of
from alphaflops.measuring.validation import validate

AMPERE, HOPPER = Target(80, False, 108, 163 << 10), Target(90, True, 132, 227 << 10)
TURING = Target(75, False, 40, 64 << 10)
#: These want matrix units that sm_75 has not in bf16; tf32 is fp32 there.
LACKING = {
    **dict.fromkeys(("bert_base", "gpt2", "vit_b_16"), "attention"),
    **dict.fromkeys(("swin_t", "t5_small"), "matmul"),
    "unet": "conv_transpose2d",
}


@pytest.mark.parametrize("name", zoo.names())
def test_every_network_has_plans(name: str) -> None:
    graph = zoo.build(name)
    for dtype in ("fp32", "tf32", "fp16", "bf16"):
        typed = graph.with_dtype(dtype)
        for target in (AMPERE, HOPPER):
            steps = steps_of(typed, target)
            assert all(step.plans for step in steps)
            assert {step.output for step in steps} >= {len(graph) - 1} - {
                node for node, owner in views_of(graph).items() if node != owner
            }


@pytest.mark.parametrize("name", zoo.names())
def test_what_turing_lacks_is_named(name: str) -> None:
    graph = zoo.build(name)
    for dtype in ("fp32", "tf32", "fp16", "bf16"):
        typed = graph.with_dtype(dtype)
        if name not in LACKING or dtype != "bf16":
            assert steps_of(typed, TURING)
            continue
        with pytest.raises(UnsupportedError, match=rf"does '{LACKING[name]}' of .* in {dtype}"):
            steps_of(typed, TURING)


@pytest.mark.parametrize(
    "name", ["efficientnet_b0", "lstm", "swin_t", "shufflenet_v2_x1_0", "t5_small"]
)
def test_networks_become_programs(name: str) -> None:
    graph = zoo.build(name).with_dtype("fp16")
    driver = FakeDriver(memory_bytes=2 << 30)
    network = CudaNetwork(CudaSession(driver, FakeWatch(), "hot"), graph, seed=0)
    assert network.sample(2).time_s > 0
    written: set[int] = set()
    for step in network.steps:  # what is read was written, or is there from the beginning
        for tensor in step.inputs.values():
            owner = network._owner[tensor]
            assert owner in written or not graph.node_inputs(owner)
        written.add(network._owner[step.output])


def test_a_gate_repeats_over_the_pixels_of_its_image() -> None:
    graph = af.Graph("gate")
    x = graph.input((2, 24, 7, 7))
    graph.mul(x, graph.global_avg_pool(x))
    step = steps_of(graph, HOPPER)[-1]
    assert step.plans[0].tile == "x16_repeated"
    assert {"input": x, "second_input": x + 1} == step.inputs
    graph = af.Graph("position")
    x = graph.input((2, 5, 24))
    graph.element([x, graph.constant([1, 5, 24])], "add")
    (step,) = steps_of(graph, HOPPER)
    assert step.plans[0].tile == "x16_repeated"


def test_differences_and_quotients_know_their_first() -> None:
    graph = af.Graph("elements")
    x = graph.input((2, 24, 7, 7))
    gate = graph.global_avg_pool(x)
    graph.element([x, gate], "sub")
    graph.element([gate, x], "sub")
    graph.element([x, gate], "div")
    graph.element([graph.element([x], "mish")], "pow")
    *_, first, second, third, mish, power = steps_of(graph, HOPPER)
    keys = [step.key.split()[0] for step in (first, second, third, mish, power)]
    assert keys == ["subtract", "subtract_from", "divide", "activation", "activation"]
    assert {"input": x, "second_input": gate} == first.inputs == second.inputs
    assert first.plans[0].launches[0].symbol == second.plans[0].launches[0].symbol
    assert first.plans[0].launches[0].parameters != second.plans[0].launches[0].parameters
    graph.element([gate, x], "div", name="turned")
    with pytest.raises(UnsupportedError, match="turned: no kernel of the cuda backend does 'div'"):
        steps_of(graph, HOPPER)


def test_a_function_that_no_sum_applies_is_a_launch_of_its_own() -> None:
    for function, launches in (("leaky_relu", 1), ("clip", 1), ("elu", 2)):
        graph = af.Graph(function)
        x = graph.input((2, 24, 7, 7))
        graph.element([graph.add(x, graph.input((2, 24, 7, 7)))], function)
        assert len(steps_of(graph, HOPPER)) == launches


def test_a_concatenation_is_one_launch() -> None:
    graph = af.Graph("many")
    inputs = [graph.input((2, 8 * (1 + i % 3), 7, 7)) for i in range(PARTS + 5)]
    joined = graph.concat(inputs)
    steps = steps_of(graph, HOPPER)
    assert [len(step.inputs) for step in steps] == [PARTS, 5]
    assert [len(step.plans[0].launches) for step in steps] == [1, 1]
    assert [x for step in steps for x in step.inputs.values()] == inputs
    assert steps[0].plans[0].launches[0].symbol == "stream_concat_b16"
    assert {step.output for step in steps} == {joined}
    densenet = zoo.build("densenet121")
    concats = sum(densenet.node_op(node) == "concat" for node in range(len(densenet)))
    assert sum(step.key.startswith("concat") for step in steps_of(densenet, HOPPER)) == concats


@pytest.mark.parametrize("dtype", ["fp32", "tf32", "fp16", "bf16"])
def test_all_phases_of_a_stride_are_one_launch(dtype: str) -> None:
    graph = af.Graph("up", dtype=dtype)
    x = graph.input((1, 64, 9, 9))
    for kernel in (2, 3):  # taps of the phases: 1 each, or 4, 2, 2 and 1
        graph.conv(x, 32, kernel, 2, transposed=True)
    for step in steps_of(graph, AMPERE):
        for plan in step.plans:
            products = [each for each in plan.launches if "reduce" not in each.symbol]
            assert len(products) == (4 if plan.tile.startswith("128x128x8_") else 1)


def test_parts_are_read_where_they_lie() -> None:
    graph = af.Graph("halves")
    x = graph.input((2, 48, 6, 6))
    halves = [graph.part(x, (2, 24, 6, 6)) for _ in range(2)]
    graph.concat([graph.relu(halves[1]), halves[0], halves[1]])
    step = steps_of(graph, HOPPER)[-1]
    assert step.inputs["part_1"] == halves[0]
    offsets = {each.buffer: each.byte_offset for each in step.plans[0].launches[0].pointers}
    assert offsets == {"part_0": 0, "part_1": 0, "part_2": 24 * 4, "output": 0}
    layouts = Layouts(graph)
    joined = len(graph) - 1
    assert layouts.rows(halves[1], joined, 3) == Rows(24, 48, 24)
    assert layouts.rows(halves[1], joined, 1) == Rows(24 * 36, 24 * 36)  # gaps within a row
    tokens = af.Graph("tokens")
    qkv = tokens.linear(tokens.input((2, 10, 64)), 3 * 64)
    q, k = (tokens.part(qkv, [2, 10, 64]) for _ in range(2))
    tokens.concat([q, k], axis=2)
    assert Layouts(tokens).rows(k, q, 2) == Rows(64, 192, 64)
    assert Layouts(tokens).rows(k, q, 1) == Rows(640, 640)


def test_networks_are_priced_as_they_are_run() -> None:
    """A row of a calibration joins two tensors, and DenseNet up to 25; SiLU is its own launch."""

    def backend() -> CudaBackend:
        return CudaBackend("hot", driver=FakeDriver(memory_bytes=64 << 30), watch=FakeWatch())

    # As `calibrate` draws them: without batches, unet's tensors are far beyond any that is timed.
    shapes = in_batches(af.sample_shapes(450, mode="fused_relu", sequences=True), seed=0)
    table = af.measure(shapes, backend=backend(), budget_s=20)
    profile = af.fit(table).profile
    assert profile.mode == "fused_relu"
    names = ("densenet121", "efficientnet_b0", "mobilenet_v3_small", "unet")
    graphs = [zoo.build(name) for name in names]
    rows = validate(graphs, profile, backend=backend(), budget_s=0.5)
    assert np.all(np.abs(rows["error"]) < 0.1)


@pytest.mark.parametrize(("op", "tensors"), [("attention", 3), ("add", 1)])
def test_what_was_just_written_lies_in_the_caches(op: str, tensors: int) -> None:
    graph = af.Graph(op, dtype="fp16")
    inputs = [graph.input((1, 4, 64, 32)) for _ in range(3)]
    if op == "attention":
        graph.attention(*inputs)
    else:
        graph.add(*inputs[:2])
    session = CudaSession(FakeDriver(), FakeWatch(), "context")
    sizes: list[int] = []
    before = session.before
    session.before = lambda at, size: sizes.append(size) or before(at, size)
    session.bench(graph).warm_up()
    assert sizes == [tensors * 4 * 64 * 32 * 2]


def test_images_are_told_from_matrices() -> None:
    graph = af.Graph("mixed")
    image = graph.conv2d(graph.input((2, 3, 8, 8)), 16)
    rows = graph.view(image, [2, 8, 8, 16])
    norm = graph.norm(rows, "layer")
    back = graph.view(norm, [2, 16, 8, 8])
    scores = graph.matmul(graph.input((2, 4, 6, 5)), graph.input((2, 4, 5, 7)))
    layouts = Layouts(graph)
    assert [layouts.is_image(x) for x in (image, rows, norm, back, scores)] == [
        *(True, False, False, True, False),
    ]
    assert layouts.sizes(back) == {"batch": 2, "h_in": 8, "w_in": 8, "channels": 16}
    assert layouts.sizes(scores) == {"batch": 2, "h_in": 4, "w_in": 6, "channels": 7}
    assert layouts.memory_axis(back, 1) == 3
    assert layouts.memory_axis(scores, -1) == 3


def test_heads_are_read_where_the_projection_wrote_them() -> None:
    graph = af.Graph("heads")
    qkv = graph.linear(graph.input((2, 10, 64)), 3 * 64)
    parts = [graph.part(qkv, [2, 10, 64]) for _ in range(3)]
    q, k, v = (graph.view(x, [2, 4, 10, 16]) for x in parts)
    y = graph.attention(q, k, v)
    graph.linear(graph.view(y, [2, 10, 64]), 8)
    layouts = Layouts(graph)
    for index, tensor in enumerate((q, k, v)):
        assert layouts.strides(tensor) == Strides((1920, 16, 192, 1), 64 * index)
    turned = graph.view(parts[1], [2, 4, 16, 10])
    assert Layouts(graph).strides(turned) == Strides((1920, 16, 1, 192), 64)
    steps = steps_of(graph.with_dtype("fp16"), HOPPER)
    offsets = {
        pointer.buffer: pointer.byte_offset
        for launch in steps[1].plans[0].launches
        for pointer in launch.pointers
        if pointer.buffer != "workspace"
    }
    assert offsets == {"input": 0, "second_input": 128, "third_input": 256, "output": 0}


def test_a_causal_mask_is_of_the_plan() -> None:
    def attention(causal: bool, length: int = 10) -> list[bytes]:
        graph = af.Graph("mask", dtype="fp16")
        q, k, v = (graph.input((2, 4, n, 32)) for n in (length, 10, 10))
        graph.attention(q, k, v, causal=causal, name="masked")
        (step,) = steps_of(graph, HOPPER)
        assert [plan.algorithm for plan in step.plans] == ["attention_fused", "attention_parts"]
        return [each.parameters for plan in step.plans for each in plan.launches]

    changed = [a != b for a, b in zip(attention(False), attention(True), strict=True)]
    assert changed == [True, False, True, False]  # fused; scores, softmax, values
    with pytest.raises(UnsupportedError, match="masked: no kernel"):
        attention(True, 11)


def test_heads_may_share_keys_in_groups() -> None:
    """As Llama's: 8 queries a key, all of them side by side in their projections."""
    graph = af.Graph("groups", dtype="fp16")
    x = graph.input((2, 10, 512))
    q = graph.view(graph.linear(x, 16 * 32), [2, 16, 10, 32])
    k, v = (graph.view(graph.linear(x, 2 * 32), [2, 2, 10, 32]) for _ in range(2))
    graph.attention(q, k, v)
    fused, parts = steps_of(graph, HOPPER)[-1].plans
    assert (fused.algorithm, len(fused.launches)) == ("attention_fused", 1)
    assert (parts.algorithm, len(parts.launches)) == ("attention_parts", 8 + 1 + 8)
    firsts = [each for each in parts.launches[0].pointers if each.buffer == "input"]
    seconds = [each for each in parts.launches[1].pointers if each.buffer == "input"]
    assert (firsts[0].byte_offset, seconds[0].byte_offset) == (0, 32 * 2)  # the head beside it


@pytest.mark.parametrize("shape", [(40,), (10, 40), (1, 4, 1, 40), (2, 1, 10, 40), (2, 4, 10, 40)])
def test_a_mask_is_read_as_far_as_it_goes(shape: tuple[int, ...]) -> None:
    graph = af.Graph("masked", dtype="fp16")
    q, k, v = (graph.input((2, 4, n, 32)) for n in (10, 40, 40))
    mask = graph.constant(list(shape))
    graph.attention(q, k, v, mask)
    (step,) = steps_of(graph, HOPPER)
    assert step.inputs["mask"] == mask
    assert [plan.algorithm for plan in step.plans] == ["attention_fused", "attention_parts"]
    for plan in step.plans:
        masks = [each for launch in plan.launches for each in launch.pointers]
        assert [each.byte_offset for each in masks if each.buffer == "mask"] == [0]


@pytest.mark.parametrize("shape", [(10, 1), (3, 10, 40), (1, 2, 4, 10, 40)])
def test_a_mask_that_no_kernel_reads_is_named(shape: tuple[int, ...]) -> None:
    graph = af.Graph("odd", dtype="fp16")
    q, k, v = (graph.input((2, 4, n, 32)) for n in (10, 40, 40))
    graph.attention(q, k, v, graph.constant(list(shape)), name="odd")
    with pytest.raises(UnsupportedError, match="odd: no kernel"):
        steps_of(graph, HOPPER)


def test_dilated_maxima_have_a_kernel_of_their_own() -> None:
    graph = af.Graph("pools")
    x = graph.input((2, 16, 20, 20))
    graph.max_pool(x, 3, stride=1, dilation=2)
    graph.max_pool(x, 3, stride=1)
    symbols = [step.plans[0].launches[0].symbol for step in steps_of(graph, HOPPER)]
    assert symbols == ["stream_max_pool_dilated_fp32_x16", "stream_max_pool_fp32_x16"]


def test_views_lie_in_the_memory_of_what_they_see() -> None:
    graph = af.Graph("views", dtype="fp16")
    token = graph.constant([1, 1, 8])
    many = graph.part(token, [5, 1, 8])  # more than there is
    x = graph.concat([many, graph.input((5, 3, 8))])
    table = graph.embedding(tokens := graph.input((5, 4)), 100, 8)
    sizes = bytes_of(graph)
    assert (sizes[token], sizes[many]) == (5 * 8 * 2, 0)
    assert sizes[x] == 5 * 4 * 8 * 2
    assert sizes[tokens] == 5 * 4 * 4  # indices, of four bytes
    assert sizes[table] == math.prod((5, 4, 8)) * 2


def test_strides_that_no_kernel_reads_are_named() -> None:
    with pytest.raises(UnsupportedError, match="strides 1 x 5 by 7 x 1 to 7 x 1"):
        matmul_plans({"a_row": 1, "a_column": 5, "b_row": 7, "c_row": 7}, HOPPER)
    with pytest.raises(ShapeError, match="matmul: a size is 0"):
        matmul_plans({"rows": 0}, HOPPER)
    with pytest.raises(ShapeError, match="12 elements are no multiple of second_blocks 1"):
        stream_plans("add", {"channels": 12, "second_length": 5}, HOPPER)
    with pytest.raises(ShapeError, match="'q_rows' is no size"):
        matmul_plans({"q_rows": 1}, HOPPER)
