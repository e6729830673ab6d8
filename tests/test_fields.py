"""The networks of benchmarks/fields.py are counted as torch's own counter has them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import alphaflops as af

torch = pytest.importorskip("torch", reason="the networks are torch modules")
from torch import nn  # noqa: E402
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import field_images  # noqa: E402
import field_sequences  # noqa: E402

NETWORKS = field_images.NETWORKS | field_sequences.NETWORKS


def lstm_macs(module: nn.Module, args: tuple[torch.Tensor, ...]) -> int:
    """Return what the counter leaves out: oneDNN runs all steps of an LSTM in one call."""
    found = 0

    def add(lstm: nn.LSTM, inputs: tuple[torch.Tensor, ...], _: object) -> None:
        nonlocal found
        tokens, into = inputs[0].numel() // lstm.input_size, lstm.input_size
        for _ in range(lstm.num_layers):
            directions = 2 if lstm.bidirectional else 1
            found += tokens * directions * 4 * lstm.hidden_size * (into + lstm.hidden_size)
            into = directions * lstm.hidden_size

    for part in module.modules():
        if isinstance(part, nn.LSTM):
            part.register_forward_hook(add)
    module(*args)
    return found


@pytest.fixture
def _no_fused_transformers():
    """In inference, torch runs a whole transformer layer as one operator, which it cannot count."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    yield
    torch.backends.mha.set_fastpath_enabled(before)


@pytest.mark.usefixtures("_no_fused_transformers")
@pytest.mark.parametrize("name", NETWORKS)
def test_macs_are_those_of_torchs_counter(name: str) -> None:
    module, args = NETWORKS[name]()
    args = args if isinstance(args, tuple) else (args,)
    graph = af.from_torch(module.eval(), args, name=name)
    counter = FlopCounterMode(display=False)
    with torch.inference_mode():
        with sdpa_kernel(SDPBackend.MATH), counter:
            module(*args)
        expected = counter.get_total_flops() // 2 + lstm_macs(module, args)
    assert af.estimate(graph, "quadro-t2000").macs == expected
