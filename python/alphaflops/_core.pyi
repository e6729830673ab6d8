"""Compiled core of alphaflops: graphs, work tables, profiles, prediction, kernels."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

__version__: str
KINDS: tuple[str, ...]
DTYPES: tuple[str, ...]
DTYPE_BYTES: tuple[int, ...]
PASSES: tuple[str, ...]
OPERATORS: tuple[str, ...]
ELEMENT_OPS: tuple[str, ...]
PROFILE_VERSION: int
TRAITS: tuple[str, ...]
EXTRAPOLATED_BEYOND: float
UNTIMED_DISTANCE: float
BOUNDED_TRAITS: int
METRICS: tuple[str, ...]

_Pair = int | tuple[int, int] | Sequence[int]
_Sizes = int | Sequence[int]

class Error(Exception):
    """Whatever goes wrong in alphaflops; all of its errors are of this class."""

class ShapeError(Error, ValueError):
    """A size that no operator, code or array can have here."""

class OverflowError(Error, OverflowError):  # type: ignore[misc]
    """A count beyond 2^63 - 1."""

class UnsupportedError(Error, ValueError):
    """A name that is not known, or what is not done; the message says what is."""

class ModelError(Error, ValueError):
    """A network, or a file of one, that cannot be read."""

class ProfileError(Error, ValueError):
    """A device profile that is malformed, or does not price what it is asked for."""

class IoError(Error, OSError):
    """A file that cannot be read or written."""

class Graph:
    """Operators with tensor shapes and edges: device-free and exact.

    A tensor is the integer that the method which made it returned. Image tensors are
    [batch, channels, height, width]. Every method raises ShapeError naming the layer and the
    field for sizes that no operator can have, and OverflowError for counts beyond 2^63 - 1.
    """

    def __init__(self, name: str = "graph", dtype: str = "fp32") -> None: ...
    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def batch(self) -> int: ...
    def __len__(self) -> int: ...
    def node_name(self, tensor: int) -> str: ...
    def node_op(self, tensor: int) -> str: ...
    def node_dtype(self, tensor: int) -> str: ...
    def node_inputs(self, tensor: int) -> list[int]: ...
    def node_method(self, tensor: int) -> str:
        """Return the name of the method that makes such a node."""

    def node_attributes(self, tensor: int) -> dict[str, Any]:
        """Return what that method was given, by its names, but operands, shape and name.

        `padding` has two sides an axis, before and after.
        """

    def shape(self, tensor: int) -> tuple[int, ...]: ...
    @property
    def calls(self) -> int:
        """What a host does beside operators in eager mode: calls of containers, views, ..."""

    def set_calls(self, calls: int) -> None:
        """Say how many calls launch nothing; ShapeError below 0."""

    def set_dtype(self, dtype: str) -> None:
        """Set the element type of nodes that are added from now on."""

    def with_batch(self, batch: int) -> Graph:
        """The same network at another batch; every shape is inferred anew.

        Parameters that are expanded or repeated over the batch are so again, with the layers
        behind them.

        Raises
        ------
        ShapeError
            How a tensor depends on the batch is not known; it is named. Make the graph at that
            batch.
        """

    def with_dtype(self, dtype: str) -> Graph:
        """The same network in another element type."""

    def input(self, shape: Sequence[int], name: str = "") -> int: ...
    def conv2d(
        self,
        x: int,
        c_out: int,
        kernel: _Pair = 1,
        stride: _Pair = 1,
        padding: _Pair = 0,
        dilation: _Pair = 1,
        groups: int = 1,
        bias: bool = False,
        name: str = "",
    ) -> int:
        """Convolve; `padding` is one number, (height, width) or (top, bottom, left, right)."""

    def linear(self, x: int, out_features: int, bias: bool = False, name: str = "") -> int: ...
    def batch_norm(self, x: int, name: str = "") -> int: ...
    def activation(self, x: int, function: str, name: str = "") -> int: ...
    def relu(self, x: int, name: str = "") -> int: ...
    def max_pool(
        self,
        x: int,
        kernel: _Pair,
        stride: _Pair | None = None,
        padding: _Pair = 0,
        dilation: _Pair = 1,
        ceil_mode: bool = False,
        name: str = "",
    ) -> int: ...
    def avg_pool(
        self,
        x: int,
        kernel: _Pair,
        stride: _Pair | None = None,
        padding: _Pair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        dilation: _Pair = 1,
        name: str = "",
    ) -> int: ...
    def global_avg_pool(self, x: int, name: str = "") -> int: ...
    def constant(self, shape: Sequence[int], trainable: bool = False, name: str = "") -> int:
        """Add a tensor that is there before the call; trainable: a parameter that no layer owns."""

    def conv(
        self,
        x: int,
        c_out: int,
        kernel: _Sizes = 1,
        stride: _Sizes = 1,
        padding: _Sizes = 0,
        dilation: _Sizes = 1,
        groups: int = 1,
        bias: bool = False,
        transposed: bool = False,
        output_padding: _Sizes = 0,
        name: str = "",
    ) -> int:
        """Convolve over the axes behind [batch, channels], one to three of them.

        Sizes are one for all axes or one an axis; `padding` also two an axis, before and after.
        """

    def pool(
        self,
        x: int,
        kind: str,
        kernel: _Sizes,
        stride: _Sizes | None = None,
        padding: _Sizes = 0,
        dilation: _Sizes = 1,
        ceil_mode: bool = False,
        name: str = "",
    ) -> int:
        """Pool over the axes behind [batch, channels], however many; `kind` is max or avg."""

    def adaptive_pool(self, x: int, kind: str, extent: Sequence[int], name: str = "") -> int:
        """Pool to a given extent; `kind` is max or avg."""

    def matmul(self, a: int, b: int, name: str = "") -> int:
        """Multiply [..., m, k] by [..., k, n]; the axes before broadcast."""

    def attention(
        self,
        q: int,
        k: int,
        v: int,
        mask: int | None = None,
        causal: bool = False,
        name: str = "",
    ) -> int:
        """Attend: softmax(q k^T / sqrt(depth)) v.

        Shapes are [batch, heads, length, depth], [batch, kv_heads, kv_length, depth] and
        [batch, kv_heads, kv_length, v_depth]. `causal` counts only the scores that a causal mask
        leaves; without it all are counted, masked or not.
        """

    def recurrent(
        self,
        x: int,
        cell: str,
        hidden: int,
        layers: int = 1,
        bidirectional: bool = False,
        bias: bool = True,
        projection: int = 0,
        name: str = "",
        states: Sequence[int] = (),
    ) -> int:
        """Run an rnn, lstm or gru over [batch, length, features].

        `states` are those before the first step where they are not zero: of every layer and
        direction the output's, and of an lstm the cell's.
        """

    def norm(
        self,
        x: int,
        kind: str,
        axes: int = 1,
        scale: bool = True,
        shift: bool = True,
        name: str = "",
    ) -> int:
        """Normalise; `kind` is layer or rms (over the last `axes` axes), instance or group."""

    def embedding(self, indices: int, rows: int, features: int, name: str = "") -> int: ...
    def element(
        self,
        inputs: Sequence[int],
        type: str,
        shape: Sequence[int] = (),
        name: str = "",
        order: Sequence[int] = (),
    ) -> int:
        """Add one of ELEMENT_OPS; without a shape, operands broadcast against each other.

        Of contiguous and transpose, `order` has their axes as they lie in what they read, the
        innermost last.
        """

    def reduce(
        self,
        x: int,
        type: str,
        axes: Sequence[int] = (),
        keep_axes: bool = False,
        name: str = "",
    ) -> int:
        """Reduce those axes, all where none are given."""

    def part(self, x: int, shape: Sequence[int], name: str = "") -> int:
        """Take some elements, or repetitions, in place: nothing is launched."""

    def custom(
        self,
        inputs: Sequence[int],
        type: str,
        shape: Sequence[int],
        macs: int = 0,
        flops: int = 0,
        params: int = 0,
        name: str = "",
    ) -> int:
        """Add an operator that the caller counts."""

    def tie(self, tensor: int, to: int) -> None:
        """Let a node use the parameters of an earlier one; they count once."""

    def tied_to(self, tensor: int) -> int:
        """Return the node whose parameters are used, -1 for its own."""

    def add(self, a: int, b: int, name: str = "") -> int: ...
    def mul(self, a: int, b: int, name: str = "") -> int:
        """Multiply; `b` has the shape of `a`, or is a gate [batch, channels, 1, 1]."""

    def concat(self, inputs: Sequence[int], name: str = "", axis: int = 1) -> int:
        """Concatenate along an axis, by default channels."""

    def flatten(self, x: int, name: str = "") -> int: ...
    def view(self, x: int, shape: Sequence[int], name: str = "") -> int: ...
    def softmax(self, x: int, name: str = "") -> int: ...
    def unknown(
        self, inputs: Sequence[int], type: str, shape: Sequence[int], name: str = ""
    ) -> int:
        """Add an operator that cannot be counted; it is reported, never priced at zero."""

class WorkTable:
    """One row a kernel launch as a device sees it; every column has one element a row."""

    def __len__(self) -> int: ...
    @property
    def kind(self) -> NDArray[np.uint8]:
        """Indices into KINDS."""

    @property
    def op(self) -> NDArray[np.uint8]:
        """Indices into OPERATORS, of the nodes that lead the rows."""

    @property
    def passes(self) -> NDArray[np.uint8]:
        """Indices into PASSES."""

    @property
    def dtype(self) -> NDArray[np.uint8]:
        """Indices into DTYPES."""

    @property
    def node(self) -> NDArray[np.int32]:
        """The graph node that leads the row; -1 of calls, and without a graph."""

    @property
    def folded(self) -> list[list[int]]:
        """Nodes computed in the same launch, after it."""

    def take(self, rows: NDArray[np.int64]) -> WorkTable:
        """Return the rows of those numbers, in that order."""

    @property
    def steps(self) -> NDArray[np.int64]:
        """What a row has one after the other: a recurrence layers * tokens, calls each, else 1."""

    def one_step(self, recurrences: bool = True) -> WorkTable:
        """Return one of its steps in place of each row; without `recurrences` theirs stay whole.

        These then have the batch as rows: `spatial` and `width` are 1.
        """

    @property
    def batch(self) -> NDArray[np.int64]: ...
    @property
    def groups(self) -> NDArray[np.int64]: ...
    @property
    def c_in(self) -> NDArray[np.int64]: ...
    @property
    def c_out(self) -> NDArray[np.int64]: ...
    @property
    def spatial(self) -> NDArray[np.int64]:
        """h_out * w_out of one image; layers * tokens of a recurrence."""

    @property
    def width(self) -> NDArray[np.int64]:
        """w_out; tokens of a recurrence."""

    @property
    def kernel_volume(self) -> NDArray[np.int64]: ...
    @property
    def kernel_width(self) -> NDArray[np.int64]: ...
    @property
    def stride(self) -> NDArray[np.int64]: ...
    @property
    def activations_read(self) -> NDArray[np.int64]:
        """Elements."""

    @property
    def weights_read(self) -> NDArray[np.int64]:
        """Elements."""

    @property
    def elements_written(self) -> NDArray[np.int64]: ...
    @property
    def biased(self) -> NDArray[np.uint8]:
        """1 where a bias is added."""

    @property
    def padded_elements(self) -> NDArray[np.int64]:
        """Of a copy of the input that padding unlike on two sides makes necessary."""

    @property
    def macs(self) -> NDArray[np.int64]: ...
    @property
    def flops(self) -> NDArray[np.int64]: ...
    @property
    def params(self) -> NDArray[np.int64]: ...

class Profile:
    @staticmethod
    def parse(json: str, origin: str = "profile") -> Profile: ...
    @staticmethod
    def load(path: str) -> Profile: ...
    @property
    def name(self) -> str: ...
    @property
    def backend(self) -> str: ...
    @property
    def mode(self) -> str:
        """Which operators shared a launch when it was measured; fused where it does not say."""

    @property
    def interval_level(self) -> float: ...
    def weight_share(self, reuse_bytes: float, reuse_s: float = 0.0) -> float:
        """Return what of the time of reading from memory weights take that are used so soon."""

    @property
    def power_w(self) -> float | None: ...
    def prices(self, kind: str, dtype: str = "fp32") -> bool: ...

class Prediction:
    """Times of a work table's rows, NaN where the profile does not price a row, and their sums."""

    @property
    def time_s(self) -> NDArray[np.float64]: ...
    @property
    def time_lo_s(self) -> NDArray[np.float64]: ...
    @property
    def time_hi_s(self) -> NDArray[np.float64]: ...
    @property
    def alpha(self) -> NDArray[np.float64]: ...
    @property
    def distance(self) -> NDArray[np.float64]:
        """Octaves outside of what was measured; 0 inside or where not known."""

    @property
    def weight_share(self) -> float:
        """In what share of the time that memory takes weights are read; 1: they come from there."""

    @property
    def total_time_s(self) -> float: ...
    @property
    def total_time_lo_s(self) -> float: ...
    @property
    def total_time_hi_s(self) -> float: ...
    @property
    def extrapolated_time_s(self) -> float: ...
    @property
    def alpha_flops(self) -> float: ...
    @property
    def unpriced_rows(self) -> int: ...

class Launches:
    """Rows of a work table as the equations read them."""

    def __init__(self, work: WorkTable) -> None: ...
    def __len__(self) -> int: ...
    def roofline_s(self, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        """Seconds [sets, n] of parameters [sets, 12], in the order of RooflineCost."""

    def tiled_s(
        self,
        algorithms: Sequence[str],
        tiles: NDArray[np.float64],
        processors: float,
        parameters: NDArray[np.float64],
        doublings: int = 4,
    ) -> NDArray[np.float64]:
        """Seconds [sets, n] of candidates with tiles [candidates, 2].

        `parameters` is [sets, 8 candidates + 2]: of each candidate what TileCandidate holds after
        its tile, in its order, then seconds per biased and per padded byte.
        """

    def traits(self, core_s: NDArray[np.float64]) -> NDArray[np.float32]:
        """What residual and domain see: [n, len(TRAITS)]."""

def lower(graph: Graph, mode: str = "fused", training: Training | None = None) -> WorkTable:
    """Lower a graph to its work table, in mode "fused", "fused_relu" or "eager".

    With `training`, of a step.
    """

class Training:
    """How a network is trained: what counts in a step and what stays in memory.

    Parameters
    ----------
    optimizer : {"sgd", "momentum", "adam", "adamw", "none"}
    frozen : sequence of str
        Layers whose parameters get no gradient: names, or their beginnings up to a "." or "/".
    checkpoint : sequence of str
        Likewise, groups of layers that keep nothing and run again in the backward pass.
    accumulate : int
        Micro-batches a step, each of the graph's batch.
    recompute_attention : bool
        Scores of attention are computed again instead of kept.

    Raises
    ------
    UnsupportedError
        The optimizer is not known; when used, a name is no layer's.
    """

    def __init__(
        self,
        optimizer: str = "sgd",
        frozen: Sequence[str] = (),
        checkpoint: Sequence[str] = (),
        accumulate: int = 1,
        recompute_attention: bool = False,
    ) -> None: ...
    @property
    def optimizer(self) -> str: ...
    @property
    def frozen(self) -> tuple[str, ...]: ...
    @property
    def checkpoint(self) -> tuple[str, ...]: ...
    @property
    def accumulate(self) -> int: ...
    @property
    def recompute_attention(self) -> bool: ...

class PeakMemory:
    """Bytes at the moment when most are in use."""

    @property
    def parameters_bytes(self) -> int: ...
    @property
    def constants_bytes(self) -> int:
        """Other constants, and the running statistics of batch norms."""

    @property
    def gradients_bytes(self) -> int:
        """Of parameters."""

    @property
    def optimizer_state_bytes(self) -> int: ...
    @property
    def activations_bytes(self) -> int:
        """Inputs, outputs, what is kept for the backward pass, gradients of tensors."""

    @property
    def total_bytes(self) -> int: ...
    @property
    def node(self) -> int:
        """The node at which it is."""

    @property
    def during(self) -> str:
        """The pass in which it is, one of PASSES."""

def peak_memory(graph: Graph, mode: str = "eager", training: Training | None = None) -> PeakMemory:
    """Find the most bytes that a network needs at once, by the life of every tensor.

    Inputs and results stay; every other tensor is freed behind its last reader, in training behind
    the backward step that reads it, as PyTorch's autograd keeps it. Raises UnsupportedError where a
    name in `training` is no layer's.
    """

def join(tables: Sequence[WorkTable]) -> WorkTable:
    """Rows of all tables, one table after another; `node` is -1 and `folded` empty."""

def work_from_specs(
    ops: Sequence[str], dtypes: Sequence[str], columns: Mapping[str, Any]
) -> WorkTable:
    """Count rows of a measurement table; absent columns take the table's defaults.

    The column `pass` holds indices into PASSES.
    """

def graphs_from_specs(
    ops: Sequence[str], dtypes: Sequence[str], columns: Mapping[str, Any]
) -> list[Graph]:
    """Rows of a measurement table as networks of one operator each."""

def predict_times(work: WorkTable, profile: Profile, out: NDArray[np.float64]) -> None:
    """Write the seconds of every row, and nothing else, into `out` [rows]; NaN: not priced."""

LAUNCH_COLUMNS: tuple[str, ...]

def predict_columns(
    profile: Profile,
    kind: str,
    dtype: str,
    columns: Mapping[str, NDArray[np.int64]],
    out: NDArray[np.float64],
    op: str = "other",
) -> None:
    """Write the seconds of rows of one kind into `out`; alphaflops.predict_rows has the words."""

def predict(
    work: WorkTable,
    profile: Profile,
    out: Prediction | None = None,
    reuse_bytes: float = ...,
    reuse_s: float | None = None,
) -> Prediction:
    """Price a work table, into `out` where it is given: an earlier one of as many rows.

    `reuse_bytes` is the reuse distance of the weights: of a network that runs again and again,
    `reuse_distance_bytes(work)`; without, weights come from memory. `reuse_s` is the time between
    two uses, by default that of all rows together.

    Raises ProfileError where the profile lacks a kind or dtype, ShapeError where `out` has another
    number of rows.
    """

def reuse_distance_bytes(work: WorkTable) -> float:
    """Return what a run of the network touches between two uses of the same weights, in bytes.

    That is the weights and the tensors of the largest launch; inf for a step of training.
    """

@overload
def alpha(s: float, kernel_volume: float, beta: float, gamma: float) -> float: ...
@overload
def alpha(
    s: ArrayLike, kernel_volume: ArrayLike, beta: ArrayLike, gamma: ArrayLike
) -> NDArray[np.float64]:
    """Give the paper's factor ((S_K + beta (S - S_K)) / S)^gamma, S_K = ln(kernel_volume) + 1.

    Asperti et al., LOD 2021 (arXiv 2107.11949). Arguments broadcast; S below one is taken as one.
    """

def available_isas() -> list[str]:
    """Instruction sets whose kernels run here, ascending."""

def best_isa() -> str: ...
def resolve_isa(name: str = "") -> str:
    """Return `name`, or the best here for an empty one; raises UnsupportedError."""

def clock_resolution_s() -> float: ...
def clock_cost_s() -> float: ...
def thread_affinity() -> list[int]:
    """Processors the calling thread may use; empty where the system does not say."""

def set_thread_affinity(cpus: Sequence[int]) -> None: ...
def current_cpu() -> int: ...
def steal_time_s(cpu: int = -1) -> float: ...
def involuntary_switches() -> int: ...
def estimate_clock_hz(duration_s: float = 50e-6) -> float: ...
def system_info() -> dict[str, Any]: ...
def probe_peak(isa: str = "", duration_s: float = 1.0) -> tuple[float, float]:
    """(fp32 operations a second, bytes read from memory a second) of one thread."""

class Executor:
    """A network that the native kernels run, on random weights, as a deployment runtime would.

    Raises UnsupportedError naming the layer for an operator without a native kernel and for
    dtypes other than fp32. Arrays are flat, images NHWC.
    """

    def __init__(self, graph: Graph, mode: str = "fused", isa: str = "", seed: int = 0) -> None: ...
    @property
    def work(self) -> WorkTable:
        """Row i is step i."""

    @property
    def isa(self) -> str: ...
    @property
    def memory_bytes(self) -> int: ...
    def run(self) -> None: ...
    def run_timed(self) -> NDArray[np.float64]:
        """Run once; seconds of every row."""

    def input(self, index: int = 0) -> NDArray[np.float32]:
        """A writable view of an input of the graph."""

    def output(self) -> NDArray[np.float32]:
        """A copy of the last node's tensor."""

    def weights(self, node: int) -> list[float]:
        """Weights [c_out][c_in / groups][k_h][k_w], or the scale of a norm; empty for none."""

    def shift(self, node: int) -> list[float]:
        """Bias, or the shift of a norm; empty for none."""

class Sample:
    """One reading: `iterations` calls timed one by one, and what disturbed them."""

    @property
    def time_s(self) -> float:
        """Mean of the calls."""

    @property
    def iterations(self) -> int: ...
    @property
    def wall_s(self) -> float: ...
    @property
    def steal_s(self) -> float: ...
    @property
    def switches(self) -> int: ...
    @property
    def clock_hz(self) -> float: ...
    @property
    def reorder_s(self) -> float:
        """The part of `time_s` that changed the layout."""

class Workbench:
    """Memory that benches take turns in."""

    def __init__(self, limit_bytes: int = 1_500_000_000) -> None: ...
    @property
    def limit_bytes(self) -> int: ...
    @property
    def memory_bytes(self) -> int: ...

class Bench:
    """One row of a network's fused work table, ready to be timed; `cache` is context or hot."""

    def __init__(
        self,
        graph: Graph,
        workbench: Workbench,
        isa: str = "",
        cache: str = "context",
        row: int = 0,
        reuse_bytes: int | None = None,
        reuse_s: float = 0.0,
    ) -> None: ...
    def warm_up(self) -> float:
        """Call a few times; return about what one call takes, in seconds."""

    def sample(self, iterations: int) -> Sample: ...
    @staticmethod
    def iterations_for(call_s: float) -> int:
        """So many calls that a sample is long beside the clock's resolution."""

    @property
    def isa(self) -> str: ...
    @property
    def memory_bytes(self) -> int: ...

def keep_freed_memory(keep: bool) -> None:
    """Say whether memory freed at the end of glibc's heap stays with the process, however much.

    With false, what it comes to by itself: beyond 64 MiB it goes back to the system. Both ways
    blocks of 32 MiB and more come from the system each time. On other heaps nothing happens.
    """

class HeapFilling:
    """What fills the holes of the C library's heap, so that what comes next lies side by side.

    This is of glibc's heap as a process's first thread sees it; on others nothing happens.
    """

    #: The largest block that glibc takes from its heap, once one of that size was freed.
    largest_bytes: int

    def __init__(self) -> None: ...
    def fill(self, least_bytes: int) -> int:
        """Fill holes of at least so many bytes; return what was filled.

        Their pages go back to the system. What is allocated next may lie on untouched ones.
        """

    @property
    def bytes(self) -> int:
        """What is filled."""

    def hold(self, bytes: int) -> None:
        """Take what is free in pieces of so many bytes and more, until `let_go`.

        Blocks of this size then come from the system.
        """

    def let_go(self) -> None: ...

def sample_network(executor: Executor, iterations: int = 1) -> Sample:
    """Time whole forward passes."""

def available_isas_for(dtype: str) -> list[str]:
    """Instruction sets with convolution kernels for a dtype here, ascending."""

def processor_count() -> int:
    """Processors this process may use."""

def available_memory_bytes() -> int: ...
def conv_layers(graph: Graph) -> list[tuple[str, str, dict[str, int]]]:
    """(name, op, shape) of every convolution and linear layer, in node order."""

def conv_macs(shape: Mapping[str, int]) -> tuple[int, int]:
    """Multiply-accumulates: nominal, and without those of padding zeros."""

def probe_rate(
    dtype: str = "fp32", isa: str = "", threads: int = 1, duration_s: float = 0.1
) -> float:
    """Operations a second from registers, a multiply-add being two."""

def probe_bandwidth(
    access: str, bytes: int, isa: str = "", threads: int = 1, duration_s: float = 0.1
) -> float:
    """Bytes a second of passes (read, write or triad) over so much memory."""

def probe_call_s(isa: str = "", threads: int = 1) -> float:
    """Seconds of a 1x1 convolution of one pixel."""

class ConvWorkbench:
    """Memory, random numbers and threads that convolution benches take turns in."""

    def __init__(self, threads: int = 1, seed: int = 0, limit_bytes: int = 0) -> None: ...
    @property
    def threads(self) -> int: ...
    @property
    def limit_bytes(self) -> int: ...

class ConvBench:
    """One convolution ready to be timed by itself; `auto` measures once a shape and remembers."""

    def __init__(
        self,
        shape: Mapping[str, int],
        workbench: ConvWorkbench,
        dtype: str = "fp32",
        isa: str = "",
        algorithm: str = "auto",
        winograd: bool = True,
        threads: int = 0,
        layout: str = "nhwc",
    ) -> None: ...
    def warm_up(self) -> float:
        """Call a few times; return about what one call takes, in seconds."""

    def sample(self, iterations: int, cold: bool = False, delay: float = 0.0) -> Sample: ...
    @property
    def algorithm(self) -> str: ...
    @property
    def memory_bytes(self) -> int: ...
    @property
    def compulsory_bytes(self) -> int: ...
    @property
    def checksum(self) -> float: ...

def is_count(metric: str) -> bool:
    """Whether a metric is an int64, the same on every device."""

class Step:
    """Adds a part to a graph: function(graph, tensors, notes, choice) -> (tensors, notes)."""

    def __init__(
        self,
        function: Callable[[Graph, list[int], list[int], int], tuple[Sequence[int], Sequence[int]]],
    ) -> None: ...

class SearchSpace:
    """A program of steps; see alphaflops.spaces.SearchSpace."""

    def __init__(self, name: str) -> None: ...
    @property
    def name(self) -> str: ...
    def position(self, name: str, choices: Sequence[str]) -> int: ...
    def add(self, name: str, step: Step, reads: int = -1) -> None: ...
    def graph(self, code: NDArray[np.uint8], batch: int = 1, dtype: str = "fp32") -> Graph: ...
    def compile(
        self,
        profiles: Sequence[Profile],
        batch: int,
        dtype: str,
        mode: str | None = None,
        reuse_bytes: float | None = None,
    ) -> CompiledSpace: ...

class Evaluator:
    """Tables of a few quantities, laid out for speed."""

    def evaluate(
        self, codes: NDArray[np.uint8], outputs: Sequence[NDArray[Any]], threads: int = 1
    ) -> None: ...
    def tables(self) -> dict[str, Any]:
        """Return the tables as arrays; space_tables.hpp says how they are laid out."""

class CompiledSpace:
    """Costs of all networks of a space; see alphaflops.spaces.CompiledSpace."""

    @property
    def mode(self) -> str: ...
    @property
    def parts(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def unpriced(self, profile: int = 0) -> list[str]: ...
    def evaluator(self, quantities: Sequence[tuple[str, int]]) -> Evaluator: ...
    def delta(
        self,
        code: NDArray[np.uint8],
        position: int,
        choice: int,
        metric: str = "time_s",
        profile: int = 0,
    ) -> float: ...
    def bounds(
        self, metric: str = "time_s", profile: int = 0
    ) -> tuple[float, float, NDArray[np.uint8], NDArray[np.uint8]]: ...
    def expected(
        self, probabilities: NDArray[np.float64], metric: str = "time_s", profile: int = 0
    ) -> tuple[float, NDArray[np.float64]]: ...
