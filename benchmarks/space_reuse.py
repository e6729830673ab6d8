"""How far tables of a space are from `estimate` where a profile knows weights in a cache.

    python benchmarks/space_reuse.py --device this-cpu.json

What a cache is worth is no sum over parts of a network; the tables of a compiled space are. Both
price the same networks of each space: the fastest and the slowest, such as lie between these, and
random ones. Nothing is measured.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

import alphaflops as af

_DRAWN = 100  # networks at random, and as many from the fastest to the slowest


def codes_of(compiled: af.spaces.CompiledSpace) -> np.ndarray:
    space, (_, _, fastest, slowest) = compiled.space, compiled.bounds()
    random = np.random.default_rng(1)
    drawn = space.sample(_DRAWN, 1)
    ends = np.where(np.arange(_DRAWN)[:, np.newaxis] % 2 == 0, fastest, slowest)
    shares = np.linspace(0, 1, _DRAWN)[:, np.newaxis]
    between = np.where(random.random(drawn.shape) < shares, ends, drawn)
    every = [fastest[np.newaxis], slowest[np.newaxis], space.sample(_DRAWN, 0), between]
    return np.unique(np.concatenate(every).astype(np.uint8), axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", required=True, help="a native profile, such as `demo` writes")
    profile = af.load_profile(parser.parse_args().device)
    print(f"{'space':12}{'time [ms]':>16}{'tables beside estimate':>26}{'from memory':>18}")
    for make in af.spaces.SPACES.values():
        space = make()
        compiled = space.compile(profile)
        codes = codes_of(compiled)
        own = np.array([af.estimate(space.graph(code), profile).time_s for code in codes])
        off = 100 * (compiled.evaluate(codes) / own - 1)
        cold = 100 * (space.compile(profile, reuse_bytes=math.inf).evaluate(codes) / own - 1)
        print(
            f"{space.name:12}{f'{1e3 * own.min():.2f} to {1e3 * own.max():.1f}':>16}"
            f"{f'{off.min():+.1f} to {off.max():+.1f} %':>26}"
            f"{f'{cold.min():+.0f} to {cold.max():+.0f} %':>18}"
        )


if __name__ == "__main__":
    main()
