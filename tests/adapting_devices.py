"""Devices that are their parameters, and what networks of a search space take on them."""

from __future__ import annotations

import numpy as np

import alphaflops as af

SPACE = af.spaces.fbnet()
CODES = SPACE.sample(160, 1)
FEW, REST = np.arange(12), np.arange(12, 160)


def device(name, *, mac_s, byte_s, launch_s, sharpness=2.0, overhead_s=1e-4, dtype="fp32"):
    """A made-up device whose depthwise convolutions are slow."""
    joined = {"floor_s": launch_s, "sharpness": sharpness}
    moving = {"seconds_per_byte_read": byte_s, "seconds_per_byte_written": 2 * byte_s, **joined}
    models = [
        {"kind": kind, "pass": "forward", "dtype": dtype, "form": "traffic", "parameters": moving}
        for kind in ("elementwise", "norm", "pool", "softmax", "copy")
    ]
    for kind, factor in (
        ("conv_1x1", 1),
        ("conv_spatial", 1.3),
        ("conv_grouped", 4),
        ("linear", 1),
    ):
        parameters = {
            "seconds_per_mac": factor * mac_s, "beta": 0.0, "gamma": 0.0,
            "half_rows": 8.0, "half_c_out": 3.0, "half_depth": 4.0,
            "seconds_per_weight_byte": byte_s, **moving,
        }  # fmt: skip
        models.append(
            {"kind": kind, "pass": "forward", "dtype": dtype, "form": "roofline-alpha",
             "parameters": parameters}
        )  # fmt: skip
    return af.Profile.from_dict(
        {
            "format": "alphaflops-profile",
            "version": 1,
            "name": name,
            "overhead_s": overhead_s,
            "provenance": {"backend": "made up"},
            "models": models,
        }
    )


PHONE = device("phone", mac_s=1e-10, byte_s=2e-10, launch_s=2e-6, overhead_s=5e-4)
GPU = device("gpu", mac_s=4e-13, byte_s=4e-12, launch_s=6e-5, sharpness=6.0)
ONE_THREAD = device("one-thread", mac_s=4e-11, byte_s=4e-11, launch_s=3e-5, sharpness=1.0)


WORK = {code.tobytes(): af.lower(SPACE.graph(code)) for code in CODES}


def times(profile, codes=CODES, noise=0.0, seed=0):
    exact = [af._core.predict(WORK[c.tobytes()], profile.core).total_time_s for c in codes]
    rng = np.random.default_rng(seed)
    return np.array(exact) * np.exp(noise * rng.standard_normal(len(codes)))
