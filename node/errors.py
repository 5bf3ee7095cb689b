"""The node's one exception tree. Each class names one kind of failure, carries one sentence that says what happened,
one that says what to do next, and an exit code from a catalogue in which every code is explained."""

from __future__ import annotations

from enum import IntEnum, unique
from typing import ClassVar


@unique
class ExitCode(IntEnum):
    """Exit statuses of the `ponw` command; 0 is success and 2 is the shell's own convention for wrong usage."""

    FAILED = 1
    USAGE = 2
    CONFIG = 3
    WALLET = 4
    PASSWORD = 5
    RPC = 6
    CHAIN_ID = 7
    CONTRACTS = 8
    FUNDS = 9
    REVERTED = 10
    TX_PENDING = 11
    CANCELLED = 12
    DATA = 13
    DISK = 14
    DATABASE = 15
    CHECKPOINT = 16
    CONSENSUS = 17
    DIVERGED = 18
    TOOL = 19
    DEVNET = 20
    PEER = 21
    UNHEALTHY = 22
    UNAVAILABLE = 23
    INTERRUPTED = 130


EXIT_HELP: dict[ExitCode, str] = {
    ExitCode.FAILED: "Something failed that has no code of its own; the message says what.",
    ExitCode.USAGE: "The command line is not understood; `--help` of the command shows what it takes.",
    ExitCode.CONFIG: "The configuration is malformed; correct the named key in config.toml or the PONW_* variable.",
    ExitCode.WALLET: "The keystore has no such key, or a file in it is unusable; see `ponw wallet list`.",
    ExitCode.PASSWORD: "The password is wrong or could not be read; nothing was signed.",
    ExitCode.RPC: "The chain's RPC endpoint does not answer; start it or set `rpc_url`.",
    ExitCode.CHAIN_ID: "The RPC endpoint serves another chain than the one configured as `chain_id`.",
    ExitCode.CONTRACTS: "The network's contracts are unknown or not deployed at the configured addresses.",
    ExitCode.FUNDS: "The account cannot pay for the transaction or lacks the NEURO it would move.",
    ExitCode.REVERTED: "A contract refused the transaction; the message gives its reason.",
    ExitCode.TX_PENDING: "The transaction was sent but not mined in time; look it up by its hash before sending again.",
    ExitCode.CANCELLED: "The confirmation was declined; nothing was sent.",
    ExitCode.DATA: "A data shard or manifest is missing, changed or malformed; see `ponw data verify`.",
    ExitCode.DISK: "The disk is full or a file cannot be read or written; free space or correct permissions.",
    ExitCode.DATABASE: "The node's database is corrupt or of another version; restore it or start from a fresh home.",
    ExitCode.CHECKPOINT: "A checkpoint is truncated or does not match its root; the node resumes from an older one.",
    ExitCode.CONSENSUS: "Input breaks a rule of the protocol, or no kernel on this machine computes exactly.",
    ExitCode.DIVERGED: "This node's own root differs from the network's; it stops rather than build on a wrong state.",
    ExitCode.TOOL: "A program that this command needs is not installed.",
    ExitCode.DEVNET: "The local development chain could not be started or stopped; see its log in the home folder.",
    ExitCode.PEER: "A peer did not serve an artefact, or served one that does not match its commitment.",
    ExitCode.UNHEALTHY: "`ponw doctor` found something that must be fixed before the node can run.",
    ExitCode.UNAVAILABLE: "The command belongs to a part that is not installed.",
    ExitCode.INTERRUPTED: "Interrupted by Ctrl-C before the command was done.",
}


class PonwError(Exception):
    """Base of every failure the node reports.

    `message` is one sentence without a traceback's vocabulary; `hint` says what to do next.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(PonwError):
    """A setting is malformed, of the wrong type, or out of range."""

    exit_code = ExitCode.CONFIG


class WalletError(PonwError):
    """The keystore lacks the key, already has it, or holds an unusable file."""

    exit_code = ExitCode.WALLET


class PasswordError(PonwError):
    """The keystore password is wrong, empty, or could not be read safely."""

    exit_code = ExitCode.PASSWORD


class ChainError(PonwError):
    """Base of everything that can go wrong between the node and the chain."""


class RpcError(ChainError):
    """The RPC endpoint does not answer, or answers with something that is not JSON-RPC."""

    exit_code = ExitCode.RPC


class WrongChainError(ChainError):
    """The endpoint serves another chain id than the one expected."""

    exit_code = ExitCode.CHAIN_ID


class ContractsError(ChainError):
    """Contract addresses are unknown, have no code, or carry other parameters than the protocol's."""

    exit_code = ExitCode.CONTRACTS


class FundsError(ChainError):
    """The account cannot pay for gas, or lacks the NEURO that the call would move."""

    exit_code = ExitCode.FUNDS


class RevertError(ChainError):
    """A contract refused a call.

    `name` is the Solidity error ("" when the chain gave none) and `arguments` its decoded fields by name.
    """

    exit_code = ExitCode.REVERTED

    def __init__(
        self, message: str, hint: str = "", *, name: str = "", arguments: dict[str, object] | None = None
    ) -> None:
        super().__init__(message, hint)
        self.name = name
        self.arguments: dict[str, object] = arguments or {}


class PendingError(ChainError):
    """A transaction was sent but no receipt came within the time limit; `tx_hash` is its 0x-hash."""

    exit_code = ExitCode.TX_PENDING

    def __init__(self, message: str, hint: str = "", *, tx_hash: str = "") -> None:
        super().__init__(message, hint)
        self.tx_hash = tx_hash


class CancelledError(PonwError):
    """The operator declined a confirmation."""

    exit_code = ExitCode.CANCELLED


class DataError(PonwError):
    """A shard or manifest is missing, changed, or malformed."""

    exit_code = ExitCode.DATA


class DiskError(PonwError):
    """The disk is full, or a file cannot be read or written."""

    exit_code = ExitCode.DISK


class DatabaseError(PonwError):
    """The node's database is corrupt, locked, or of another version."""

    exit_code = ExitCode.DATABASE


class CheckpointError(PonwError):
    """A checkpoint is truncated, malformed, or does not match its root."""

    exit_code = ExitCode.CHECKPOINT


class DivergedError(PonwError):
    """The node's own root differs from the one on chain."""

    exit_code = ExitCode.DIVERGED


class ToolError(PonwError):
    """An outside program (anvil) is missing or broken."""

    exit_code = ExitCode.TOOL


class DevnetError(PonwError):
    """The local development chain could not be started, reached, or stopped."""

    exit_code = ExitCode.DEVNET


class PeerError(PonwError):
    """A peer did not serve an artefact, or served one that does not match its commitment."""

    exit_code = ExitCode.PEER


class UnhealthyError(PonwError):
    """`ponw doctor` found at least one failure."""

    exit_code = ExitCode.UNHEALTHY


class UnavailableError(PonwError):
    """The command belongs to a part that this installation lacks."""

    exit_code = ExitCode.UNAVAILABLE
