"""Spaces as shipped and with other options, each made and compiled once."""

from __future__ import annotations

import functools

from space_profiles import FAST, SLOW

import alphaflops as af

SPACES = {
    **af.spaces.SPACES,
    "ofa_widths": lambda: af.spaces.ofa(widths=(0.75, 1.0, 1.25), width_multiplier=1.2),
    "imagenet16": lambda: af.spaces.nasbench201("imagenet16-120"),
    "short_darts": lambda: af.spaces.darts(cells=5, channels=8, side=16),
    "short_transformer": lambda: af.spaces.transformer(33, layers=3, widths=(64, 96), heads=(1, 3)),
}


@functools.cache
def made(name):
    return SPACES[name]()


@functools.cache
def compiled(name):
    return made(name).compile([FAST, SLOW])
