"""After a trace, successful or not, the process and the module are as before; bad input."""

import random
import subprocess
import sys
import warnings

import numpy as np
import pytest

import alphaflops as af
from alphaflops import errors

torch = pytest.importorskip("torch", reason="the extra alphaflops[torch] is not installed")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402


class Restless(nn.Module):
    """Does in its forward what a forward should not do."""

    def __init__(self, fails=False):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("cache", torch.ones(2, 4))
        self.fails, self.table = fails, {}

    def forward(self, x):
        self.calls += 1
        self.cache[:, 0] = 5
        self.cache = self.cache * 2
        self.conv.weight.data.mul_(2)
        with torch.no_grad():
            self.conv.bias.zero_()
        self.conv.bias.data = torch.ones(4)
        self.norm.weight.requires_grad_(False)
        self.norm.bias.requires_grad = False
        self.table["last"] = x
        self.extra = x
        self.register_buffer("late", torch.ones(1))
        self.register_forward_hook(print)
        self.conv.eval()
        self.norm.training = not self.norm.training
        random.random()
        np.random.random()
        torch.manual_seed(1)
        y = F.dropout(self.norm(self.conv(x)), training=True) + torch.rand(1) + torch.randn(4, 1, 1)
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        if self.fails:
            raise RuntimeError("enough of this")
        return y


def state_of(module):
    """Everything that a trace could leave behind, in a form that compares."""
    functions = [nn.Module.__call__, nn.Module._call_impl, nn.Module.__setattr__, F.conv2d]
    functions += [
        torch.backends.mha.get_fastpath_enabled,
        torch.Tensor.__add__,
        torch.Tensor.add,
        torch.add,
        F.relu,
        torch.nn.Linear.forward,
    ]
    hooks = [
        {k: list(v) for k, v in vars(m).items() if "hooks" in k and isinstance(v, dict)}
        for m in module.modules()
    ]
    globals_ = {
        k: list(v)
        for k, v in vars(nn.modules.module).items()
        if k.startswith("_global") and isinstance(v, dict)
    }
    tensors = {
        name: (id(t), t.clone(), t._version, t.requires_grad)
        for name, t in (*module.named_parameters(), *module.named_buffers())
    }
    return {
        "functions": [id(f) for f in functions],
        "hooks": hooks,
        "global hooks": globals_,
        "modes": [
            torch.overrides._get_current_function_mode_stack(),
            torch.utils._python_dispatch._get_current_dispatch_mode_stack(),
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.get_default_dtype(),
        ],
        "random": [torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())],
        "training": [m.training for m in module.modules()],
        "attributes": [sorted(vars(m)) for m in module.modules()],
        "table": dict(getattr(module, "table", {})),
        "tensors": tensors,
    }


def assert_same(before, after):
    one, other = before.pop("tensors"), after.pop("tensors")
    assert before == after
    assert one.keys() == other.keys()
    for name, (identity, values, version, grad) in one.items():
        assert (identity, version, grad) == (other[name][0], *other[name][2:]), name
        assert torch.equal(values, other[name][1]), name


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_a_trace_leaves_nothing_behind(fails, training):
    torch.manual_seed(0)
    module = Restless(fails).train(training)
    image = torch.ones(2, 3, 8, 8)
    before = state_of(module)
    if fails:
        with pytest.raises(errors.ModelError, match=r"Restless\): RuntimeError: enough of this"):
            af.from_torch(module, image)
    else:
        graph = af.from_torch(module, image, strict=True)
        assert af.lower(graph).macs.sum() == 2 * 36 * 4 * 27
    assert_same(before, state_of(module))
    assert torch.equal(image, torch.ones(2, 3, 8, 8))


def test_the_state_test_can_fail():
    module = Restless()
    before = state_of(module)
    with torch.no_grad():
        module.conv.weight[0, 0, 0, 0] = 7
    with pytest.raises(AssertionError):
        assert_same(before, state_of(module))
    before = state_of(module)
    module.extra = 1
    with pytest.raises(AssertionError):
        assert_same(before, state_of(module))


def test_modes_of_the_caller_stay():
    with torch.inference_mode():
        af.from_torch(nn.Linear(3, 4), torch.empty(2, 3))
        assert torch.is_inference_mode_enabled()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        af.from_torch(nn.LSTM(3, 4), torch.empty(2, 1, 3))
        assert torch.is_autocast_enabled("cpu")
    with torch.device("meta"):
        graph = af.from_torch(nn.Sequential(nn.Linear(3, 4), nn.Softmax(-1)), torch.empty(2, 3))
    assert af.lower(graph).macs.sum() == 24


def test_other_threads_run_their_modules_meanwhile():
    import threading  # noqa: PLC0415

    entered, done, results = threading.Event(), threading.Event(), []
    other = nn.Linear(3, 4)

    class Waits(nn.Module):
        def forward(self, x):
            entered.set()
            assert done.wait(20)
            return x + 1

    def run():
        assert entered.wait(20)
        results.append(other(torch.ones(2, 3)))
        done.set()

    thread = threading.Thread(target=run)
    thread.start()
    graph = af.from_torch(Waits(), torch.empty(2, 3))
    thread.join()
    assert len(graph) == 2
    assert results[0].device.type == "cpu"
    assert torch.isfinite(results[0]).all()


def test_weights_are_not_read():
    # Parameters on the meta device have no elements to read.
    with torch.device("meta"):
        module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
    graph = af.from_torch(module.train(), torch.empty(1, 3, 8, 8))
    assert af.lower(graph).params.sum() == 8 * 27 + 8 + 16


BAD = [
    (
        lambda: (nn.Sequential(nn.Linear(3, 4), nn.Linear(5, 6)), torch.empty(1, 3)),
        r"1 \(Linear\).*5 f",
    ),
    (lambda: (nn.Conv2d(3, 4, 3), torch.empty(1, 4, 8, 8)), r"3 channels .*\[1, 4, 8, 8\]"),
    (lambda: (nn.Conv2d(3, 4, 9), torch.empty(1, 3, 8, 8)), r"conv.*check the shapes"),
    (lambda: (nn.Conv2d(3, 4, 3), torch.empty(8, 8)), r"\[8, 8\]"),
    (lambda: (nn.BatchNorm2d(5), torch.empty(1, 4, 8, 8)), r"5 channels"),
    (lambda: (nn.LayerNorm(5), torch.empty(1, 4)), r"over \[5\]"),
    (lambda: (nn.LSTM(5, 4), torch.empty(2, 1, 4)), r"5"),
    (lambda: (nn.MultiheadAttention(8, 2), torch.empty(2, 1, 4)), r"key|8 features"),
    (lambda: (nn.Linear(3, 4), ()), r"TypeError.*input"),
    (lambda: (nn.Linear(3, 4), "image"), r"arguments are str"),
    (lambda: (nn.Linear(3, 4), torch.empty(0, 3)), r"no elements"),
    (lambda: (nn.LazyLinear(4), torch.empty(1, 3)), r"no shape yet"),
    (lambda: (nn.Linear(3, 4), torch.ones(2, 3).to_sparse()), r"sparse"),
    (lambda: ("resnet50", torch.empty(1, 3)), r"str is not a torch.nn.Module"),
]


@pytest.mark.parametrize("number", range(len(BAD)))
def test_bad_input_is_named(number):
    make, message = BAD[number]
    module, args = make()
    before = (
        state_of(module) if isinstance(module, nn.Module) and message != "no shape yet" else None
    )
    with pytest.raises(errors.ModelError, match=message):
        af.from_torch(module, args)
    if before is not None:
        assert_same(before, state_of(module))


def test_scripted_modules_and_packed_sequences():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(nn.Linear(3, 4))
    with pytest.raises(errors.ModelError, match="scripted"):
        af.from_torch(nn.Sequential(scripted), torch.empty(1, 3))

    class Packs(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(3, 4)

        def forward(self, x):
            packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([2, 1]))
            return self.lstm(packed)[0].data

    with pytest.raises(errors.ModelError, match="packed"):
        af.from_torch(Packs(), torch.empty(2, 2, 3))


def test_parameters_of_a_type_without_a_cost_model():
    with pytest.raises(errors.UnsupportedError, match="float64; give dtype"):
        af.from_torch(nn.Linear(3, 4).double(), torch.empty(1, 3))
    assert af.from_torch(nn.Linear(3, 4).double(), torch.empty(1, 3), dtype="fp32").dtype == "fp32"


def test_without_torch_the_error_names_the_extra():
    code = (
        "import sys; sys.modules['torch'] = None; import alphaflops as af\n"
        "try: af.load('models:build')\n"
        "except af.errors.MissingExtraError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "alphaflops[torch]" in done.stdout


WITHOUT_EXTRAS = """
import sys
class Hidden:
    def find_spec(self, name, *others):
        if name.partition(".")[0] in ("torch", "onnx", "matplotlib", "cupy", "pandas", "pyarrow"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hidden())
import inspect, pydoc
import alphaflops
assert callable(alphaflops.from_torch)
inspect.getmembers(alphaflops)
pydoc.render_doc(alphaflops)
from alphaflops import *
try: from_torch(None)
except alphaflops.errors.MissingExtraError as error: print(error)
"""


def test_without_extras_every_name_is_there_and_the_call_says_what_is_missing():
    command = [sys.executable, "-c", WITHOUT_EXTRAS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "alphaflops[torch]" in done.stdout
