"""Build the dashboard's pages into the package, so that a node serves them without Node.js.

Runs Vite in `dashboard/` and writes node/dashboard/static. `--check` builds elsewhere and fails if the committed files
are not what the sources give. Needs `npm ci --prefix dashboard` before.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "dashboard"
TARGET = ROOT / "node" / "dashboard" / "static"


def build(target: Path) -> None:
    """Build into `target`, which is emptied; exits with a hint where the tools are not installed."""
    vite = SOURCES / "node_modules" / ".bin" / "vite"
    if not vite.is_file():
        sys.exit("Vite is missing: run `npm ci --prefix dashboard` first")
    command = [str(vite), "build", "--logLevel", "error", "--emptyOutDir", "--outDir", str(target)]
    subprocess.run(command, cwd=SOURCES, check=True)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` by its path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def main() -> int:
    """Build, or check with `--check`; returns the exit status."""
    parser = argparse.ArgumentParser(description="Build the dashboard into node/dashboard/static.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a committed file differs")
    if not parser.parse_args().check:
        build(TARGET)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))
        built, committed = contents(Path(folder)), contents(TARGET)
    stale = sorted(name for name in built.keys() | committed.keys() if built.get(name) != committed.get(name))
    if stale:
        print(f"stale: {', '.join(stale)}; run tools/dashboard.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
