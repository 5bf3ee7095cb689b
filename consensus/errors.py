"""Errors of the consensus rules. The node maps them to exit codes."""


class ConsensusError(Exception):
    """Base of every error that a consensus rule raises. ``message`` says what is wrong, ``hint`` what to do next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class DivergedError(ConsensusError):
    """A weight is no longer finite, so the step has no state to commit to."""


class KernelError(ConsensusError):
    """No kernel passed its self-check on this machine."""


class CommitmentError(ConsensusError):
    """Something that cannot be committed to, or an encoding that does not parse: a leaf, a tensor, a proof."""


class ClaimError(CommitmentError):
    """A claim with a field out of its range or of the wrong form."""


class OuterStepError(ConsensusError):
    """Updates from which no next global state follows."""


class ProgramError(ConsensusError):
    """A step that is no program of the exact ops, or a program that does not hold together."""


class InferenceError(ConsensusError):
    """Something that cannot be decoded: other weights, a prompt beyond the context, a setting out of its range."""


class VocabularyError(ConsensusError):
    """Merges that make no vocabulary, or a change of it that does not hold together."""


class QuorumError(ConsensusError):
    """A span, peer or session that breaks a rule of quorums, or an event that its session's state does not take."""


class PipelineError(ConsensusError):
    """Stages that do not make up the model, or work handed to a stage out of its order."""
