"""Compile every device header for every architecture, and list what each kernel takes.

    python check_cuda.py [--quick] [--list] [HEADER...]

A header of cuda/kernels that no other one includes is a translation unit. Warnings are errors, no
kernel may spill registers or keep anything in local memory, and the assembler must take matrix
products and register budgets as they are written. `--quick` compiles for one
architecture; `--list` prints registers and static shared memory of every kernel.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

KERNELS = Path(__file__).resolve().parents[1] / "cuda" / "kernels"
# Virtual architecture, and the real ones that its code is assembled for.
TARGETS = {
    "75": ["75"],
    "80": ["80", "86", "89"],
    "90a": ["90a"],
    "100": ["100"],
}
QUICK = {"90a": ["90a"]}
INCLUDE = re.compile(r'^#include "(\w+\.cuh)"', re.M)
ENTRY = re.compile(r"Compiling entry function '(\w+)' for 'sm_(\w+)'")
STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")
# What the assembler says, as information only, where it runs wgmma one by one, adds waits of its
# own or ignores setmaxnreg.
REFUSED = re.compile(r"\(C75\d\d\).*")
# Kernels whose warpgroups exchange registers, 88 and twice 208 of 128 threads, wait for ever unless
# they begin with a third of that each.
EXCHANGING = re.compile(r"conv_wgmma_\w+_b1_")
EXCHANGED = (88 + 2 * 208) // 3


class Usage(NamedTuple):
    kernel: str
    arch: str
    registers: int
    shared_bytes: int
    local_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.kernel} sm_{self.arch}: {self.registers} registers, "
            f"{self.shared_bytes} bytes static shared, {self.local_bytes} bytes local"
        )


def units() -> list[Path]:
    """Headers that no other one includes."""
    headers = sorted(KERNELS.glob("*.cuh"))
    included = {name for header in headers for name in INCLUDE.findall(header.read_text())}
    return [header for header in headers if header.name not in included]


def usages(report: str) -> Iterator[Usage]:
    """What ptxas -v says of each kernel."""
    kernel, arch, local_bytes = "", "", 0
    for line in report.splitlines():
        if match := ENTRY.search(line):
            kernel, arch, local_bytes = match[1], match[2], 0
        elif match := STACK.search(line):
            local_bytes = max(map(int, match.groups()))
        elif match := USED.search(line):
            shared = SHARED.search(line)
            yield Usage(kernel, arch, int(match[1]), int(shared[1]) if shared else 0, local_bytes)


def compile_unit(nvcc: str, unit: Path, virtual: str, real: list[str]) -> tuple[str, list[Usage]]:
    """An error message, or nothing and the kernels' usage."""
    codes = ",".join(f"sm_{arch}" for arch in real)
    command = [nvcc, "-std=c++20", "-O3", "-Werror", "all-warnings", "-Xptxas", "-v"]
    command += ["-gencode", f"arch=compute_{virtual},code=[{codes}]"]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "unit.cu"
        source.write_text(f'#include "{unit}"\n')
        command += ["-fatbin", "-o", str(source.with_suffix(".fatbin")), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return f"{unit.name} for {virtual} does not compile:\n{done.stdout}{done.stderr}", []
    report = done.stdout + done.stderr
    refused = sorted(set(REFUSED.findall(report)))
    message = "\n".join(f"{unit.name} for {virtual}: {line}" for line in refused)
    return message, list(usages(report))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("headers", nargs="*", help="only these, such as conv_igemm_fp16.cuh")
    parser.add_argument("--quick", action="store_true", help="one architecture")
    parser.add_argument("--list", action="store_true", help="print every kernel")
    options = parser.parse_args()
    nvcc = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    known = {header.name: header for header in units()}
    if unknown := set(options.headers) - set(known):
        parser.error(f"{', '.join(unknown)}: not among {', '.join(known)}")
    chosen = [known[name] for name in options.headers] or list(known.values())
    targets = QUICK if options.quick else TARGETS
    jobs = [(unit, virtual, real) for unit in chosen for virtual, real in targets.items()]
    jobs.sort(key=lambda job: -job[0].stat().st_size * len(job[2]))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda job: compile_unit(nvcc, *job), jobs))
    errors = [error for error, _ in results if error]
    kernels = sorted(usage for _, found in results for usage in found)
    for usage in kernels:
        if options.list:
            print(usage)
        if usage.local_bytes > 0:
            errors.append(f"spills: {usage}")
        if EXCHANGING.match(usage.kernel) and usage.registers != EXCHANGED:
            errors.append(f"registers to exchange must be {EXCHANGED}: {usage}")
    for error in errors:
        print(error, file=sys.stderr)
    names = {usage.kernel for usage in kernels}
    if not names:
        errors.append("no kernel")
        print("no kernel was compiled", file=sys.stderr)
    print(
        f"{len(chosen)} headers, {len(names)} kernels, {len(kernels)} with architectures, "
        f"{len(errors)} errors"
    )
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
