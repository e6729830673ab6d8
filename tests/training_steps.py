"""A step of training and its rows, as tests read them."""

import alphaflops as af
from alphaflops import _core

COLUMNS = ("macs", "flops", "params", "activations_read", "weights_read", "elements_written")


def step(graph, mode="eager", **options):
    options.setdefault("optimizer", "none")
    return af.lower(graph, mode, af.Training(**options))


def listed(graph, work):
    """(layer, pass) of every row, in order."""
    return [
        (graph.node_name(node), _core.PASSES[code])
        for node, code in zip(work.node, work.passes, strict=True)
    ]


def of_pass(work, name, column="macs"):
    return int(getattr(work, column)[work.passes == _core.PASSES.index(name)].sum())


def image(shape=(2, 4, 6, 5)):
    """A graph whose tensor x has something trainable before it."""
    graph = af.Graph("row")
    return graph, graph.norm(graph.input(list(shape)), "rms", name="before")
