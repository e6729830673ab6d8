"""Element types of an ONNX graph's tensors, and what onnx infers of a node's results."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple

import onnx.defs
import onnx.shape_inference
from onnx import ModelProto, NodeProto, TensorProto, TypeProto, helper, numpy_helper

from alphaflops.errors import ModelError, UnsupportedError
from alphaflops.frontends.onnx_values import FLOATS, Constant

if TYPE_CHECKING:
    from alphaflops.frontends.onnx_call import Call

__all__ = ["Types", "opsets_of"]

_DTYPES: dict[int, str] = {
    TensorProto.FLOAT: "fp32",
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "bf16",
    TensorProto.INT8: "int8",
    TensorProto.UINT8: "int8",
}
# Where the weight of an operator stands among its inputs.
_WEIGHT_INPUT = {
    "Conv": 1,
    "ConvInteger": 1,
    "ConvTranspose": 1,
    "Gemm": 1,
    "MatMul": 1,
    "MatMulInteger": 1,
    "QLinearConv": 3,
    "QLinearMatMul": 3,
}
# Element types by what a schema calls them: "tensor(float)".
_NAMED = {f"tensor({name.lower()})": number for name, number in TensorProto.DataType.items()}
_STATED = ("to", "dtype", "output_dtype", "output_datatype")  # attributes that state one
_STASHED = "stash_type"  # and this that of a norm's results behind the first
_DEFAULTS = {  # where neither an operator nor its schema states one
    "ConstantOfShape": TensorProto.FLOAT,
    "QuantizeLinear": TensorProto.UINT8,
}


class _Rule(NamedTuple):
    """What decides the element type of a result.

    Attributes
    ----------
    fixed
        The one that it can have, if one.
    stated
        Attributes that state it, with their defaults; 0 for none.
    like
        The operands that have it.
    """

    fixed: int | None
    stated: Mapping[str, int]
    like: Collection[int]


def opsets_of(model: ModelProto) -> dict[str, int]:
    """Return the versions of the operator sets, by domain; "" is ONNX's own."""
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    if "ai.onnx" in opsets:
        opsets.setdefault("", opsets["ai.onnx"])
    return opsets


class Types:
    """Element types by a tensor's name, and the sizes that onnx or the file knows of a result."""

    def __init__(self, where: str, model: ModelProto, symbols: Mapping[str, int]) -> None:
        self._where = where
        self._graph = model.graph
        self._opsets = opsets_of(model)
        self._imports = [helper.make_opsetid(d, v) for d, v in self._opsets.items()]
        self._ir_version = model.ir_version
        self._symbols = symbols
        self._declared: dict[str, TypeProto] | None = None
        self._rules: dict[tuple[str, str, int], _Rule] = {}
        self._elements: dict[str, int] = {
            value.name: value.type.tensor_type.elem_type for value in model.graph.input
        }

    @property
    def opset(self) -> int:
        """The version of ONNX's own operators."""
        return self._opsets.get("", 0)

    def element(self, name: str, constants: Mapping[str, Constant]) -> int:
        """Return the element type of a tensor; of results, as far as it follows from the node."""
        constant = constants.get(name)
        return self._elements.get(name, TensorProto.FLOAT) if constant is None else constant.element

    def alias(self, name: str, of: str) -> None:
        """Give one tensor the element type of another."""
        self._elements[name] = self._elements.get(of, TensorProto.FLOAT)

    def made(self, node: NodeProto, i: int, constants: Mapping[str, Constant]) -> int:
        """Return the element type of a node's result `i`."""
        fixed, stated, like = self._rule(node, i)
        if fixed is not None:
            return fixed
        own = {attribute.name: attribute for attribute in node.attribute}
        for name, default in stated.items():
            if element := own[name].i if name in own else default:
                return int(element)
        if node.op_type == "ConstantOfShape" and "value" in own:
            return int(own["value"].t.data_type)
        given = [name for k, name in enumerate(node.input) if name and k in like]
        if not given and node.op_type in _DEFAULTS:
            return int(_DEFAULTS[node.op_type])
        given = given or [name for name in node.input if name]
        return self.element(given[0], constants) if given else int(TensorProto.FLOAT)

    def _rule(self, node: NodeProto, i: int) -> _Rule:
        domain = "" if node.domain == "ai.onnx" else node.domain
        key = (domain, node.op_type, i)
        if key not in self._rules:
            schema = self._schema(node.op_type, domain)
            unknown = _Rule(None, dict.fromkeys(_STATED, 0), ())
            self._rules[key] = unknown if schema is None else _ruled(schema, i)
        return self._rules[key]

    def _schema(self, op: str, domain: str) -> onnx.defs.OpSchema | None:
        """Return what onnx knows of an operator in the version that the file asks for."""
        if domain not in self._opsets or not onnx.defs.has(op, self._opsets[domain], domain):
            return None
        return onnx.defs.get_schema(op, self._opsets[domain], domain)

    def note(self, node: NodeProto, constants: Mapping[str, Constant]) -> None:
        """Remember the element types of a node's results."""
        for i, name in enumerate(node.output):
            self._elements[name] = self.made(node, i, constants)

    def inferred(self, call: Call) -> list[tuple[int, ...] | None]:
        """Return the sizes of a node's results as onnx infers them; None for what it does not."""
        node, constants = call.node, call.net.constants
        domain = "" if node.domain == "ai.onnx" else node.domain
        if not onnx.defs.has(node.op_type, domain) or domain not in self._opsets:
            return []
        types, data = {}, {}
        for name in filter(None, node.input):
            if name in call.net.sequences:
                return []  # of which a type alone tells no sizes
            element = self.element(name, constants)
            types[name] = helper.make_tensor_type_proto(element, call.net.shape(name))
            constant = constants.get(name)
            value = None if constant is None else constant.value
            if value is not None:
                data[name] = numpy_helper.from_array(value)
        try:
            schema = onnx.defs.get_schema(node.op_type, self._opsets[domain], domain)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                found = onnx.shape_inference.infer_node_outputs(
                    schema,
                    node,
                    types,
                    data,
                    opset_imports=self._imports,
                    ir_version=self._ir_version,
                )
        except Exception as error:  # of its bindings, by version
            raise call.fail(
                f"its shape cannot be inferred ({str(error).strip():.300}); check the model with "
                "onnx.checker, or export it again"
            ) from error
        return [_sizes(found.get(name), {}) for name in node.output]

    def declared(self, call: Call, name: str) -> tuple[int, ...]:
        """Return the sizes that the file states for a tensor.

        Raises
        ------
        ModelError
            It states none, or some are symbolic.
        """
        if self._declared is None:
            values = (*self._graph.value_info, *self._graph.output)
            self._declared = {value.name: value.type for value in values}
        kind = self._declared.get(name)
        if kind is None or not kind.tensor_type.HasField("shape"):
            raise ModelError(
                f"{self._where}: the shape of tensor '{name}', which {call.name} "
                f"({call.node.op_type}) makes, is not known; simplify the model, or export it with "
                "fixed sizes"
            )
        sizes = _sizes(kind, self._symbols)
        if sizes is None:
            text = ", ".join(
                d.dim_param or str(d.dim_value or "?") for d in kind.tensor_type.shape.dim
            )
            raise ModelError(
                f"{self._where}: tensor '{name}', which {call.name} ({call.node.op_type}) makes, "
                f"has the shape [{text}], which is not fixed; export the model with fixed sizes"
            )
        return sizes

    def dtype(self, constants: Mapping[str, Constant]) -> str:
        """Return the element type of the first layer that multiplies, else of what is stored.

        Raises
        ------
        UnsupportedError
            It is one that no cost model is for.
        """
        weights = [
            node.input[at]
            for node in self._graph.node
            if (at := _WEIGHT_INPUT.get(node.op_type)) and len(node.input) > at
        ]
        for name in weights:
            if name in constants:
                return self._dtype_of(name, constants[name].element)
        for constant in constants.values():
            if constant.element in FLOATS and constant.bases:
                return _DTYPES[constant.element]
        for value in self._graph.input:
            element = value.type.tensor_type.elem_type
            if element in _DTYPES or element in (TensorProto.DOUBLE, TensorProto.UNDEFINED):
                return self._dtype_of(value.name, element)
        return "fp32"

    def _dtype_of(self, name: str, code: int) -> str:
        if code not in _DTYPES:
            known = [key for key, value in TensorProto.DataType.items() if value == code]
            raise UnsupportedError(
                f"{self._where}: tensor '{name}' is {known[0] if known else code}, which has "
                f"no cost model; export the model in fp32, fp16, bf16 or int8"
            )
        return _DTYPES[code]


def _ruled(schema: onnx.defs.OpSchema, i: int) -> _Rule:
    """Return what a schema says of the element type of output `i`."""
    names = (*_STATED, _STASHED) if i > 0 else _STATED
    attributes = schema.attributes
    stated = {name: attributes[name].default_value.i for name in names if name in attributes}
    if not schema.outputs:
        return _Rule(None, stated, ())
    kind = schema.outputs[min(i, len(schema.outputs) - 1)].type_str  # the last may be variadic
    allowed = [
        kind,
        *(
            t
            for c in schema.type_constraints
            if c.type_param_str == kind
            for t in c.allowed_type_strs
        ),
    ]
    fixed = [_NAMED[t] for t in allowed if t in _NAMED]
    like = [k for k, x in enumerate(schema.inputs) if x.type_str == kind]
    return _Rule(fixed[0] if len(fixed) == 1 else None, stated, like)


def _sizes(kind: TypeProto | None, symbols: Mapping[str, int]) -> tuple[int, ...] | None:
    """Return the sizes of a type where all are known and can be."""
    if kind is None or not kind.tensor_type.HasField("shape"):
        return None
    sizes = []
    for size in kind.tensor_type.shape.dim:
        value = size.dim_value if size.HasField("dim_value") else symbols.get(size.dim_param, -1)
        if value < 0:
            return None
        sizes.append(value)
    return tuple(sizes)
