"""MACs and parameters of other libraries' networks, beside torch's own counter.

    python benchmarks/agreement_libraries.py [timm transformers torchvision] [--each 5]

Networks are made on the meta device, as their libraries configure them by default: of timm at most
`--each` of every family; of transformers every architecture that takes token numbers, an image or
a sound in the shape that its configuration names; torchvision's classifiers. torch counts attention
as products of matrices here, as its counter leaves it out otherwise, and transformers as it writes
attention without PyTorch's fused operator, whose masks read values. A network whose forward raises
with such inputs is listed, with the reason. Needs the libraries named.
"""

from __future__ import annotations

import argparse
import functools
import inspect
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import alphaflops as af

BATCH = 2
TOKENS = 32
SAMPLES = 16_000  # of a sound
FRAMES = 3_000  # of a spectrum

Inputs = dict[str, torch.Tensor]


class Case(NamedTuple):
    """A network, and what makes it and its inputs."""

    name: str
    make: Callable[..., tuple[torch.nn.Module, Inputs]]


def images(*size: int) -> torch.Tensor:
    return torch.empty(BATCH, *size, device="meta")


def of_timm(each: int) -> Iterator[Case]:
    import timm  # noqa: PLC0415

    def make(name: str, is_reference: bool = False) -> tuple[torch.nn.Module, Inputs]:
        module = timm.create_model(name)
        return module, {"x": images(*module.default_cfg.get("input_size", (3, 224, 224)))}

    for family in sorted(timm.list_modules()):
        for name in timm.list_models(module=family)[:each]:
            yield Case(name, functools.partial(make, name))


def of_torchvision(each: int) -> Iterator[Case]:
    import torchvision  # noqa: PLC0415

    def make(name: str, is_reference: bool = False) -> tuple[torch.nn.Module, Inputs]:
        size = 299 if name == "inception_v3" else 224
        return torchvision.models.get_model(name, weights=None), {"x": images(3, size, size)}

    for name in torchvision.models.list_models(module=torchvision.models):
        yield Case(name, functools.partial(make, name))


def of_transformers(each: int) -> Iterator[Case]:
    import transformers  # noqa: PLC0415
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING  # noqa: PLC0415
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES  # noqa: PLC0415

    transformers.logging.set_verbosity_error()

    def make(name: str, is_reference: bool = False) -> tuple[torch.nn.Module, Inputs]:
        config = CONFIG_MAPPING[name]()
        how = {"attn_implementation": "eager"} if is_reference else {}
        module = transformers.AutoModel.from_config(config, **how)
        inputs: dict[str, Any] = {}
        if module.main_input_name == "input_ids":
            inputs["input_ids"] = torch.zeros(BATCH, TOKENS, dtype=torch.long, device="cpu")
        elif module.main_input_name == "pixel_values":
            size = getattr(config, "image_size", 224)
            size = size if isinstance(size, int) else size[0]
            inputs["pixel_values"] = images(getattr(config, "num_channels", 3), size, size)
        elif module.main_input_name == "input_values":
            inputs["input_values"] = images(SAMPLES)
        elif module.main_input_name == "input_features":
            inputs["input_features"] = images(getattr(config, "num_mel_bins", 80), FRAMES)
        takes = inspect.signature(module.forward).parameters
        if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in takes:
            inputs["decoder_input_ids"] = torch.zeros(BATCH, 16, dtype=torch.long, device="cpu")
        if "use_cache" in takes:
            inputs["use_cache"] = False
        return module, inputs

    for name in sorted(MODEL_MAPPING_NAMES):
        yield Case(name, functools.partial(make, name))


LIBRARIES = {"timm": of_timm, "torchvision": of_torchvision, "transformers": of_transformers}


def torch_macs(case: Case) -> int | None:
    """Return what torch counts; None where its counter or its forward cannot run on meta."""
    counter = FlopCounterMode(display=False)
    try:
        with torch.device("meta"):
            module, inputs = case.make(is_reference=True)
        on_meta = {k: v.to("meta") if isinstance(v, torch.Tensor) else v for k, v in inputs.items()}
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
            module.eval()(**on_meta)
    except Exception:
        return None
    return int(counter.get_total_flops()) // 2


def compare(cases: Iterator[Case]) -> None:
    seconds: list[float] = []
    agree, alone, total = 0, 0, 0
    differ: list[str] = []
    unknown: list[str] = []
    refused: list[str] = []
    for case in cases:
        try:
            with torch.device("meta"):
                module, inputs = case.make()
        except Exception as error:
            print(f"  {case.name}: not made: {first_line(error)}")
            continue
        total += 1
        start = time.perf_counter()
        try:
            graph = af.from_torch(module.eval(), (), inputs)
        except af.Error as error:
            refused.append(f"{case.name}: {first_line(error)}")
            continue
        seconds.append(time.perf_counter() - start)
        macs = int(af.lower(graph, "eager").macs.sum())
        kinds = {graph.node_op(i) for i in range(len(graph))}
        if "unknown" in kinds:
            unknown.append(case.name)
        expected = torch_macs(case)
        if expected is None:
            alone += 1
        elif expected == macs:
            agree += 1
        else:
            differ.append(f"{case.name}: {macs}, torch {expected}")
    for title, lines in (("differ", differ), ("refused", refused), ("with unknown", unknown)):
        print(f"{title}: {len(lines)}", *(f"  {line}" for line in lines), sep="\n")
    print(
        f"{total} networks: {agree} agree with torch's counter, {len(differ)} differ, {alone} it "
        f"does not count, {len(refused)} are refused, {len(unknown)} have unknown operators; "
        f"from_torch takes {1e3 * statistics.median(seconds):.0f} ms "
        f"[{1e3 * min(seconds):.0f}, {1e3 * max(seconds):.0f}]"
    )


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("libraries", nargs="*", default=list(LIBRARIES), help=", ".join(LIBRARIES))
    parser.add_argument("--each", type=int, default=5, help="networks of a family of timm")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    for library in options.libraries:
        print(f"# {library}")
        compare(LIBRARIES[library](options.each))


if __name__ == "__main__":
    main()
