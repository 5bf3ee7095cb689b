"""Write requirements.lock: every package of a fresh development environment, as pip resolves pyproject.toml today."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
HEADER = "# Every Python package of the development environment, pinned. Regenerate with `make lock`.\n"


def wanted() -> list[str]:
    """What pyproject.toml asks for: to build, to run and to develop."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = document["project"]
    return [*document["build-system"]["requires"], *project["dependencies"], *project["optional-dependencies"]["dev"]]


def resolve(requirements: list[str]) -> str:
    """Install them into a fresh environment; the lines that name what came."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [str(Path(folder) / "bin" / "python"), "-m", "pip"]
        subprocess.run([*pip, "install", "--quiet", *requirements], check=True)
        freeze = [*pip, "freeze", "--all", "--exclude", "pip"]
        frozen = subprocess.run(freeze, check=True, capture_output=True, text=True)
    # A local build's mark (torch's "+cpu") is no version that another index has.
    return re.sub(r"\+\w+$", "", frozen.stdout, flags=re.MULTILINE)


def main() -> int:
    """Resolve, then replace the file in one step."""
    text = HEADER + resolve(wanted())
    temporary = LOCK.with_suffix(".new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(LOCK)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
