"""The table of `docs/zoo.md`; run to write it anew."""

from pathlib import Path

import alphaflops as af

PAGE = Path(__file__).parents[1] / "docs" / "zoo.md"
MARK = "<!-- zoo -->\n"


def with_commas(number):
    return f"{number:,}"


def table():
    runnable = af.zoo.names(runnable=True)
    lines = [
        "| network | input | MACs | parameters | rows fused | rows eager | runnable |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in af.zoo.names():
        graph = af.zoo.build(name)
        fused, eager = af.lower(graph), af.lower(graph, "eager")
        shape = " × ".join(map(str, graph.shape(0)[1:]))
        counts = with_commas(int(fused.macs.sum())), with_commas(int(fused.params.sum()))
        runs = "yes" if name in runnable else ""
        lines.append(
            f"| {name} | {shape} | {' | '.join(counts)} | {len(fused)} | {len(eager)} | {runs} |"
        )
    return lines


def with_table(text):
    """The page with the table as the zoo has it."""
    head, rest = text.split(MARK, 1)
    after = rest.lstrip("\n").splitlines(keepends=True)
    while after and after[0].startswith("|"):
        after.pop(0)
    return f"{head}{MARK}\n" + "\n".join(table()) + "\n\n" + "".join(after).lstrip("\n")


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
