// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title IRegistryErrors
/// @notice Why the work registry refuses a call.
interface IRegistryErrors {
    /// @notice Thrown when staking or emission names another registry, or they name two vocabularies or quorums: a wrong order
    /// of
    /// deployment.
    error Miswired(address registry);
    /// @notice Thrown when a parameter that must be positive is 0.
    error BadParameters();
    /// @notice Thrown when a claim is posted by another account than its node.
    error NotClaimNode(address caller, address node);
    /// @notice Thrown when a claim's kind is neither TRAIN nor OUTER.
    error UnknownKind(uint8 kind);
    /// @notice Thrown when a claim starts from another root than its round.
    error WrongStartRoot(bytes32 claimed, bytes32 expected);
    /// @notice Thrown when a claim that starts from another round than its own is no TRAIN claim, is a quorum's, or when that
    /// round is not an earlier one of the same program, dataset, layers, version and target, LATE_ROUNDS back at most.
    error WrongBase(uint64 base);
    /// @notice Thrown when a late claim's work is not newer than the node's last claim that ended, which began in `base`.
    error AlreadyClaimed(uint64 base);
    /// @notice Thrown when a claim names another program.
    error WrongProgram(bytes32 claimed, bytes32 expected);
    /// @notice Thrown when a claim names another dataset.
    error WrongData(bytes32 claimed, bytes32 expected);
    /// @notice Thrown when a TRAIN claim has no steps or too many, or an OUTER claim not exactly 1.
    error WrongSteps(uint32 claimed, uint32 most);
    /// @notice Thrown when tokens are not steps * tokensPerStep, or not 0 in an OUTER claim.
    error WrongTokens(uint64 claimed, uint64 expected);
    /// @notice Thrown when a claim does not hold all layers of its round.
    error WrongLayers(uint16 firstLayer, uint16 layerCount);
    /// @notice Thrown when an OUTER claim is made over another set of final claims.
    error WrongFinalSet(bytes32 claimed, bytes32 expected);
    /// @notice Thrown when an OUTER claim's trace is not its one leaf (endRoot, finalSet, 0, 0).
    error WrongTrace(bytes32 claimed, bytes32 expected);
    /// @notice Thrown when the round has taken as many TRAIN claims as an outer step can sum up.
    error RoundFull(uint32 most);
    /// @notice Thrown when the node's previous claim is still open.
    error SlotBusy();
    /// @notice Thrown when the node has already lost a claim in this round.
    error LostThisRound(uint64 round);
    /// @notice Thrown when the claim given is not the open claim of its node.
    error NotOpenClaim(bytes32 claimHash);
    /// @notice Thrown when a node challenges its own claim.
    error SelfChallenge();
    /// @notice Thrown when the step pointed at is not in the claim.
    error StepOutOfRange(uint32 step, uint32 steps);
    /// @notice Thrown when the challenger already has an open challenge on the claim.
    error AlreadyChallenged();
    /// @notice Thrown when as many challenges are open on the claim as can be.
    error TooManyChallenges();
    /// @notice Thrown when the challenge does not exist or its prover has already answered.
    error NotWaiting();
    /// @notice Thrown when a challenge is moved a second time.
    error AlreadyMoved();
    /// @notice Thrown when there is no such challenge.
    error NoChallenge();
    /// @notice Thrown when a challenge comes, or an answer comes, after its deadline.
    error TooLate(uint64 deadline);
    /// @notice Thrown when a claim is finalised, or a challenge timed out, before its deadline has passed.
    error TooEarly(uint64 deadline);
    /// @notice Thrown when an opening's proof does not lead to the claim's traceRoot.
    error BadProof(uint32 step);
    /// @notice Thrown when the last leaf's state root is not the claim's endRoot.
    error WrongEndRoot(bytes32 opened, bytes32 claimed);
    /// @notice Thrown when a claim is finalised while challenges are open on it.
    error ChallengesOpen(uint256 open);
    /// @notice Thrown when anyone but the judge rules.
    error OnlyJudge(address caller);
    /// @notice Thrown when the challenged claim is still open, so its bond still stands.
    error ClaimStillOpen();
    /// @notice Thrown when there is no bond of a final claim to release.
    error NoBond();
    /// @notice Thrown when the caller's active stake is below the minimum.
    error NotStaker(address caller);
    /// @notice Thrown when a URI is longer than 256 bytes.
    error UriTooLong(uint256 length);
}
