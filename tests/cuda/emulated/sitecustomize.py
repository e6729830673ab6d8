"""With this folder on PYTHONPATH, ``alphaflops._cuda`` is the module at ALPHAFLOPS_EMULATED_CUDA.

That one runs on the processor, over a made-up CUDA runtime (tests/cuda/runtime).
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec


class _Finder:
    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        path = os.environ.get("ALPHAFLOPS_EMULATED_CUDA")
        if name != "alphaflops._cuda" or not path:
            return None
        return importlib.util.spec_from_file_location(name, path)


sys.meta_path.insert(0, _Finder())
