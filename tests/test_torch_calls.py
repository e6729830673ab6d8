"""Calls that launch nothing, as `from_torch` counts them and as the torch backend times them."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import alphaflops as af  # noqa: E402
from alphaflops.measuring.backends import named  # noqa: E402
from alphaflops.measuring.shapes import Shape, to_table  # noqa: E402


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.skip = nn.Conv2d(8, 8, 1), nn.Identity()

    def forward(self, x):
        y = self.one(x) + self.skip(x)
        size = y.shape[0]  # what is asked of a tensor is no call
        return y.flatten(2).transpose(1, 2)[:, :4].reshape(size, -1)


class Positions(nn.Module):
    def forward(self, x):
        return x + torch.arange(4).float().unsqueeze(0)


def calls_of(module, shape):
    return af.from_torch(module.eval(), (torch.empty(shape, device="meta"),)).calls


@pytest.mark.parametrize(
    ("module", "shape", "calls"),
    [
        (nn.Conv2d(8, 8, 1), (1, 8, 4, 4), 0),  # one operator, with its module
        (nn.Identity(), (1, 8), 1),
        (nn.Dropout(), (1, 8), 2),  # a module and a function
        (nn.Sequential(nn.ReLU(), nn.Identity()), (1, 8), 2),
        (nn.Sequential(nn.Sequential(nn.Sequential(nn.ReLU()))), (1, 8), 3),
        # Itself, the identity, flatten, transpose and a slice; the reshape copies.
        (Branches(), (1, 8, 4, 4), 5),
        # arange, float and unsqueeze; the module runs one operator, and has its name.
        (Positions(), (1, 4), 3),
    ],
)  # fmt: skip
def test_counts(module, shape, calls):
    assert calls_of(module, shape) == calls


def test_an_exported_program_has_no_modules_left():
    module = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Identity(), nn.Flatten()).eval()
    x = torch.zeros(2, 8, 4)
    exported = torch.export.export(module, (x,))
    assert af.from_torch(module, (x,)).calls == 5  # three modules, an identity, a view
    assert af.from_torch(exported, ()).calls < 5


def test_the_torch_backend_times_them():
    shapes = to_table([Shape("call", 1, n, 1) for n in (5, 20, 7)])
    backend = named("torch", layout="nchw", threads=1, on="cpu")
    five, twenty, seven = af.measure(shapes, backend=backend, budget_s=2.0)["time_s"]
    assert five < seven < twenty < 8 * five
    assert 1e-7 < five / 5 < 1e-3


def test_designs_of_eager_mode_have_them_and_others_none():
    assert (af.sample_shapes(810, mode="eager")["op"] == "call").sum() >= 5
    training = af.sample_shapes(400, mode="eager", training=True)
    assert set(training["pass"][training["op"] == "call"]) == {"forward"}
    assert "call" not in af.sample_shapes(300)["op"]
