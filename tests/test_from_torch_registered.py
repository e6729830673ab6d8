"""from_torch and operators that the library does not know: listed, or counted by the user."""

import pytest

import alphaflops as af
from alphaflops import _core, errors
from alphaflops.frontends.registry import OPERATORS

torch = pytest.importorskip("torch", reason="the extra alphaflops[torch] is not installed")
from torch.nn import functional as F  # noqa: E402
from torch_traces import Function  # noqa: E402


def test_unknown_operators_are_listed():
    def forward(x, y):
        return torch.renorm(x, 2, 0, 1).relu()

    module, args = Function(forward), (torch.empty(1, 3, 8), torch.empty(1, 5, 8))
    graph = af.from_torch(module, args)
    work = af.lower(graph)
    assert [graph.node_op(i) for i in range(2, 4)] == ["aten::renorm", "relu"]
    assert graph.shape(3) == (1, 3, 8)
    assert int((work.kind == _core.KINDS.index("unknown")).sum()) == 1
    with pytest.raises(errors.UnsupportedError, match=r"1 of 4 tensors .*renorm \(1\)"):
        af.from_torch(module, args, strict=True)


@pytest.fixture
def registry():
    """The registry, which the test finds empty and leaves empty."""
    assert not OPERATORS
    yield OPERATORS
    OPERATORS.clear()


@pytest.mark.parametrize("key", ["aten::grid_sampler_2d", "function"])
def test_users_say_what_an_operator_costs(key, registry):
    calls = []

    def count(graph, inputs, shapes_out, attributes):
        calls.append((inputs, shapes_out, attributes))
        return graph.custom(inputs, "sample", shapes_out[0], flops=7, name="mine")

    af.register_op(F.grid_sample if key == "function" else key, count)

    def forward(x, grid):
        return F.grid_sample(x, grid, mode="nearest", align_corners=False).relu()

    args = (torch.empty(1, 3, 8, 8), torch.empty(1, 5, 5, 2))
    graph = af.from_torch(Function(forward), args, strict=True)
    assert [graph.node_op(i) for i in range(2, 4)] == ["sample", "relu"]
    assert af.lower(graph, "eager").flops.tolist() == [7, 75]
    ((inputs, shapes, attributes),) = calls
    assert (list(inputs), shapes) == ([0, 1], [(1, 3, 5, 5)])
    assert attributes["align_corners"] is False
    with pytest.raises(TypeError, match="register_op"):
        af.register_op("com.example::Op", 5)
    with pytest.raises(TypeError, match="neither a name nor a function"):
        af.register_op(5, count)


def test_operators_of_a_library(registry):
    @torch.library.custom_op("alphaflops_test::halve", mutates_args=())
    def halve(x: torch.Tensor, times: int) -> torch.Tensor:
        return x[: x.shape[0] // 2**times].clone()

    module = Function(lambda x: halve(x, 1) + 1)
    with pytest.raises(errors.Error, match=r"alphaflops_test::halve"):
        af.from_torch(module, torch.empty(4, 3))

    @halve.register_fake
    def _(x, times):
        return x.new_empty(x.shape[0] // 2**times, *x.shape[1:])

    graph = af.from_torch(module, torch.empty(4, 3))
    assert [graph.node_op(i) for i in range(1, 3)] == ["alphaflops_test::halve", "add"]

    def count(graph, inputs, shapes_out, attributes):
        return graph.custom(inputs, "halve", shapes_out[0], flops=attributes["times"])

    af.register_op(halve, count)
    assert list(registry) == ["alphaflops_test::halve"]
    graph = af.from_torch(module, torch.empty(4, 3), strict=True)
    assert af.lower(graph).flops.tolist() == [1, 6]
