// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { IEmission } from "./interfaces/IEmission.sol";
import { Dispute, IJudge } from "./interfaces/IJudge.sol";
import { IQuorums } from "./interfaces/IQuorums.sol";
import { IStaking } from "./interfaces/IStaking.sol";
import { Era, IVocabulary, Terms } from "./interfaces/IVocabulary.sol";
import { IWorkRegistry } from "./interfaces/IWorkRegistry.sol";
import { Claim, ClaimLib } from "./libraries/ClaimLib.sol";
import { ClaimState, NodeSlot } from "./libraries/NodeSlot.sol";
import { Rewards } from "./libraries/Rewards.sol";
import { Rfc9162 } from "./libraries/Rfc9162.sol";
import { Rules } from "./libraries/Rules.sol";

/// @title RegistryState
/// @notice What the work registry stores, its parameters and its views. See {IWorkRegistry}.
abstract contract RegistryState is IWorkRegistry, EIP712 {
    using ClaimLib for Claim;
    using SafeCast for uint256;

    /// @param finals Final TRAIN claims since the last lost claim.
    /// @param lostRound The last round in which a claim was lost; 0 if none.
    /// @param base Base of the last TRAIN claim that became final or was lost, or round of a lost OUTER claim.
    struct Record {
        uint32 finals;
        uint64 lostRound;
        uint64 base;
    }

    /// @inheritdoc IWorkRegistry
    IStaking public immutable staking;
    /// @inheritdoc IWorkRegistry
    IEmission public immutable emission;
    /// @inheritdoc IWorkRegistry
    IVocabulary public immutable vocabulary;
    /// @inheritdoc IWorkRegistry
    IQuorums public immutable quorums;

    bytes32 internal immutable PROGRAM_HASH;
    bytes32 internal immutable DATA_ROOT;
    bytes32 internal immutable GENESIS_ROOT;
    IJudge internal immutable JUDGE;
    uint64 internal immutable TOKENS_PER_STEP;
    uint16 internal immutable LAYERS;
    uint32 internal immutable MAX_STEPS;
    uint32 internal immutable MAX_CLAIMS;
    uint64 internal immutable TRAIN_TIME;
    uint64 internal immutable WINDOW;
    uint64 internal immutable RESPONSE_TIME;
    uint256 internal immutable CLAIM_BOND;
    uint256 internal immutable CHALLENGE_BOND;

    /// @inheritdoc IWorkRegistry
    bytes32 public globalRoot;
    /// @inheritdoc IWorkRegistry
    uint64 public currentRound;

    mapping(uint64 round => Round) internal _rounds;
    mapping(address node => NodeSlot) internal _slots;
    mapping(address node => Record) internal _records;
    mapping(bytes32 claimHash => mapping(address challenger => Challenge)) internal _challenges;

    constructor(IStaking staking_, IEmission emission_, Parameters memory p) EIP712("ponw", "1") {
        if (staking_.registry() != address(this)) revert Miswired(staking_.registry());
        if (emission_.registry() != address(this)) revert Miswired(emission_.registry());
        if (emission_.vocabulary() != staking_.vocabulary()) revert Miswired(emission_.vocabulary());
        if (emission_.quorums() != staking_.quorums()) revert Miswired(emission_.quorums());
        if (p.maxSteps == 0 || p.maxClaims == 0 || p.layers == 0) revert BadParameters();
        if (p.claimBond == 0 || p.challengeBond == 0) revert BadParameters();
        if (p.trainTime == 0 || p.window == 0 || p.responseTime == 0) revert BadParameters();
        staking = staking_;
        emission = emission_;
        vocabulary = IVocabulary(staking_.vocabulary());
        quorums = IQuorums(staking_.quorums());
        PROGRAM_HASH = p.programHash;
        DATA_ROOT = p.dataRoot;
        GENESIS_ROOT = p.genesisRoot;
        JUDGE = IJudge(p.judge);
        TOKENS_PER_STEP = p.tokensPerStep;
        LAYERS = p.layers;
        MAX_STEPS = p.maxSteps;
        MAX_CLAIMS = p.maxClaims;
        TRAIN_TIME = p.trainTime;
        WINDOW = p.window;
        RESPONSE_TIME = p.responseTime;
        CLAIM_BOND = p.claimBond;
        CHALLENGE_BOND = p.challengeBond;
        globalRoot = p.genesisRoot;
    }

    /// @inheritdoc IWorkRegistry
    function parameters() external view returns (Parameters memory) {
        return Parameters({
            programHash: PROGRAM_HASH,
            dataRoot: DATA_ROOT,
            genesisRoot: GENESIS_ROOT,
            judge: address(JUDGE),
            tokensPerStep: TOKENS_PER_STEP,
            layers: LAYERS,
            maxSteps: MAX_STEPS,
            maxClaims: MAX_CLAIMS,
            trainTime: TRAIN_TIME,
            window: WINDOW,
            responseTime: RESPONSE_TIME,
            claimBond: CLAIM_BOND,
            challengeBond: CHALLENGE_BOND
        });
    }

    /// @inheritdoc IWorkRegistry
    function roundOf(uint64 round) external view returns (Round memory) {
        return _rounds[round];
    }

    /// @inheritdoc IWorkRegistry
    function claimOf(address node)
        external
        view
        returns (ClaimState state, uint256 openChallenges, bytes32 hashPrefix)
    {
        NodeSlot slot = _slots[node];
        return (slot.state(), slot.open(), slot.prefix());
    }

    /// @inheritdoc IWorkRegistry
    function challengeOf(bytes32 claimHash, address challenger) external view returns (Challenge memory) {
        return _challenges[claimHash][challenger];
    }

    /// @inheritdoc IWorkRegistry
    function recordOf(address node) external view returns (uint32 finals, uint64 lostRound, uint64 base) {
        Record memory record = _records[node];
        return (record.finals, record.lostRound, record.base);
    }

    /// @inheritdoc IWorkRegistry
    function quoteReward(address node, uint32 steps) external view returns (uint256) {
        (uint16 layers,,) = vocabulary.depth();
        return _reward(node, steps, layers, _records[node].finals, 0);
    }

    /// @inheritdoc IWorkRegistry
    function hashClaim(Claim calldata claim) public view returns (bytes32) {
        return _hashTypedDataV4(claim.structHash());
    }

    /// @inheritdoc IWorkRegistry
    function phaseOf(uint64 round) public view returns (Phase) {
        Round storage r = _rounds[round];
        if (r.openedAt == 0) return Phase.None;
        if (r.closed) return Phase.Closed;
        if (block.timestamp <= r.claimDeadline) return Phase.Train;
        if (block.timestamp <= r.claimDeadline + WINDOW) return Phase.Window;
        if (r.unresolved != 0) return Phase.Settle;
        // Nothing to sum up: openRound closes such a round with the root it started from.
        if (r.finals == 0) return Phase.Closed;
        if (r.outerNode != address(0)) return Phase.OuterWindow;
        return block.timestamp <= r.settledAt + TRAIN_TIME ? Phase.Outer : Phase.Closed;
    }

    /// @dev Every claim holds every layer, so no layer is scarcer than another.
    function _reward(address node, uint32 steps, uint16 layers, uint32 finals, uint256 age)
        internal
        view
        returns (uint256)
    {
        return Rewards.claimReward(steps, layers, staking.activeOf(node), finals, 0, age);
    }

    /// @dev Seconds from the opening of the round that a claim's work began in to that of its own; 0 on time.
    function _ageOf(Claim calldata claim) internal view returns (uint256) {
        if (claim.base == claim.round) return 0;
        return _rounds[claim.round].openedAt - _rounds[claim.base].openedAt;
    }

    /// @dev Opens the next round; `supplied` and `growth` as in {IVocabulary-enter}.
    function _open(Terms memory supplied, bytes memory growth) internal returns (uint64 round) {
        round = currentRound;
        bytes32 root = globalRoot;
        bool stepped = false;
        if (round != 0) {
            Phase phase = phaseOf(round);
            if (phase != Phase.Closed) revert WrongPhase(phase);
            // A final OUTER claim has closed its round already.
            stepped = _rounds[round].closed;
            if (!stepped) _close(round, root);
        }
        currentRound = ++round;
        Round storage r = _rounds[round];
        r.startRoot = root;
        r.openedAt = block.timestamp.toUint64();
        r.claimDeadline = (block.timestamp + TRAIN_TIME).toUint64();
        r.randomness = keccak256(abi.encodePacked(block.prevrandao, blockhash(block.number - 1), round));
        _enter(r, stepped, supplied, growth);
        emit RoundOpened(round, root, r.randomness, r.openedAt, r.claimDeadline, r.version, r.target);
    }

    function _close(uint64 round, bytes32 nextRoot) internal {
        _rounds[round].closed = true;
        emit RoundClosed(round, nextRoot);
    }

    /// @dev Fixes what claims of a new round must name. The vocabulary calls nobody.
    function _enter(Round storage r, bool stepped, Terms memory supplied, bytes memory growth) private {
        Era memory era = vocabulary.enter(stepped, supplied, growth);
        (r.version, r.target, r.layers, r.young) = (era.version, era.target, era.layers, era.young);
        r.terms = keccak256(abi.encode(era.programHash, era.dataRoot, r.startRoot, era.layers));
    }

    /// @dev One hash of four words of the claim, against one slot.
    function _checkTerms(Claim calldata claim) internal view {
        if (ClaimLib.termsOf(claim) == _rounds[claim.round].terms) return;
        Round storage r = _rounds[claim.round];
        if (claim.startRoot != r.startRoot) revert WrongStartRoot(claim.startRoot, r.startRoot);
        // Of an earlier round the vocabulary has no terms any more; such a claim is late whatever it names.
        if (claim.round != currentRound) revert WrongPhase(phaseOf(claim.round));
        (bytes32 programHash, bytes32 dataRoot) = vocabulary.terms();
        if (claim.programHash != programHash) revert WrongProgram(claim.programHash, programHash);
        if (claim.dataRoot != dataRoot) revert WrongData(claim.dataRoot, dataRoot);
        if (claim.layerCount != r.layers) revert WrongLayers(claim.firstLayer, claim.layerCount);
        // What is left is round 0, which nobody opened.
        revert WrongPhase(Phase.None);
    }

    /// @dev A late claim names the terms of its base, and its own round's differ from them in the start root alone.
    /// Its base is newer than that of any claim of the node that ended; one on time always is.
    function _checkLate(Claim calldata claim) internal view {
        uint64 base = claim.base;
        if (claim.kind != ClaimLib.TRAIN || base >= claim.round) revert WrongBase(base);
        // A base whose state only the prover has would make every lie safe.
        if (claim.round - base > Rules.LATE_ROUNDS) revert WrongBase(base);
        (Round storage b, Round storage r) = (_rounds[base], _rounds[claim.round]);
        // Of round 0, which nobody opened, the terms are 0, which nothing hashes to.
        if (ClaimLib.termsOf(claim) != b.terms) revert WrongBase(base);
        bytes32 terms = keccak256(abi.encode(claim.programHash, claim.dataRoot, r.startRoot, claim.layerCount));
        if (terms != r.terms || b.version != r.version || b.target != r.target) revert WrongBase(base);
        uint64 claimed = _records[claim.node].base;
        if (base <= claimed) revert AlreadyClaimed(claimed);
    }

    /// @dev One beyond the steps of a TRAIN claim stands for its update.
    function _checkStep(Claim calldata claim, uint32 step) internal pure {
        bool inRange = claim.kind == ClaimLib.TRAIN ? step <= claim.steps : step == 0;
        if (!inRange) revert StepOutOfRange(step, claim.steps);
    }

    /// @dev Checks both leaves, and writes what they say into the dispute.
    function _checkOpenings(Claim calldata claim, Dispute memory d, Opening calldata previous, Opening calldata opened)
        internal
        view
    {
        _checkOpening(claim, d.step, opened);
        if (d.step == claim.steps - 1 && opened.stateRoot != claim.endRoot) {
            revert WrongEndRoot(opened.stateRoot, claim.endRoot);
        }
        if (d.step != 0) {
            _checkOpening(claim, d.step - 1, previous);
            d.before = previous.stateRoot;
        }
        (d.afterStep, d.batch, d.lossBits) = (opened.stateRoot, opened.batchRoot, opened.lossBits);
    }

    function _checkOpening(Claim calldata claim, uint32 step, Opening calldata opening) internal view {
        bytes32 leaf = Rfc9162.traceLeaf(opening.stateRoot, opening.batchRoot, opening.lossBits, step);
        bool ok = Rfc9162.verifyInclusion(claim.traceRoot, leaf, step, claim.steps, opening.proof);
        if (!ok) revert BadProof(step);
    }
}
