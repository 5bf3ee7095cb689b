"""Where the compiled extensions are. It imports nothing heavy, so that whoever only hashes pays for nothing else."""

import importlib.machinery
import importlib.util
from typing import Final

_PACKAGE: Final = "consensus.arithmetic.native"


def built(name: str) -> str | None:
    """Path of the extension called ``name``, or None where no compiler was at hand."""
    package = importlib.util.find_spec(_PACKAGE)
    if package is None or package.submodule_search_locations is None:
        return None
    places = list(package.submodule_search_locations)
    found = importlib.machinery.PathFinder.find_spec(f"{_PACKAGE}.{name}", places)
    return None if found is None else found.origin
