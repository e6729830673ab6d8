"""What torch's functions are called, and which of them a table is enough for.

A function of ``torch``, of ``torch.nn.functional``, a method and an overload of ``torch.ops.aten``
have one name here when they do the same.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch


def words(text: str) -> list[str]:
    """Return the words of a list that is easier to read without quotes."""
    return text.split()


NAMES: dict[Any, tuple[str, bool]] = {}  # functions met so far: name, whether in place

_ALIASES = {
    "absolute": "abs",
    "arccos": "acos",
    "concat": "cat",
    "concatenate": "cat",
    "clip": "clamp",
    "divide": "div",
    "true_divide": "div",
    "truediv": "div",
    "rtruediv": "rdiv",
    "multiply": "mul",
    "negative": "neg",
    "rmul": "mul",
    "radd": "add",
    "subtract": "sub",
    "swapaxes": "transpose",
    "__matmul__": "matmul",
    "rmatmul": "rmatmul",
    "_softmax": "softmax",
    "_log_softmax": "log_softmax",
    "_unsafe_view": "view",
    "_to_copy": "to",
    "_adaptive_avg_pool2d": "adaptive_avg_pool2d",
    "_adaptive_avg_pool3d": "adaptive_avg_pool3d",
}


def canonical(function: Any) -> tuple[str, bool]:
    """Return the name of a function, and whether it writes its first argument."""
    schema = getattr(function, "_schema", None)
    if schema is not None:
        space, _, name = schema.name.partition("::")
        if space != "aten":
            name = schema.name
    else:
        name = getattr(function, "__name__", "") or str(function)
        if name in ("__get__", "__set__"):
            owner = function.__self__.__name__
            name = owner if name == "__get__" else f"{owner}.__set__"
    in_place = name.endswith("_") and not name.endswith("__")
    writes = name == "__setitem__" or name.endswith(".__set__")
    name = name.rstrip("_") if in_place else name
    if name.startswith("__") and name.endswith("__") and name not in READS_VALUES | QUERIES:
        name = name.strip("_")
        if name[0] == "i" and name[1:] in ELEMENTS:
            name, in_place = name[1:], True
    found = NAMES[function] = _ALIASES.get(name, name), in_place or writes
    return found


def attributes_of(function: Any, args: Any, kwargs: Any) -> Mapping[str, Any]:
    """Return the arguments that are no tensors, by name where the function tells names."""
    schema = getattr(getattr(function, "default", function), "_schema", None)
    if schema is not None:
        parameters = [a.name for a in schema.arguments]
    else:
        try:
            parameters = list(inspect.signature(function).parameters)
        except (TypeError, ValueError):
            parameters = []
    parameters += [f"arg{i}" for i in range(len(parameters), len(args))]
    named = {**dict(zip(parameters, args, strict=False)), **kwargs}
    return {k: v for k, v in named.items() if not isinstance(v, torch.Tensor)}


# Of shapes and types only; answered by the tensors themselves.
QUERIES = frozenset(
    words("""
    shape size dim ndim ndimension numel nelement element_size itemsize nbytes dtype layout
    is_cuda is_cpu is_meta is_mps is_xpu is_xla is_sparse is_sparse_csr is_quantized is_nested
    is_mkldnn is_leaf is_floating_point is_complex is_signed is_contiguous is_pinned is_inference
    is_conj is_neg is_shared is_same_size requires_grad grad grad_fn stride storage_offset names
    name output_nr get_device type_promotion result_type can_cast is_tensor __len__ __repr__
    __hash__ _is_view _base _version __dir__ data_ptr untyped_storage storage _typed_storage
    _backward_hooks has_names __format_query__ retains_grad volatile is_vulkan is_ipu is_ort
    is_maia is_mtia is_hpu _has_compatible_shallow_copy_type has_torch_function _cdata
    sym_size sym_numel sym_stride sym_storage_offset
    """)
)
# Functions that read no tensor and make one.
FACTORIES = frozenset(
    words("""
    arange bartlett_window blackman_window empty empty_strided eye full hamming_window hann_window
    kaiser_window linspace logspace normal ones rand randint randn randperm range scalar_tensor
    tril_indices triu_indices zeros
    """)
)
# What needs no values of its operands, though their values decide nothing of its own.
LIKE = frozenset(
    words("""
    zeros_like ones_like full_like empty_like rand_like randn_like randint_like new_zeros new_ones
    new_full new_empty new_tensor
    """)
)
RANDOM = frozenset(
    words("""
    bernoulli cauchy dropout exponential feature_dropout geometric log_normal multinomial normal
    poisson rand rand_like randint randint_like randn randn_like randperm random uniform
    native_dropout alpha_dropout gumbel_softmax rrelu
    """)
)
# The result is a number, or its shape depends on values.
READS_VALUES = frozenset(
    words("""
    item tolist numpy __bool__ __int__ __float__ __index__ __complex__ __array__ __contains__
    __format__ is_nonzero equal allclose nonzero argwhere masked_select unique unique_consecutive
    _unique2 bincount _local_scalar_dense
    """)
)

ELEMENTS: dict[str, str] = {  # to names of _core.ELEMENT_OPS
    **{name: name for name in words("abs ceil cos div elu erf exp floor log maximum minimum neg")},
    **{name: name for name in words("masked_fill mish mul pow reciprocal round rsqrt selu sign")},
    **{name: name for name in words("sin softplus sqrt sub where leaky_relu prelu add")},
    **dict.fromkeys(["rdiv", "floor_divide", "floordiv", "rfloordiv", "remainder", "fmod"], "div"),
    **dict.fromkeys(["mod", "rmod", "trunc_divide", "rdiv"], "div"),
    **dict.fromkeys(["rsub"], "sub"),
    **dict.fromkeys(["rpow", "square", "float_power"], "pow"),
    **dict.fromkeys(["expm1", "exp2"], "exp"),
    **dict.fromkeys(["log2", "log10", "log1p", "xlogy"], "log"),
    **dict.fromkeys(["erfc", "erfinv", "lgamma", "digamma"], "erf"),
    **dict.fromkeys(["tan", "asin", "sinh", "asinh", "atan", "atan2", "atanh"], "sin"),
    **dict.fromkeys(["acos", "cosh", "acosh"], "cos"),
    **dict.fromkeys(["trunc", "fix", "frac"], "floor"),
    **dict.fromkeys(["fmax"], "maximum"),
    **dict.fromkeys(["fmin"], "minimum"),
    **dict.fromkeys(["clamp", "clamp_min", "clamp_max", "hardtanh", "threshold"], "clip"),
    **dict.fromkeys(words("eq ne lt le gt ge isnan isinf isfinite isclose signbit"), "compare"),
    **dict.fromkeys(words("isposinf isneginf greater less greater_equal less_equal"), "compare"),
    **dict.fromkeys(words("logical_and logical_or logical_xor logical_not bitwise_and"), "logical"),
    **dict.fromkeys(words("bitwise_or bitwise_xor bitwise_not and or xor invert"), "logical"),
    **dict.fromkeys(words("bitwise_left_shift bitwise_right_shift lshift rshift"), "logical"),
    **dict.fromkeys(["celu"], "elu"),
    **dict.fromkeys(["logsigmoid", "log_sigmoid"], "softplus"),
    **dict.fromkeys(["softsign", "hardshrink", "softshrink", "tanhshrink"], "leaky_relu"),
    **dict.fromkeys(["rrelu", "_prelu_kernel"], "prelu"),
    **dict.fromkeys(["log_softmax"], "log_softmax"),
    **dict.fromkeys(["sgn", "copysign", "heaviside"], "sign"),
    **dict.fromkeys(["nan_to_num"], "where"),
    **dict.fromkeys(["dropout", "feature_dropout", "alpha_dropout", "native_dropout"], "dropout"),
    **dict.fromkeys(["dropout1d", "dropout2d", "dropout3d", "bernoulli"], "dropout"),
    **dict.fromkeys(["feature_alpha_dropout"], "dropout"),
    # Reductions; the flops are those of what they read.
    **{name: name for name in words("sum mean prod argmax cumsum logsumexp sort topk var norm")},
    **dict.fromkeys(["amax", "max", "any", "cummax"], "max"),
    **dict.fromkeys(["amin", "min", "all", "cummin", "aminmax"], "min"),
    **dict.fromkeys(["argmin"], "argmax"),
    **dict.fromkeys(["argsort", "median", "nanmedian", "kthvalue", "mode", "msort"], "sort"),
    **dict.fromkeys(["cumprod", "logcumsumexp"], "cumsum"),
    **dict.fromkeys(["nansum", "count_nonzero", "histc"], "sum"),
    **dict.fromkeys(["nanmean"], "mean"),
    **dict.fromkeys(["std", "var_mean", "std_mean"], "var"),
    **dict.fromkeys(["vector_norm", "linalg_vector_norm", "linalg_norm", "frobenius_norm"], "norm"),
}
COPIES: dict[str, str] = {
    **{name: name for name in words("cat stack roll flip repeat gather contiguous unfold pad")},
    **{name: name for name in words("pixel_shuffle scatter")},
    **dict.fromkeys(["clone", "copy", "reshape", "flatten", "tril", "triu", "unflatten"], "copy"),
    **dict.fromkeys(words("to float half double bfloat16 int long bool type type_as"), "cast"),
    **dict.fromkeys(["hstack", "vstack", "dstack", "column_stack"], "stack"),
    **dict.fromkeys(["tile", "repeat_interleave"], "repeat"),
    **dict.fromkeys(["fliplr", "flipud", "rot90"], "flip"),
    **dict.fromkeys(["take", "take_along_dim", "index_select", "getitem", "index"], "gather"),
    **dict.fromkeys(["_unsafe_index"], "gather"),
    **dict.fromkeys(words("scatter_add scatter_reduce index_add index_copy index_put"), "scatter"),
    **dict.fromkeys(words("index_fill masked_scatter select_scatter slice_scatter"), "scatter"),
    **dict.fromkeys(["one_hot", "fold", "col2im", "diag_embed", "block_diag"], "scatter"),
    **dict.fromkeys(["im2col"], "unfold"),
    **dict.fromkeys(["fill", "zero", "normal", "uniform", "random", *LIKE], "fill"),
    **dict.fromkeys(["exponential", "cauchy", "log_normal", "geometric"], "fill"),
    **dict.fromkeys(words("constant_pad_nd reflection_pad1d reflection_pad2d"), "pad"),
    **dict.fromkeys(words("reflection_pad3d replication_pad1d replication_pad2d"), "pad"),
    **dict.fromkeys(["replication_pad3d"], "pad"),
    **dict.fromkeys(
        ["pixel_unshuffle", "channel_shuffle", "native_channel_shuffle"], "pixel_shuffle"
    ),
}
# The result shares the operand's elements, or is the operand.
VIEWS = frozenset(
    words("""
    T mT H mH adjoint alias as_strided atleast_1d atleast_2d atleast_3d broadcast_tensors
    broadcast_to chunk conj cpu cuda data detach diagonal expand expand_as hsplit vsplit dsplit
    lift_fresh movedim moveaxis narrow permute pin_memory positive ravel real imag
    resolve_conj resolve_neg select slice split split_with_sizes
    split_copy squeeze swapdims t tensor_split transpose unbind unfold_copy unsafe_chunk
    unsafe_split unsqueeze view view_as view_as_complex view_as_real meshgrid
    unsafe_split_with_sizes
    tensor_unfold __iter__ iter reshape_as lift lift_fresh_copy
    """)
)
# Whose arguments behind the first are sizes or places, which may be tensors of one element.
TAKES_SIZES = (
    (VIEWS | LIKE)
    .union(words("reshape unflatten repeat tile pad getitem setitem roll interpolate"))
    .difference(
        words("atleast_1d atleast_2d atleast_3d broadcast_tensors"),
        words("expand_as meshgrid reshape_as view_as"),
    )
)
