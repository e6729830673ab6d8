"""Fail where an innermost multiply-add loop keeps vectors on the stack.

    python check_spills.py FILE...      object files, a static library or a shared object

An innermost loop is a backward jump whose body holds no other one. Those with at least eight
vector multiply-adds are the hot loops of convolutions and probes; none of them may load or store a
vector register at an address built on the stack or frame pointer, which is what a compiler that ran
out of registers does. x86-64 and AArch64: a cross compiler's objdump goes with its files.
Activations are left out: memory bounds them, and their polynomials have more constants than there
are registers.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

MIN_MULTIPLY_ADDS = 8
MULTIPLY_ADDS = ("vfmadd", "vdpbf16ps", "vpdpbusd", "fmla")
JUMPS = ("j", "b.", "cbz", "cbnz", "tbz", "tbnz")
KERNELS = r"::(conv_tile|gemm_tiles|gemm_vector|depthwise\w*|grouped|peak_fma|peak_dot)\b"
SYMBOL = re.compile(r"^[0-9a-f]+ <(.+)>:$")
LINE = re.compile(r"^\s*([0-9a-f]+):\s+(\S+)\s*(.*?)\s*(?:\s#\s.*)?$")
TARGET = re.compile(r"(?:^|, )([0-9a-f]+)(?:\s|$)")
STACK = re.compile(r"\(%[re](?:sp|bp)[,)]|\[(?:sp|x29)[],]")
VECTOR = re.compile(r"%[xyz]mm\d|\b[qdsv]\d")


class Instruction(NamedTuple):
    address: int
    mnemonic: str
    operands: str

    @property
    def text(self) -> str:
        return f"{self.address:x}: {self.mnemonic} {self.operands}"

    @property
    def spills(self) -> bool:
        return bool(STACK.search(self.operands) and VECTOR.search(self.operands))


def functions(objdump: str, path: str) -> Iterator[tuple[str, list[Instruction]]]:
    """Symbol and instructions of every function in the file."""
    listing = subprocess.run(
        [objdump, "-d", "-C", "--no-show-raw-insn", path],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    symbol, body = "", []
    for line in listing.splitlines():
        if match := SYMBOL.match(line):
            if body:
                yield symbol, body
            symbol, body = match[1], []
        elif match := LINE.match(line):
            body.append(Instruction(int(match[1], 16), match[2], match[3]))
    if body:
        yield symbol, body


def innermost_loops(body: list[Instruction]) -> Iterator[list[Instruction]]:
    """Bodies of the backward jumps that contain no other backward jump."""
    index = {instruction.address: i for i, instruction in enumerate(body)}
    spans = set()
    for i, instruction in enumerate(body):
        if not (instruction.mnemonic.startswith(JUMPS) or instruction.mnemonic == "b"):
            continue
        target = TARGET.search(instruction.operands)
        start = index.get(int(target[1], 16)) if target else None
        if start is not None and start <= i:
            spans.add((start, i))
    for start, end in sorted(spans):
        inner = any(start <= s and e <= end and (s, e) != (start, end) for s, e in spans)
        if not inner:
            yield body[start : end + 1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--symbols", default=KERNELS, help="regular expression of the functions")
    parser.add_argument("--objdump", default="objdump", help="that of the files' processor")
    arguments = parser.parse_args()
    kernels = re.compile(arguments.symbols)
    loops = spills = 0
    for path in arguments.files:
        for symbol, body in functions(arguments.objdump, path):
            if not kernels.search(symbol):
                continue
            for loop in innermost_loops(body):
                if sum(i.mnemonic.startswith(MULTIPLY_ADDS) for i in loop) < MIN_MULTIPLY_ADDS:
                    continue
                loops += 1
                for instruction in loop:
                    if instruction.spills:
                        spills += 1
                        print(f"{path}: {symbol}: {instruction.text}")
    print(f"{loops} loops checked, {spills} spills")
    return 1 if spills or not loops else 0


if __name__ == "__main__":
    sys.exit(main())
