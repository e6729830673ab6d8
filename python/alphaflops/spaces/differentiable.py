"""The expected cost of a space as a function of torch, for one-shot search."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from alphaflops.errors import MissingExtraError, ModelError

if TYPE_CHECKING:
    import torch

    from alphaflops.spaces.compiled import CompiledSpace


def torch_expected(
    compiled: CompiledSpace,
    probabilities: torch.Tensor | Sequence[torch.Tensor],
    metric: str = "time_s",
    profile: int = 0,
) -> torch.Tensor:
    """Return the mean cost where choices are drawn independently, to be differentiated once.

    It is computed on the processor, in double precision: tensors on a GPU are copied there and the
    result back, a few kilobytes that wait for the GPU.

    Parameters
    ----------
    compiled
        The space.
    probabilities
        A floating-point tensor [positions, most choices], zero beyond a position's own choices,
        which ``space.choice_mask`` says; or a tensor [choices] for each position. They need not add
        up to 1.
    metric, profile
        As of ``compiled.expected``.

    Returns
    -------
    tensor []
        Of the dtype, and on the device, of `probabilities`.

    Raises
    ------
    MissingExtraError
        Torch is not installed.
    ModelError
        As of ``compiled.expected``; what is no floating-point tensor.
    ShapeError
        Not zero beyond the choices of a position, which is named.
    """
    try:
        import torch  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(
            "torch_expected needs torch: pip install 'alphaflops[torch]'"
        ) from error
    if not isinstance(probabilities, torch.Tensor):
        rows = list(probabilities)
        if not all(isinstance(row, torch.Tensor) and row.ndim == 1 for row in rows):
            raise ModelError("probabilities must be a tensor, or a tensor [choices] a position")
        choices = compiled.space.choices
        if [len(row) for row in rows] != [len(names) for names in choices]:
            raise ModelError(
                f"{compiled.space.name}: probabilities are of {[len(row) for row in rows]} "
                f"choices; the space has {[len(names) for names in choices]}"
            )
        probabilities = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    if not probabilities.is_floating_point():
        raise ModelError(f"probabilities are {probabilities.dtype}; give a floating-point tensor")
    mean: torch.Tensor = _function().apply(probabilities, compiled, metric, profile)
    return mean


@cache
def _function() -> Any:
    import torch  # noqa: PLC0415
    from torch.autograd.function import once_differentiable  # noqa: PLC0415

    class Expected(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: Any, p: torch.Tensor, compiled: CompiledSpace, metric: str, profile: int
        ) -> torch.Tensor:
            values = p.detach().to("cpu", torch.float64).numpy()
            mean, gradient = compiled.expected(values, metric, profile)
            ctx.save_for_backward(torch.from_numpy(gradient).to(p.device, p.dtype))
            return p.new_tensor(mean)

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
            (gradient,) = ctx.saved_tensors
            return upstream * gradient, None, None, None

    return Expected
