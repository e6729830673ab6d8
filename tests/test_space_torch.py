"""The expected cost as a function of torch."""

import subprocess
import sys

import numpy as np
import pytest

import alphaflops as af
from alphaflops.errors import ModelError

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def compiled():
    return af.spaces.fbnet().compile("quadro-t2000")


def probabilities(compiled, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(22, 9, generator=generator, dtype=torch.float64)
    return logits.softmax(dim=1)


@pytest.mark.parametrize("metric", ["time_s", "macs"])
def test_gradients_are_those_of_finite_differences(compiled, metric):
    p = probabilities(compiled).requires_grad_()
    unit = compiled.bounds(metric).most

    def mean(q):
        return af.spaces.torch_expected(compiled, q, metric) / unit

    assert torch.autograd.gradcheck(mean, (p,))


def test_it_is_what_compiled_expected_says(compiled):
    p = probabilities(compiled).requires_grad_()
    cost = af.spaces.torch_expected(compiled, p)
    (3.0 * cost).backward()
    mean, gradient = compiled.expected(p.detach().numpy())
    assert cost.item() == mean
    np.testing.assert_array_equal(p.grad.numpy(), 3.0 * gradient)
    one_hot = torch.nn.functional.one_hot(torch.arange(22) % 9, 9).double()
    code = (np.arange(22) % 9)[np.newaxis]
    priced = compiled.evaluate(code)[0]
    assert af.spaces.torch_expected(compiled, one_hot).item() == pytest.approx(priced, rel=1e-12)


def test_rows_may_be_tensors_of_their_own_and_single_precision(compiled):
    rows = [row.float().requires_grad_() for row in probabilities(compiled)]
    cost = af.spaces.torch_expected(compiled, rows)
    assert cost.dtype == torch.float32
    cost.backward()
    assert all(row.grad is not None and row.grad.dtype == torch.float32 for row in rows)
    assert cost.item() == pytest.approx(
        compiled.expected(probabilities(compiled).numpy())[0], rel=1e-6
    )


def test_a_search_by_gradient_finds_the_cheapest(compiled):
    logits = torch.zeros(22, 9, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.5)
    for _ in range(60):
        optimiser.zero_grad()
        cost = af.spaces.torch_expected(compiled, logits.softmax(dim=1))
        (cost / compiled.bounds().most).backward()
        optimiser.step()
    found = compiled.evaluate(logits.argmax(dim=1).numpy()[np.newaxis])[0]
    assert found == pytest.approx(compiled.bounds().least, rel=1e-9)


def test_bad_probabilities_are_refused(compiled):
    p = probabilities(compiled)
    p[3, 4] = float("nan")
    with pytest.raises(ModelError, match=r"3"):
        af.spaces.torch_expected(compiled, p)
    with pytest.raises(ModelError, match="floating-point"):
        af.spaces.torch_expected(compiled, torch.ones(22, 9, dtype=torch.int64))
    with pytest.raises(ModelError, match="a position"):
        af.spaces.torch_expected(compiled, [[0.5, 0.5]])
    with pytest.raises(ModelError, match="the space has"):
        af.spaces.torch_expected(compiled, [torch.ones(2)])


def test_spaces_do_not_import_torch():
    code = "import sys, alphaflops.spaces; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
