"""Optuna: the most multiply-adds within a latency limit.

    python search_optuna.py [--device quadro-t2000] [--trials 200] [--limit-ms MS]

Multiply-adds stand in for accuracy, which a real search would train or predict. The limit is a
constraint of the study: infeasible trials are kept apart, not punished. Needs optuna 5 or later.
"""

from __future__ import annotations

import argparse
import json

import optuna

import alphaflops as af


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="quadro-t2000")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--limit-ms", type=float)
    options = parser.parse_args()

    space = af.spaces.fbnet()
    compiled = space.compile(options.device)
    bounds = compiled.bounds()
    limit_s = (options.limit_ms or 1e3 * (bounds.least + bounds.most) / 2) / 1e3

    def objective(trial: optuna.Trial) -> float:
        code = [
            trial.suggest_categorical(name, range(len(choices)))
            for name, choices in zip(space.names, space.choices, strict=True)
        ]
        costs = compiled.evaluate([code], ("time_s", "macs"))[0]
        trial.set_user_attr("code", space.encode(code))
        trial.set_constraint("time_s", costs["time_s"] - limit_s)  # feasible where 0 or less
        return float(costs["macs"])

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=options.trials)
    best = study.best_trial  # of the feasible ones
    code = best.user_attrs["code"]
    print(
        json.dumps(
            {
                "code": code,
                "macs": int(best.value),
                "time_s": compiled.evaluate([space.decode(code)])[0],
                "limit_s": limit_s,
                "feasible": sum(trial.constraints["time_s"] <= 0 for trial in study.trials),
                "trials": len(study.trials),
            }
        )
    )


if __name__ == "__main__":
    main()
