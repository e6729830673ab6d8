"""`python -m alphaflops`: the command line, and where the C++ package is."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Print the CMake package's folder for --cmake-dir; else run the command line."""
    if sys.argv[1:] == ["--cmake-dir"]:
        folder = Path(__file__).parent / "lib" / "cmake" / "alphaflops"
        if not (folder / "alphaflops-config.cmake").is_file():
            sys.exit(
                f"error: {folder} has no CMake package; this installation was built without it: "
                "pip install --force-reinstall alphaflops"
            )
        print(folder)
        return
    from alphaflops.cli import main as run  # noqa: PLC0415

    run()


if __name__ == "__main__":
    main()
