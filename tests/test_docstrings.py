"""What `help` shows of the core's names is what the stubs say."""

import ast
import inspect
from pathlib import Path

import pytest

import alphaflops as af
from alphaflops import _core

STUBS = Path(af.__file__).with_name("_core.pyi")
ERRORS = ("Error", "IoError", "ModelError", "OverflowError", "ProfileError", "ShapeError")
OTHERS = ("Graph", "PeakMemory", "Training", "WorkTable", "alpha", "lower", "peak_memory")


@pytest.mark.parametrize("name", ERRORS + OTHERS)
def test_the_core_says_what_its_stubs_say(name):
    stubs = ast.parse(STUBS.read_text("utf-8"))
    texts = [ast.get_docstring(node) for node in stubs.body if getattr(node, "name", "") == name]
    (stated,) = filter(None, texts)
    assert inspect.getdoc(getattr(_core, name)).endswith(stated)


def test_every_public_name_is_described():
    for name in af.__all__:
        value = getattr(af, name)
        if isinstance(value, type) or callable(value):
            assert value.__doc__, name
            assert value.__doc__ != BaseException.__doc__, name
