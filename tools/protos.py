"""Generate the Python modules and type stubs of every .proto in node/net/wire; --check compares instead."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WIRE = ROOT / "node" / "net" / "wire"


def generate(target: Path) -> None:
    """Write the modules under ``target``, in the folders that imports expect."""
    protos = [str(path.relative_to(ROOT)) for path in sorted(WIRE.glob("*.proto"))]
    plugin = Path(sys.executable).parent / "protoc-gen-mypy"
    compiler = [sys.executable, "-m", "grpc_tools.protoc", f"--plugin={plugin}", f"--proto_path={ROOT}"]
    subprocess.run([*compiler, f"--python_out={target}", f"--mypy_out=quiet:{target}", *protos], check=True, cwd=ROOT)


def stale() -> list[str]:
    """Files in the tree that differ from what the .proto files give, are missing, or have no .proto."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh = {path.relative_to(folder): path.read_bytes() for path in Path(folder).rglob("*_pb2.py*")}
    kept = {path.relative_to(ROOT): path.read_bytes() for path in WIRE.glob("*_pb2.py*")}
    return sorted(str(name) for name in fresh.keys() | kept.keys() if fresh.get(name) != kept.get(name))


def main() -> int:
    """Exit 1 with --check where a file is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail where a file is stale")
    if not parser.parse_args().check:
        generate(ROOT)
        return 0
    wrong = stale()
    for name in wrong:
        print(f"{name} is stale: run tools/protos.py")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
