"""Which layer of a module runs, and what its nodes are called."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from alphaflops._core import Graph
from alphaflops.errors import ModelError

_PATCHED = threading.RLock()  # one trace at a time


class Layer:
    """One call of a module."""

    __slots__ = ("is_leaf", "is_named", "launches", "module", "path")

    def __init__(self, path: str, module: torch.nn.Module, is_leaf: bool) -> None:
        self.path, self.module = path, module
        self.is_leaf = is_leaf  # what it runs has its name, if that is one operator
        self.is_named = False
        self.launches = False  # an operator by itself, in whose row its call is


class Layers:
    """The stack of modules that are running, outermost first."""

    def __init__(self, graph: Graph, module: torch.nn.Module) -> None:
        self.graph = graph
        self.paths = {id(m): path for path, m in module.named_modules()}
        self.stack: list[Layer] = []
        self.failed: tuple[BaseException, str, torch.nn.Module] | None = None
        self.calls = 0  # of modules that are not one operator, and of functions without a launch
        self._names: dict[str, int] = {}

    def name(self, operator: str, is_free: bool = False) -> str:
        """Return the layer's name, with the operator's where the layer is more than that."""
        layer = self.stack[-1] if self.stack else None
        path = layer.path if layer is not None else ""
        if layer is not None and layer.is_leaf and not is_free:
            layer.launches = True
        if layer is None or not path:
            name = operator
        elif layer.is_leaf and not layer.is_named and not is_free:
            name = path
            layer.is_named = True
        else:
            name = f"{path}.{operator}"
        count = self._names.get(name, 0)
        self._names[name] = count + 1
        return f"{name}_{count}" if count else name

    def fail(self, why: str) -> ModelError:
        """Return an error that names the layer being run."""
        path, kind = "", "forward"
        if self.stack:
            path, kind = self.stack[-1].path, type(self.stack[-1].module).__name__
        return ModelError(f"{path or self.graph.name} ({kind}): {why}")

    @contextmanager
    def following_modules(self) -> Iterator[None]:
        """Know which module runs: `Module.__call__` is another function meanwhile, in this thread.

        Hooks would do the same and would have to be taken out of every module again. Encoders of
        transformers run layer by layer, without the fused path of inference.
        """
        original = torch.nn.Module.__call__
        is_fast = torch.backends.mha.get_fastpath_enabled
        thread = threading.get_ident()

        def is_fast_here() -> bool:
            return threading.get_ident() != thread and is_fast()

        def call(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != thread:
                return original(module, *args, **kwargs)
            module = self._unwrapped(module)
            path = self.paths.get(id(module))
            if path is None:
                path = f"{self.stack[-1].path if self.stack else ''}.{type(module).__name__}"
                path = path.lstrip(".")
            layer = Layer(path, module, not module._modules)
            self.stack.append(layer)
            try:
                return original(module, *args, **kwargs)
            except BaseException as error:
                if self.failed is None or self.failed[0] is not error:
                    where = f"{path or self.graph.name} ({type(module).__name__})"
                    self.failed = (error, where, module)
                raise
            finally:
                self.stack.pop()
                self.calls += not layer.launches

        with _PATCHED:
            torch.nn.Module.__call__ = call  # type: ignore[method-assign]
            torch.backends.mha.get_fastpath_enabled = is_fast_here
            try:
                yield
            finally:
                torch.nn.Module.__call__ = original  # type: ignore[method-assign]
                torch.backends.mha.get_fastpath_enabled = is_fast

    def _unwrapped(self, module: torch.nn.Module) -> torch.nn.Module:
        if isinstance(module, torch.jit.ScriptModule):
            raise ModelError(
                f"{self.paths.get(id(module)) or self.graph.name}: a scripted module runs outside "
                "Python, where it cannot be followed; give the module that was scripted"
            )
        # torch.compile wraps; what it wraps runs the same.
        wrapped = type(module).__name__ == "OptimizedModule"
        return module._orig_mod if wrapped else module  # type: ignore[return-value]
