// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { RegistryState } from "./RegistryState.sol";
import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { Dispute } from "./interfaces/IJudge.sol";
import { IEmission } from "./interfaces/IEmission.sol";
import { IStaking } from "./interfaces/IStaking.sol";
import { Terms } from "./interfaces/IVocabulary.sol";
import { IWorkRegistry } from "./interfaces/IWorkRegistry.sol";
import { Claim, ClaimLib } from "./libraries/ClaimLib.sol";
import { ClaimState, NodeSlot, NodeSlotLib } from "./libraries/NodeSlot.sol";
import { Rfc9162 } from "./libraries/Rfc9162.sol";

/// @title WorkRegistry
/// @notice Rounds, claims and challenges. See {IWorkRegistry}.
/// @dev The contracts name each other, so one account deploys them at consecutive nonces (script/Deployment.sol), with later
/// ones given by their CREATE address. Constructors check the wiring. All calls out go to those fixed contracts, after every
/// change of state, but for {openRound} and its kin, which first ask the vocabulary what the round runs.
contract WorkRegistry is RegistryState {
    using SafeCast for uint256;

    uint256 private constant MAX_URI = 256;

    constructor(IStaking staking_, IEmission emission_, Parameters memory parameters_)
        RegistryState(staking_, emission_, parameters_)
    { }

    /// @inheritdoc IWorkRegistry
    function openRound() external returns (uint64) {
        Terms memory none;
        return _open(none, "");
    }

    /// @inheritdoc IWorkRegistry
    function openRoundWith(Terms calldata supplied) external returns (uint64) {
        return _open(supplied, "");
    }

    /// @inheritdoc IWorkRegistry
    function openRoundGrown(Terms calldata supplied, bytes calldata growth) external returns (uint64) {
        return _open(supplied, growth);
    }

    /// @inheritdoc IWorkRegistry
    function post(Claim calldata claim) external returns (bytes32 claimHash) {
        _checkClaim(claim);
        if (claim.kind == ClaimLib.TRAIN) _enterTrain(claim);
        else if (claim.kind == ClaimLib.OUTER) _enterOuter(claim);
        else revert UnknownKind(claim.kind);
        claimHash = hashClaim(claim);
        _post(claim, claimHash, NodeSlotLib.pack(claimHash, ClaimState.Posted));
    }

    /// @inheritdoc IWorkRegistry
    function postFor(Claim calldata claim, uint64 session) external returns (bytes32 claimHash) {
        _checkClaim(claim);
        if (claim.kind != ClaimLib.TRAIN) revert UnknownKind(claim.kind);
        if (claim.base != claim.round) revert WrongBase(claim.base);
        _enterTrain(claim);
        claimHash = hashClaim(claim);
        _post(claim, claimHash, NodeSlotLib.packQuorum(claimHash));
        quorums.bind(session, claimHash, claim.node, claim.layerCount);
    }

    /// @dev Any claim that has passed its checks takes its node's slot.
    function _post(Claim calldata claim, bytes32 claimHash, NodeSlot slot) private {
        ClaimState last = _slots[msg.sender].state();
        if (last == ClaimState.Posted) revert SlotBusy();
        // Also keeps a lost claim from coming back under the same hash while old challenges still point at it.
        if (_records[msg.sender].lostRound == claim.round) revert LostThisRound(claim.round);
        _slots[msg.sender] = slot;
        emit ClaimPosted(claim.round, msg.sender, claimHash, claim);
        // The bond of a final claim is still locked and now stands behind this one.
        if (last != ClaimState.Final) staking.lock(msg.sender, 2 * CLAIM_BOND);
    }

    /// @inheritdoc IWorkRegistry
    function challenge(Claim calldata claim, uint32 step) external {
        (bytes32 claimHash, NodeSlot slot) = _openClaim(claim);
        if (msg.sender == claim.node) revert SelfChallenge();
        _checkStep(claim, step);
        uint64 windowEnd = _windowEnd(claim);
        if (block.timestamp > windowEnd) revert TooLate(windowEnd);
        if (slot.open() == NodeSlotLib.MAX_OPEN) revert TooManyChallenges();
        Challenge storage c = _challenges[claimHash][msg.sender];
        if (c.state != ChallengeState.None) revert AlreadyChallenged();

        uint64 deadline = (block.timestamp + RESPONSE_TIME).toUint64();
        (c.state, c.step, c.deadline) = (ChallengeState.Waiting, step, deadline);
        _slots[claim.node] = slot.opened();
        emit ClaimChallenged(claimHash, claim.node, msg.sender, step, deadline);
        staking.lock(msg.sender, CHALLENGE_BOND);
    }

    /// @inheritdoc IWorkRegistry
    function answer(
        Claim calldata claim,
        address challenger,
        Opening calldata previous,
        Opening calldata opened,
        bytes32 trace
    ) external {
        if (msg.sender != claim.node) revert NotClaimNode(msg.sender, claim.node);
        (bytes32 claimHash, NodeSlot slot) = _openClaim(claim);
        Challenge storage c = _challenges[claimHash][challenger];
        if (c.state != ChallengeState.Waiting) revert NotWaiting();
        if (block.timestamp > c.deadline) revert TooLate(c.deadline);
        Dispute memory d = Dispute(claim, challenger, c.step, claim.startRoot, claim.updateRoot, 0, 0, trace);
        if (c.step != claim.steps) _checkOpenings(claim, d, previous, opened);
        emit ChallengeAnswered(
            claimHash, claim.node, challenger, d.step, d.before, d.afterStep, d.batch, d.lossBits, trace
        );
        if (address(JUDGE) == address(0)) {
            _proverWins(claim, claimHash, slot, challenger);
        } else {
            c.state = ChallengeState.Judged;
            JUDGE.open(d);
        }
    }

    /// @inheritdoc IWorkRegistry
    function timeout(Claim calldata claim, address challenger) external {
        (bytes32 claimHash,) = _openClaim(claim);
        Challenge storage c = _challenges[claimHash][challenger];
        if (c.state != ChallengeState.Waiting) revert NotWaiting();
        if (block.timestamp <= c.deadline) revert TooEarly(c.deadline);
        _proverLoses(claim, claimHash, challenger, LossReason.Silence, ClaimLib.NO_OP, 0);
    }

    /// @inheritdoc IWorkRegistry
    function rule(Claim calldata claim, address challenger, bool proverWon, uint32 op, bytes32 trace) external {
        if (msg.sender != address(JUDGE)) revert OnlyJudge(msg.sender);
        (bytes32 claimHash, NodeSlot slot) = _openClaim(claim);
        if (_challenges[claimHash][challenger].state != ChallengeState.Judged) revert NoChallenge();
        if (proverWon) _proverWins(claim, claimHash, slot, challenger);
        else _proverLoses(claim, claimHash, challenger, LossReason.Ruling, op, trace);
    }

    /// @inheritdoc IWorkRegistry
    function repoint(Claim calldata claim, address challenger, uint32 step) external {
        if (msg.sender != address(JUDGE)) revert OnlyJudge(msg.sender);
        (bytes32 claimHash,) = _openClaim(claim);
        Challenge storage c = _challenges[claimHash][challenger];
        if (c.state != ChallengeState.Judged) revert NoChallenge();
        if (c.moved) revert AlreadyMoved();
        _checkStep(claim, step);
        uint64 deadline = (block.timestamp + RESPONSE_TIME).toUint64();
        (c.state, c.step, c.deadline, c.moved) = (ChallengeState.Waiting, step, deadline, true);
        emit ClaimChallenged(claimHash, claim.node, challenger, step, deadline);
    }

    /// @inheritdoc IWorkRegistry
    function reclaim(Claim calldata claim, address challenger) external {
        bytes32 claimHash = hashClaim(claim);
        if (_challenges[claimHash][challenger].state == ChallengeState.None) revert NoChallenge();
        // An open challenge keeps its claim from becoming final, so a claim that is open no more was lost.
        if (_isOpen(_slots[claim.node], claimHash)) revert ClaimStillOpen();
        delete _challenges[claimHash][challenger];
        emit ChallengeReleased(claimHash, claim.node, challenger);
        staking.unlock(challenger, CHALLENGE_BOND);
    }

    /// @inheritdoc IWorkRegistry
    function finalise(Claim calldata claim) external {
        (bytes32 claimHash, NodeSlot slot) = _openClaim(claim);
        if (slot.open() != 0) revert ChallengesOpen(slot.open());
        uint64 windowEnd = _windowEnd(claim);
        if (block.timestamp <= windowEnd) revert TooEarly(windowEnd);
        _slots[claim.node] = NodeSlotLib.pack(claimHash, ClaimState.Final);
        Round storage r = _rounds[claim.round];
        if (claim.kind == ClaimLib.OUTER) {
            emit ClaimFinal(claim.round, claim.node, claimHash, r.finalSet, 0);
            globalRoot = claim.endRoot;
            _close(claim.round, claim.endRoot);
            return;
        }
        r.unresolved -= 1;
        r.finals += 1;
        r.settledAt = block.timestamp.toUint48();
        bytes32 finalSet = keccak256(abi.encode(r.finalSet, claimHash));
        r.finalSet = finalSet;
        uint32 finals = _count(claim);
        bool shared = slot.ofQuorum();
        uint256 reward = shared ? 0 : _reward(claim.node, claim.steps, claim.layerCount, finals, _ageOf(claim));
        emit ClaimFinal(claim.round, claim.node, claimHash, finalSet, reward);
        if (shared) quorums.settle(claimHash, claim.steps);
        else emission.accrue(claim.node, reward);
    }

    /// @inheritdoc IWorkRegistry
    function releaseBond() external {
        if (_slots[msg.sender].state() != ClaimState.Final) revert NoBond();
        _slots[msg.sender] = NodeSlot.wrap(0);
        emit BondReleased(msg.sender);
        staking.unlock(msg.sender, 2 * CLAIM_BOND);
    }

    /// @inheritdoc IWorkRegistry
    function announce(string calldata uri) external {
        if (bytes(uri).length > MAX_URI) revert UriTooLong(bytes(uri).length);
        if (!staking.isStaker(msg.sender)) revert NotStaker(msg.sender);
        emit Announced(msg.sender, uri);
    }

    function _checkClaim(Claim calldata claim) private view {
        if (msg.sender != claim.node) revert NotClaimNode(msg.sender, claim.node);
        if (claim.base == claim.round) _checkTerms(claim);
        else _checkLate(claim);
        if (claim.firstLayer != 0) revert WrongLayers(claim.firstLayer, claim.layerCount);
    }

    function _enterTrain(Claim calldata claim) private {
        Round storage r = _rounds[claim.round];
        if (block.timestamp > r.claimDeadline) revert WrongPhase(phaseOf(claim.round));
        if (claim.steps == 0 || claim.steps > MAX_STEPS) revert WrongSteps(claim.steps, MAX_STEPS);
        uint64 tokens = claim.steps * TOKENS_PER_STEP;
        if (claim.tokens != tokens) revert WrongTokens(claim.tokens, tokens);
        if (r.unresolved + r.finals >= MAX_CLAIMS) revert RoundFull(MAX_CLAIMS);
        r.unresolved += 1;
    }

    function _enterOuter(Claim calldata claim) private {
        Phase phase = phaseOf(claim.round);
        if (phase != Phase.Outer) revert WrongPhase(phase);
        Round storage r = _rounds[claim.round];
        if (claim.steps != 1) revert WrongSteps(claim.steps, 1);
        if (claim.tokens != 0) revert WrongTokens(claim.tokens, 0);
        if (claim.updateRoot != r.finalSet) revert WrongFinalSet(claim.updateRoot, r.finalSet);
        bytes32 trace = Rfc9162.traceLeaf(claim.endRoot, claim.updateRoot, 0, 0);
        if (claim.traceRoot != trace) revert WrongTrace(claim.traceRoot, trace);
        r.outerNode = msg.sender;
        r.outerDeadline = (block.timestamp + WINDOW).toUint40();
    }

    /// @dev A TRAIN claim became final: how many of its node had before.
    function _count(Claim calldata claim) private returns (uint32 finals) {
        Record memory record = _records[claim.node];
        finals = record.finals;
        (record.finals, record.base) = (finals + 1, claim.base);
        _records[claim.node] = record;
    }

    function _proverWins(Claim calldata claim, bytes32 claimHash, NodeSlot slot, address challenger) private {
        delete _challenges[claimHash][challenger];
        _slots[claim.node] = slot.closed();
        emit ChallengeFailed(claimHash, claim.node, challenger);
        staking.slash(challenger, CHALLENGE_BOND, claim.node, CHALLENGE_BOND / 2);
    }

    function _proverLoses(
        Claim calldata claim,
        bytes32 claimHash,
        address challenger,
        LossReason reason,
        uint32 op,
        bytes32 trace
    ) private {
        uint32 step = _challenges[claimHash][challenger].step;
        delete _challenges[claimHash][challenger];
        bool shared = _slots[claim.node].ofQuorum();
        _slots[claim.node] = NodeSlotLib.pack(claimHash, ClaimState.Lost);
        _records[claim.node] = Record({ finals: 0, lostRound: claim.round, base: claim.base });
        Round storage r = _rounds[claim.round];
        if (claim.kind == ClaimLib.TRAIN) r.unresolved -= 1;
        else r.outerNode = address(0);
        r.settledAt = block.timestamp.toUint48();
        emit ClaimLost(claim.round, claim.node, claimHash, challenger, step, reason);
        if (shared) quorums.lose(claimHash, challenger, op, step, trace);
        // Else the quorums slash whoever the op belongs to; the leader's bond stays locked until then.
        if (!shared || op == ClaimLib.NO_OP) staking.slash(claim.node, 2 * CLAIM_BOND, challenger, CLAIM_BOND);
        staking.unlock(challenger, CHALLENGE_BOND);
    }

    function _openClaim(Claim calldata claim) private view returns (bytes32 claimHash, NodeSlot slot) {
        claimHash = hashClaim(claim);
        slot = _slots[claim.node];
        if (!_isOpen(slot, claimHash)) revert NotOpenClaim(claimHash);
    }

    function _isOpen(NodeSlot slot, bytes32 claimHash) private pure returns (bool) {
        return slot.holds(claimHash) && slot.state() == ClaimState.Posted;
    }

    function _windowEnd(Claim calldata claim) private view returns (uint64) {
        Round storage r = _rounds[claim.round];
        return claim.kind == ClaimLib.OUTER ? r.outerDeadline : r.claimDeadline + WINDOW;
    }
}
