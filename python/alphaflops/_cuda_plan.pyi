"""What a GPU is to run, as data; needs neither the CUDA toolkit nor a driver.

Sizes are those of Conv2dShape (batch, c_in, h_in, w_in, c_out, k_h, k_w, stride_h, stride_w,
pad_top, pad_bottom, pad_left, pad_right, dilation_h, dilation_w, groups), or of Pool2dShape
(channels in place of c_in and c_out). Streams also take second_blocks, second_repeats and
second_length of a smaller operand; table_rows; softmax_columns and causal_rows; of concat
out_channels, out_channel and, of each of its PARTS at most, channels_0, stride_0 and offset_0; and
of copy_axes size_0, extent_0, stride_0, shift_0, ..., size_4 and offset. Products of matrices have
outer, inner, rows, columns and depth, and strides a_outer, a_inner, a_row, a_column and a_offset of
each operand; attention has batch, heads, length, kv_length, depth and v_depth, the strides of q, k,
v and y, those of mask if there is one, and group, the heads that share keys. A layer of a
recurrence has batch, length, directions, hidden and projection. All count elements. A plan is one
way to do a problem; the first is the best guess.
"""

from collections.abc import Mapping

BUFFERS: tuple[str, ...]
STREAMS: tuple[str, ...]
PROBES: tuple[str, ...]
PARTS: int

class Target:
    """A GPU: ten times its compute capability, and what limits a block."""

    def __init__(
        self,
        arch: int,
        has_a_features: bool = False,
        sm_count: int = 1,
        shared_per_block_bytes: int = 49152,
    ) -> None: ...
    @property
    def arch(self) -> int: ...
    @property
    def has_a_features(self) -> bool: ...
    @property
    def sm_count(self) -> int: ...
    @property
    def shared_per_block_bytes(self) -> int: ...

class Pointer:
    """The address of `buffer`, plus `byte_offset`, goes to 8 bytes of the parameters."""

    @property
    def offset(self) -> int: ...
    @property
    def buffer(self) -> str: ...
    @property
    def byte_offset(self) -> int: ...

class TensorMap:
    """What the driver encodes to 128 bytes of the parameters."""

    @property
    def offset(self) -> int: ...
    @property
    def buffer(self) -> str: ...
    @property
    def byte_offset(self) -> int: ...
    @property
    def dtype(self) -> str: ...
    @property
    def rank(self) -> int: ...
    @property
    def sizes(self) -> list[int]: ...
    @property
    def strides_bytes(self) -> list[int]: ...
    @property
    def box(self) -> list[int]: ...
    @property
    def element_strides(self) -> list[int]: ...
    @property
    def swizzle(self) -> int: ...
    @property
    def im2col(self) -> bool: ...
    @property
    def lower_corner(self) -> list[int]: ...
    @property
    def upper_corner(self) -> list[int]: ...
    @property
    def channels_per_pixel(self) -> int: ...
    @property
    def pixels_per_column(self) -> int: ...

class Launch:
    """A kernel by its name and header, its grid, and the bytes of its one parameter."""

    @property
    def symbol(self) -> str: ...
    @property
    def header(self) -> str: ...
    @property
    def min_arch(self) -> int: ...
    @property
    def exact_arch(self) -> bool: ...
    @property
    def grid(self) -> list[int]: ...
    @property
    def block(self) -> list[int]: ...
    @property
    def cluster(self) -> list[int]: ...
    @property
    def shared_bytes(self) -> int: ...
    @property
    def overlaps_before(self) -> bool: ...
    @property
    def parameters(self) -> bytes: ...
    @property
    def pointers(self) -> list[Pointer]: ...
    @property
    def tensor_maps(self) -> list[TensorMap]: ...

class Plan:
    """Launches, one after the other; `operations` and `bytes` are those of probes."""

    @property
    def launches(self) -> list[Launch]: ...
    @property
    def workspace_bytes(self) -> int: ...
    @property
    def algorithm(self) -> str: ...
    @property
    def tile(self) -> str: ...
    @property
    def operations(self) -> float: ...
    @property
    def bytes(self) -> float: ...

def conv_plans(
    sizes: Mapping[str, int],
    target: Target,
    dtype: str = "fp32",
    pass_: str = "forward",
    activation: str = "none",
    bias: bool = False,
    transposed: bool = False,
) -> list[Plan]: ...
def stream_plans(
    stream: str,
    sizes: Mapping[str, int],
    target: Target,
    dtype: str = "fp32",
    function: str = "none",
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    epsilon: float = ...,
    scale: float = ...,
) -> list[Plan]: ...
def matmul_plans(sizes: Mapping[str, int], target: Target, dtype: str = "fp32") -> list[Plan]: ...
def attention_plans(
    sizes: Mapping[str, int], target: Target, dtype: str = "fp32", causal: bool = False
) -> list[Plan]: ...
def recurrent_plans(
    cell: str, sizes: Mapping[str, int], target: Target, dtype: str = "fp32", bias: bool = True
) -> list[Plan]: ...
def probe_plans(probe: str, target: Target, amount: int = 0, dtype: str = "fp32") -> list[Plan]: ...
