"""NVIDIA GPUs: convolutions on arrays of CuPy or PyTorch, and what is needed to time them.

>>> import alphaflops as af
>>> y = af.cuda.conv2d(x, w, stride=2, padding=1)  # doctest: +SKIP

Importing this touches no driver; a call without a GPU raises an error that says what is missing.
"""

from __future__ import annotations

from alphaflops.cuda.conv import conv2d
from alphaflops.cuda.driver import DeviceInfo, devices, open_driver

__all__ = ["DeviceInfo", "conv2d", "devices", "open_driver"]
