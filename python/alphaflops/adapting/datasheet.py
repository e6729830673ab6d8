"""A profile from a data sheet: a first guess, to be sharpened by `adapt`.

    compute = macs / (efficiency * peak_flops / 2) * (1 + half_rows / S) * ...
    moved   = bytes / (efficiency * bandwidth)

The efficiencies are means of what published convolution times on three GPUs reach, from 21 to 59 %
of the arithmetic and from 13 to 73 % of the bandwidth (docs/adapt.md).
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import numpy as np

from alphaflops import _core
from alphaflops.errors import ProfileError
from alphaflops.fitting.forms import MOVING, MULTIPLYING
from alphaflops.fitting.metrics import LEVEL
from alphaflops.profiles import Profile

_COMPUTE_EFFICIENCY = 0.45
_MEMORY_EFFICIENCY = 0.25
_SHARPNESS = 2.0
_HALF_ROWS, _HALF_C_OUT, _HALF_DEPTH = 5.0, 8.0, 8.0
_CORES_A_ROW = 16.0  # cores that the channels of one output pixel keep busy
_FACTOR = 8.0  # of the interval, either way
_LEAST_RATE = 1e6  # a second; less is a data sheet's number without its giga or tera


def from_datasheet(
    name: str,
    *,
    peak_flops: float,
    bandwidth: float,
    tdp: float | None = None,
    cores: int | None = None,
    launch_s: float = 20e-6,
    dtype: str = "fp32",
) -> Profile:
    """Make a profile of every operator kind from what a data sheet says.

    Parameters
    ----------
    name
        Of device and profile.
    peak_flops
        Floating-point operations a second in `dtype`; a multiply-accumulate is two.
    bandwidth
        Of memory, in bytes a second.
    tdp
        Power drawn under load in watts; energy is power times time.
    cores
        Arithmetic units that work side by side: small images leave many idle.
    launch_s
        Seconds that a launch costs before it works.
    dtype
        fp32, tf32, fp16, bf16 or int8.

    Returns
    -------
    Profile
        With 90 % intervals of a factor of 8 either way.

    Raises
    ------
    ProfileError
        A number is not positive and finite, or cannot be in its unit; or no such dtype.
    """
    _check("peak_flops", peak_flops, "floating-point operations a second, such as 11.3e12")
    _check("bandwidth", bandwidth, "bytes a second, such as 484e9")
    for field, value in (("tdp", tdp), ("cores", cores), ("launch_s", launch_s)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise ProfileError(f"data sheet of {name}: {field} is {value}; it must be above 0")
    if dtype not in _core.DTYPES:
        raise ProfileError(
            f"data sheet of {name}: dtype {dtype!r} is not known; use one of "
            f"{', '.join(_core.DTYPES)}"
        )
    byte_s = 1 / (_MEMORY_EFFICIENCY * bandwidth)
    joined = {"floor_s": launch_s, "sharpness": _SHARPNESS}
    moving = {"seconds_per_byte_read": byte_s, "seconds_per_byte_written": byte_s, **joined}
    multiplying = {
        "seconds_per_mac": 2 / (_COMPUTE_EFFICIENCY * peak_flops),
        "beta": 0.0,
        "gamma": 0.0,
        "half_rows": _HALF_ROWS if cores is None else max(1.0, cores / _CORES_A_ROW),
        "half_c_out": _HALF_C_OUT,
        "half_depth": _HALF_DEPTH,
        "seconds_per_weight_byte": byte_s,
        **moving,
    }
    forms = [(kind, "roofline-alpha", multiplying) for kind in MULTIPLYING]
    forms += [(kind, "traffic", moving) for kind in MOVING]
    factors = {"lower_factor": 1 / _FACTOR, "upper_factor": _FACTOR}
    device: dict[str, Any] = {"name": name, "peak_flops": peak_flops, "bandwidth": bandwidth}
    device |= {} if cores is None else {"cores": cores}
    data: dict[str, Any] = {
        "format": "alphaflops-profile",
        "version": _core.PROFILE_VERSION,
        "name": name,
        "description": f"{name}, from its data sheet; nothing was measured",
        "device": device,
        "interval_level": LEVEL,
        "models": [
            {
                "kind": kind,
                "pass": "forward",
                "dtype": dtype,
                "form": form,
                "parameters": parameters,
                "interval": factors,
            }
            for kind, form, parameters in forms
        ],
        "provenance": {
            "backend": "data sheet",
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "alphaflops_version": _core.__version__,
            "form": "roofline-alpha",
        },
        "assumptions": [
            f"from a data sheet, nothing was measured: {_COMPUTE_EFFICIENCY:.0%} of the peak "
            f"arithmetic, {_MEMORY_EFFICIENCY:.0%} of the bandwidth and {launch_s * 1e6:.3g} us a "
            f"launch are taken for granted; times may be off by a factor of {_FACTOR:.0f}"
        ],
    }
    if tdp is not None:
        data["power_w"] = float(tdp)
        data["assumptions"].append("energy takes the device to draw its full design power")
    return Profile.from_dict(data, origin=f"data sheet of {name}")


def _check(field: str, value: float, unit: str) -> None:
    if not (np.isfinite(value) and value > 0):
        raise ProfileError(f"data sheet: {field} is {value}; give {unit}")
    if value < _LEAST_RATE:
        raise ProfileError(f"data sheet: {field} is {value:g}, too low for any device; give {unit}")
