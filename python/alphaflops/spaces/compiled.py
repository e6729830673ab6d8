"""A space compiled for one device or several: populations priced by looking up and adding."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alphaflops import _core
from alphaflops.errors import ModelError, ShapeError
from alphaflops.profiles import Profile
from alphaflops.spaces.codes import array_of, whole
from alphaflops.spaces.gpu import evaluate_on_gpu, is_on_gpu

if TYPE_CHECKING:
    from alphaflops.spaces.codes import Codes
    from alphaflops.spaces.space import SearchSpace

#: What can be asked for. Counts are int64 and the same on every device.
METRICS = _core.METRICS

_CHUNK = 1 << 18  # codes that are converted, or passed over in a file, at a time
_UNINTERRUPTED = 1 << 22  # codes between two looks for Ctrl-C: some milliseconds to a second


class Bounds(NamedTuple):
    """The least and the most that a network of a space costs, and which one it is."""

    least: float
    most: float
    cheapest: Codes
    dearest: Codes


class CompiledSpace:
    """Costs of all networks of a space.

    Attributes
    ----------
    space : SearchSpace
    profiles : tuple of Profile
    batch, dtype, mode, reuse_bytes
        What was compiled for.
    parts : int
        Parts of networks that were priced.
    nbytes : int
        Of all tables.
    """

    def __init__(  # noqa: PLR0917
        self,
        space: SearchSpace,
        core: _core.CompiledSpace,
        profiles: tuple[Profile, ...],
        batch: int,
        dtype: str,
        reuse_bytes: float | None = None,
    ) -> None:
        self.space = space
        self.core = core
        self.profiles = profiles
        self.batch, self.dtype, self.reuse_bytes = batch, dtype, reuse_bytes
        self._evaluators: dict[tuple[str, ...], _core.Evaluator] = {}
        self._dtypes: dict[tuple[str, ...], np.dtype[Any]] = {}
        self.on_device: dict[tuple[tuple[str, ...], int], Any] = {}  # of gpu.py

    def __repr__(self) -> str:
        devices = ", ".join(p.name for p in self.profiles)
        return f"CompiledSpace({self.space.name!r}, {devices}, {self.parts} parts)"

    def __reduce__(self) -> tuple[Any, ...]:
        how = (self.batch, self.dtype, self.mode, self.reuse_bytes)
        return _compiled_again, (self.space, self.profiles, *how)

    @property
    def mode(self) -> str:
        """Which operators share a launch: fused, fused_relu or eager."""
        return self.core.mode

    @property
    def parts(self) -> int:
        """Parts of networks that were priced."""
        return self.core.parts

    @property
    def nbytes(self) -> int:
        """Bytes of all tables."""
        return self.core.nbytes

    @property
    def unpriced(self) -> dict[str, list[str]]:
        """By profile: kinds of operators that it declares out of its scope, and that cost 0."""
        return {p.name: self.core.unpriced(i) for i, p in enumerate(self.profiles)}

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the costs has to know, as of `Report.notes`, profile by profile.

        Taken from reports of a few networks: the fastest, the slowest and some at random. They take
        some milliseconds each, when the notes are first read.
        """
        from alphaflops.spaces.notes import notes_of  # noqa: PLC0415  (loads reports)

        return notes_of(self)

    def evaluate(
        self,
        codes: Any,
        metrics: str | Sequence[str] = "time_s",
        *,
        threads: int = 1,
        out: Any = None,
    ) -> Any:
        """Price networks.

        Parameters
        ----------
        codes
            [n, positions] of uint8, the digits of a code side by side, which are read where they
            are; other integers and layouts are converted, some at a time. An array on a GPU (CuPy,
            or what has ``__cuda_array_interface__``) is priced there, see ``evaluate_on_gpu``.
        metrics
            One of ``METRICS``, or several.
        threads
            How many share the work, an integer; 0: one a processor.
        out
            Where to write: an array of the result's shape and dtype, which may be a file's.

        Returns
        -------
        array [n]
            Of float64, or int64 for a count; a structured array with a field a metric where a
            sequence of metrics was given. Metrics of a device have a last axis of profiles where
            there are several: [n, profiles]. From a GPU, CuPy arrays, by name for several metrics.

        Raises
        ------
        ModelError
            What is no code: row, position and value are named.
        UnsupportedError
            A metric that is not known.
        """
        names = (metrics,) if isinstance(metrics, str) else tuple(metrics)
        if is_on_gpu(codes):
            return evaluate_on_gpu(self, codes, names, isinstance(metrics, str), out)
        evaluator = self._evaluator(names)
        threads = whole(threads, f"{self.space.name}: threads", below=2**31)
        array = self._codes(codes)
        n = len(array)
        dtype, shape = self._dtypes[names], (n,)
        if isinstance(metrics, str):
            dtype, shape = dtype[metrics].base, (n, *dtype[metrics].shape)
        if out is None:
            out = np.empty(shape, dtype)
        elif not isinstance(out, np.ndarray):
            raise ModelError(
                f"{self.space.name}: out is a {type(out).__name__}; it must be an array that is "
                "written to"
            )
        elif out.shape != shape or out.dtype != dtype or not out.flags.writeable:
            raise ModelError(
                f"{self.space.name}: out is {list(out.shape)} of {out.dtype}; it must be "
                f"{list(shape)} of {dtype}, and writeable"
            )
        fields = [out] if isinstance(metrics, str) else [out[name] for name in names]
        columns = [c for f in fields for c in ((f,) if f.ndim == 1 else f.T)]
        mapped = isinstance(array, np.memmap) or isinstance(out, np.memmap)
        as_it_is = not mapped and _readable(array)
        chunk = _UNINTERRUPTED if as_it_is else _CHUNK
        if as_it_is and n <= chunk:
            evaluator.evaluate(array, columns, threads)
            return out
        for first in range(0, n, chunk):
            part = array[first : first + chunk]
            try:
                digits = part if _readable(part) else np.ascontiguousarray(self.space.check(part))
                evaluator.evaluate(digits, [c[first : first + chunk] for c in columns], threads)
            except ModelError as e:
                if first == 0:
                    raise
                raise ModelError(f"{e} (rows counted from row {first})") from e
            for file in (array, out):
                _forget(file, first, len(part))
        return out

    def delta(
        self,
        code: ArrayLike | str,
        position: int,
        choice: int,
        metric: str = "time_s",
        profile: int = 0,
    ) -> float:
        """Return how much more a network costs with another choice at one position.

        Parameters
        ----------
        code
            [positions], or its text.
        position, choice
            What changes, and to what.
        metric
            One of ``METRICS`` but for intervals and memory, which are no sums.
        profile
            Which of the profiles.

        Raises
        ------
        ModelError
            No code of this space, or no such position, choice or profile.
        UnsupportedError
            For intervals and memory.
        """
        digits = self._code(code)
        try:
            return self.core.delta(digits, position, choice, metric, profile)
        except TypeError:
            raise ModelError(
                f"{self.space.name}: position, choice, metric and profile are {position!r}, "
                f"{choice!r}, {metric!r} and {profile!r}; give integers, and a metric's name"
            ) from None

    def bounds(self, metric: str = "time_s", profile: int = 0) -> Bounds:
        """Return the least and the most that any network costs; exact.

        Raises
        ------
        UnsupportedError
            For intervals and memory, which are no sums.
        """
        return Bounds(*self.core.bounds(metric, profile))

    def expected(
        self,
        probabilities: ArrayLike | Sequence[ArrayLike],
        metric: str = "time_s",
        profile: int = 0,
    ) -> tuple[float, NDArray[np.float64]]:
        """Return the mean cost where choices are drawn independently, and its gradient.

        Parameters
        ----------
        probabilities
            [positions, most choices], zero beyond a position's own choices, which
            ``space.choice_mask`` says; or a sequence of arrays, one a position. They need not add
            up to 1: the mean is linear in those of each position.
        metric, profile
            As of ``delta``.

        Returns
        -------
        mean : float
        gradient : array [positions, most choices]
            Zero beyond a position's choices.

        Raises
        ------
        ModelError
            NaN, infinite or negative probabilities, position and choice named; a wrong shape.
        ShapeError
            Not zero beyond the choices of a position, which is named.
        """
        padded, used = self._padded(probabilities), self.space.choice_mask
        mean, slopes = self.core.expected(padded[used], metric, profile)
        gradient = np.zeros(padded.shape)
        gradient[used] = slopes
        return mean, gradient

    def _padded(self, probabilities: ArrayLike | Sequence[ArrayLike]) -> NDArray[np.float64]:
        used = self.space.choice_mask
        if isinstance(probabilities, (list, tuple)):
            rows = [np.asarray(row, dtype=np.float64) for row in probabilities]
            array = np.zeros((len(rows), used.shape[1]))
            for i, row in enumerate(rows):
                if row.ndim != 1 or len(row) > used.shape[1]:
                    raise ModelError(
                        f"{self.space.name}: probabilities of position {i} have shape "
                        f"{list(row.shape)}; give one a choice"
                    )
                array[i, : len(row)] = row
        else:
            array = np.asarray(probabilities, dtype=np.float64)
        if array.shape != used.shape:
            raise ModelError(
                f"{self.space.name}: probabilities have shape {list(array.shape)}; it must be "
                f"{list(used.shape)}"
            )
        beyond = np.argwhere(~used & (array != 0))
        if len(beyond):
            i, choice = beyond[0]
            raise ShapeError(
                f"{self.space.name}: position {i} ('{self.space.names[i]}') has "
                f"{len(self.space.choices[i])} choices, and {array[i, choice]} as the probability "
                f"of choice {choice}; make logits -inf where space.choice_mask is False, before "
                "the softmax"
            )
        return array

    def _evaluator(self, names: tuple[str, ...]) -> _core.Evaluator:
        known = self._evaluators.get(names)
        if known is not None:
            return known
        if not names:
            raise ModelError(f"{self.space.name}: give at least one metric")
        if len(set(names)) < len(names):
            raise ModelError(f"{self.space.name}: give each metric once; got {', '.join(names)}")
        shape = (len(self.profiles),) if len(self.profiles) > 1 else ()
        self._dtypes[names] = np.dtype(
            [(n, np.dtype(np.int64 if _core.is_count(n) else (np.float64, shape))) for n in names]
        )
        asked = [(metric, profile) for metric, profile, _ in self.quantities(names)]
        evaluator = self._evaluators[names] = self.core.evaluator(asked)
        return evaluator

    def quantities(self, names: Sequence[str]) -> list[tuple[str, int, bool]]:
        """Return metric, profile, and whether it is a count, of what metrics ask for."""
        result = []
        for name in names:
            count = _core.is_count(name)
            profiles = 1 if count else len(self.profiles)
            result += [(name, profile, count) for profile in range(profiles)]
        return result

    def tables(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Return the tables of some metrics as arrays; space_tables.hpp says how they lie."""
        return self._evaluator(names).tables()

    def _code(self, code: ArrayLike | str) -> Codes:
        if isinstance(code, str):
            return self.space.decode(code)
        array = array_of(code)
        if array.dtype == np.uint8 and array.ndim == 1:
            return np.ascontiguousarray(array)
        if array.ndim != 1:
            raise ModelError(
                f"{self.space.name}: a code has shape {list(array.shape)}; it must be "
                f"[{self.space.positions}]"
            )
        one: Codes = np.ascontiguousarray(self.space.check(array[np.newaxis])[0])
        return one

    def _codes(self, codes: ArrayLike) -> NDArray[Any]:
        array = codes if isinstance(codes, np.ndarray) else array_of(codes)
        if array.ndim != 2 or array.shape[1] != self.space.positions:  # noqa: PLR2004
            raise ModelError(
                f"{self.space.name}: codes have shape {list(array.shape)}; it must be "
                f"[n, {self.space.positions}]: a single code is [code], a text space.decode(text)"
            )
        if array.dtype.kind not in "iu" and array.size:
            raise ModelError(f"{self.space.name}: codes are {array.dtype}; they must be integers")
        return array


def _compiled_again(  # noqa: PLR0917
    space: SearchSpace,
    profiles: tuple[Profile, ...],
    batch: int,
    dtype: str,
    mode: str,
    reuse_bytes: float | None,
) -> CompiledSpace:
    return space.compile(profiles, batch=batch, dtype=dtype, mode=mode, reuse_bytes=reuse_bytes)


def _readable(array: NDArray[Any]) -> bool:
    """Whether digits are bytes side by side."""
    return array.dtype == np.uint8 and (array.shape[1] <= 1 or array.strides[1] == 1)


def _forget(array: NDArray[Any], first: int, rows: int) -> None:
    """Let the system drop pages of a file that are done with; a shared mapping loses nothing."""
    mapped = getattr(array, "_mmap", None)
    if mapped is None or getattr(array, "mode", "c") == "c" or not array.flags.c_contiguous:
        return
    page = mmap.PAGESIZE
    base = array.ctypes.data - np.frombuffer(mapped, np.uint8).ctypes.data
    begin = (base + first * array.strides[0]) // page * page
    end = (base + (first + rows) * array.strides[0]) // page * page
    if end > begin:
        mapped.madvise(mmap.MADV_DONTNEED, begin, end - begin)
