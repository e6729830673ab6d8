"""pymoo: NSGA-II between latency and a stand-in for accuracy.

    python search_pymoo.py [--device quadro-t2000] [--generations 40] [--population 200]

The logarithm of multiply-adds stands in for accuracy, which a real search would train or predict.
A population is priced in one call. Needs pymoo.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from pymoo.optimize import minimize

import alphaflops as af


class Trade(Problem):
    """Time, and less the stand-in, to be minimised over the codes of a space."""

    def __init__(self, compiled: af.spaces.CompiledSpace) -> None:
        self.compiled = compiled
        last = [len(choices) - 1 for choices in compiled.space.choices]
        super().__init__(n_var=len(last), n_obj=2, xl=0, xu=np.array(last), vtype=int)

    def _evaluate(self, x: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        costs = self.compiled.evaluate(x.astype(np.uint8), ("time_s", "macs"))
        out["F"] = np.column_stack([costs["time_s"], -np.log(costs["macs"])])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="quadro-t2000")
    parser.add_argument("--generations", type=int, default=40)
    parser.add_argument("--population", type=int, default=200)
    options = parser.parse_args()

    compiled = af.spaces.fbnet().compile(options.device)
    algorithm = NSGA2(
        pop_size=options.population,
        sampling=IntegerRandomSampling(),
        crossover=SBX(vtype=float, repair=RoundingRepair()),
        mutation=PM(vtype=float, repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    found = minimize(Trade(compiled), algorithm, ("n_gen", options.generations), seed=0)
    codes = found.X.astype(np.uint8)
    costs = compiled.evaluate(codes, ("time_s", "macs"))
    # The same front by our own, from what the search ended with.
    front = af.pareto(costs, maximise="macs")
    order = front[np.argsort(costs["time_s"][front])]
    print(
        json.dumps(
            {
                "front": [
                    {
                        "code": compiled.space.encode(codes[i]),
                        "time_s": float(costs["time_s"][i]),
                        "macs": int(costs["macs"][i]),
                    }
                    for i in order
                ],
                "found": len(codes),
            }
        )
    )


if __name__ == "__main__":
    main()
