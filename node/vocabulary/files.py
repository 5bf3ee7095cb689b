"""Reading the file of a proposal; its form is in `governance.proposals.files`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic_core import from_json

from consensus.errors import VocabularyError
from governance.proposals.files import parse_pairs
from governance.tokenizer import Pair, Vocabulary
from node import paths
from node.vocabulary.errors import ProposalFileError

FILE_LIMIT: Final = 1 << 20
"""Bytes; a thousand merges by text are about 50 KiB."""


def read_pairs(path: Path, base: Vocabulary) -> list[Pair]:
    """The merges in a file, in order.

    Raises:
        ProposalFileError: there is no such file, it is no JSON, or no list of merges of tokens that exist.
        DiskError: it cannot be read.
    """
    try:
        return parse_pairs(from_json(paths.read_bounded(path, FILE_LIMIT)), base)
    except FileNotFoundError as error:
        raise ProposalFileError(f"{path} does not exist.", "Check the spelling of the path.") from error
    except VocabularyError as error:
        raise ProposalFileError(f"{path}: {error.message}.", "docs/VOCABULARY.md shows the form.") from error
    except ValueError as error:
        raise ProposalFileError(f"{path} is not JSON: {error}.", "docs/VOCABULARY.md shows the form.") from error
