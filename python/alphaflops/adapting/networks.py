"""Networks as an adaptation reads them: their distinct launches, and how often each has which.

Networks of one space share most of their launches, so seconds are computed once for each distinct
launch and summed by a matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alphaflops import _core
from alphaflops._core import Graph, WorkTable
from alphaflops.calls import launches
from alphaflops.errors import ModelError, UnsupportedError
from alphaflops.spaces import SearchSpace

Floats: TypeAlias = NDArray[np.float64]
#: Graphs, or a space and codes [n, positions] of it (numbers or texts).
NetworksLike: TypeAlias = Sequence[Graph] | tuple[SearchSpace, ArrayLike | Sequence[str]]

_COLUMNS = (
    "kind",
    "op",
    "dtype",
    "batch",
    "groups",
    "c_in",
    "c_out",
    "spatial",
    "width",
    "kernel_volume",
    "kernel_width",
    "stride",
    "activations_read",
    "weights_read",
    "elements_written",
    "padded_elements",
    "macs",
)


@dataclass(frozen=True)
class Networks:
    """Networks [n] over distinct launches [u].

    Attributes
    ----------
    names : list of str
    work : WorkTable
        The distinct launches.
    counts : array [n, u]
        How often each network makes each launch.
    tables : list of WorkTable
        The launches of each network.
    """

    names: list[str]
    tables: list[WorkTable]
    work: WorkTable
    counts: Floats

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: NDArray[np.int64]) -> Networks:
        """Return some of the networks, over the launches that they make."""
        counts = self.counts[index]
        made = np.flatnonzero(counts.any(axis=0))
        names = [self.names[i] for i in index.tolist()]
        tables = [self.tables[i] for i in index.tolist()]
        return Networks(names, tables, self.work.take(made), counts[:, made])

    @property
    def kinds(self) -> NDArray[np.str_]:
        """The kind of every launch, of convolutions that have no prior that of their stand-in."""
        kinds = np.array(_core.KINDS)[self.work.kind]
        return np.where(np.isin(kinds, ("conv_transposed", "conv_3d")), "conv_spatial", kinds)

    @property
    def dtype(self) -> str:
        """The element type of all launches."""
        return _core.DTYPES[int(self.work.dtype[0])]


def networks_of(given: NetworksLike, mode: str, batch: int | None = None) -> Networks:
    """Lower networks and find their distinct launches.

    Parameters
    ----------
    given
        Graphs, or a space and codes of it.
    mode
        fused or eager.
    batch
        Images a call, instead of what the graphs say.

    Raises
    ------
    ModelError
        No networks, or a code that is not of the space.
    UnsupportedError
        An operator is unknown, or element types are mixed.
    """
    graphs = _graphs(given)
    names = [graph.name for graph in graphs]
    if batch is not None:
        graphs = [graph.with_batch(batch) for graph in graphs]
    dtypes = sorted({graph.dtype for graph in graphs})
    if len(dtypes) > 1:
        raise UnsupportedError(
            f"networks mix element types {', '.join(dtypes)}; a fit is of one: adapt to each by "
            "itself"
        )
    tables = [_core.lower(graph, mode) for graph in graphs]
    # Calls are a part of what a run costs beside its launches.
    tables = [table.take(np.flatnonzero(launches(table))) for table in tables]
    for name, table in zip(names, tables, strict=True):
        if (table.kind == _core.KINDS.index("unknown")).any():
            raise UnsupportedError(
                f"{name} has operators that cannot be counted; leave this network out"
            )
        if len(table) == 0:
            raise ModelError(f"{name} launches nothing; leave this network out")
    work = _core.join(tables)
    columns = np.stack([getattr(work, column).astype(np.int64) for column in _COLUMNS], axis=1)
    _, first, which = np.unique(columns, axis=0, return_index=True, return_inverse=True)
    owner = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    counts = np.zeros((len(tables), len(first)))
    np.add.at(counts, (owner, which.ravel()), 1.0)
    return Networks(names, tables, work.take(first), counts)


def _graphs(given: NetworksLike) -> list[Graph]:
    if isinstance(given, tuple) and len(given) and isinstance(given[0], SearchSpace):
        space, codes = given[0], given[1]
        graphs = [space.graph(code) for code in _listed(codes, space)]
    else:
        graphs = list(given)  # type: ignore[arg-type]
        for i, graph in enumerate(graphs):
            if not isinstance(graph, Graph):
                raise ModelError(
                    f"network {i} is a {type(graph).__name__}; give graphs, or a search space and "
                    "codes of it"
                )
    if not graphs:
        raise ModelError("no networks were given; give at least one with its time")
    return graphs


def _listed(
    codes: ArrayLike | Sequence[str], space: SearchSpace
) -> Sequence[str] | NDArray[np.uint8]:
    array = np.asarray(codes)
    if array.dtype.kind in "US":
        return [str(text) for text in array.ravel()]
    return space.check(array)
