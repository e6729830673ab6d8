"""What runs with the `_cuda` of the processor: tests/test_cuda_emulated.py starts it."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

_found = find_spec("alphaflops._cuda")
if _found is None or _found.origin != os.environ.get("ALPHAFLOPS_EMULATED_CUDA"):
    collect_ignore_glob = ["test_*"]
else:
    from alphaflops.cuda.native_driver import NativeDriver

    @pytest.fixture(scope="session")
    def driver() -> NativeDriver:
        return NativeDriver()
