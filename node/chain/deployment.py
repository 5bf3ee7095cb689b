"""The deployment file: where a network's contracts are, and what they were deployed with."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from node import paths
from node.chain.types import Parameters
from node.errors import ContractsError, WrongChainError

HEX_ADDRESS = r"^0x[0-9a-fA-F]{40}$"
HINT = "Get the network's deployment file again, or deploy a devnet with `ponw devnet up`."


class Addresses(BaseModel):
    """The contracts' addresses, in order of deployment."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    token: str = Field(pattern=HEX_ADDRESS)
    staking: str = Field(pattern=HEX_ADDRESS)
    emission: str = Field(pattern=HEX_ADDRESS)
    registry: str = Field(pattern=HEX_ADDRESS)
    scalar: str = Field(pattern=HEX_ADDRESS)
    judge: str = Field(pattern=HEX_ADDRESS)
    vocabulary: str = Field(pattern=HEX_ADDRESS)
    governor: str = Field(pattern=HEX_ADDRESS)
    emergency: str = Field(pattern=HEX_ADDRESS)
    escrow: str = Field(pattern=HEX_ADDRESS)
    court: str = Field(pattern=HEX_ADDRESS)
    court_judge: str = Field(pattern=HEX_ADDRESS)
    quorums: str = Field(pattern=HEX_ADDRESS)
    growth: str = Field(pattern=HEX_ADDRESS)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    chainId: int = Field(ge=1)  # noqa: N815 - the file's name for it
    block: int = Field(ge=0)
    addresses: Addresses
    parameters: dict[str, int | str]


@dataclass(frozen=True)
class Deployment:
    """One network on one chain. `block` is the first block in which one of its events can stand."""

    chain_id: int
    block: int
    addresses: Addresses
    parameters: dict[str, int | str]

    def require_chain(self, chain_id: int) -> None:
        """Raises WrongChainError unless the deployment is on `chain_id`."""
        if self.chain_id != chain_id:
            raise WrongChainError(
                f"The contracts are deployed on chain {self.chain_id}, but the endpoint serves chain {chain_id}.",
                "Correct `rpc_url`, `chain_id` or `contracts`.",
            )

    def save(self, path: Path) -> None:
        """Write the file atomically.

        Raises:
            DiskError: it cannot be written.
        """
        document: dict[str, Any] = {"chainId": self.chain_id, "block": self.block}
        document |= {"addresses": self.addresses.model_dump(), "parameters": self.parameters}
        paths.write_atomic(path, (json.dumps(document, indent=2) + "\n").encode("ascii"), 0o644)

    @classmethod
    def load(cls, path: Path) -> Deployment:
        """Read the file.

        Raises:
            ContractsError: missing or malformed; names the file and the field. DiskError: it cannot be read.
        """
        try:
            document = _File.model_validate_json(paths.read_bounded(path))
        except FileNotFoundError as error:
            raise ContractsError(f"The contracts' addresses are unknown: there is no file {path}.", HINT) from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the file"
            raise ContractsError(f"{path} is malformed at {place}: {first['msg']}.", HINT) from error
        return cls(document.chainId, document.block, document.addresses, document.parameters)


def describe(parameters: Parameters) -> dict[str, int | str]:
    """The registry's parameters as the deployment file holds them: bytes as 0x-hex."""
    return {key: "0x" + value.hex() if isinstance(value, bytes) else value for key, value in asdict(parameters).items()}
