"""Snippets of `docs/search.md` and of the README's search, run one after the other."""

import re
from pathlib import Path

import numpy as np
import pytest

import alphaflops as af

ROOT = Path(__file__).parents[1]
#: What a reader has for himself.
OWN = {"weight": 1.0, "target_s": 1e-3, "predicted": np.arange(1000) % 7 / 7}


def snippets(page, start, end):
    text = (ROOT / page).read_text("utf-8")
    part = text[text.index(start) : text.index(end)]
    return re.findall(r"^```python\n(.*?)^```$", part, re.DOTALL | re.MULTILINE)


def run(found, scope):
    for each in found:
        short = each.replace("1_000_000", "1000").replace('"my-cpu.json"', '"quadro-t2000"')
        exec(compile(short, "snippet", "exec"), scope)


def test_the_readme_finds_networks_within_its_limit():
    scope = {"af": af, "space": af.spaces.fbnet()}
    run(snippets("README.md", "## In a search", "## How it works"), scope)
    costs = scope["compiled"].evaluate(scope["front"], ("time_s", "params"))
    assert 0 < len(costs) < len(scope["codes"]) < 1000
    assert (costs["params"] <= 3e6).all()
    assert af.pareto(costs).size == len(costs)


def test_the_page_on_searches(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    scope = {"loss": torch.zeros(()), **OWN}
    run(snippets("docs/search.md", "# Costs", "## Search libraries"), scope)
    assert len(scope["small"]) > 0
    winner, best = af.load("winner.json"), scope["space"].graph(scope["front"][0])
    assert af.estimate(winner, "quadro-t2000").time_s == pytest.approx(
        af.estimate(best, "quadro-t2000").time_s
    )
    every = scope["compiled"].evaluate(scope["codes"])
    assert scope["compiled"].evaluate(scope["front"][:1])[0] in every
    assert scope["mean_s"] > 0
    assert scope["logits"].grad.abs().max() > 0
