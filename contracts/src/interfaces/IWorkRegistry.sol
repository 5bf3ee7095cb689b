// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Claim } from "../libraries/ClaimLib.sol";
import { ClaimState } from "../libraries/NodeSlot.sol";
import { IEmission } from "./IEmission.sol";
import { IRegistryErrors } from "./IRegistryErrors.sol";
import { IQuorums } from "./IQuorums.sol";
import { IStaking } from "./IStaking.sol";
import { IVocabulary, Terms } from "./IVocabulary.sol";

/// @title IWorkRegistry
/// @notice Rounds of training, the claims made in them, and the challenges against those claims.
/// @dev A claim lives in calldata and events; the chain keeps one slot a node. Every call about a claim carries it whole.
/// Deadlines are inclusive: a move is in time while block.timestamp <= deadline.
interface IWorkRegistry is IRegistryErrors {
    /// @notice Where a round stands.
    /// None: never opened. Train: TRAIN claims are taken. Window: claims are closed, challenges are taken. Settle: some
    /// claim waits for finalise or for a challenge to end. Outer: an OUTER claim can be posted, for trainTime after the last
    /// claim was settled. OuterWindow: one is live. Closed: the next round can be opened.
    /// @dev A round whose updates nobody can sum up, because a prover withholds its own, closes with the root it started
    /// from once Outer has passed: it costs a round, never the network.
    enum Phase {
        None,
        Train,
        Window,
        Settle,
        Outer,
        OuterWindow,
        Closed
    }

    /// @notice None: no such challenge, or it has ended. Waiting: the prover's clock runs. Judged: the judge has it.
    enum ChallengeState {
        None,
        Waiting,
        Judged
    }

    /// @notice Why a claim was lost.
    enum LossReason {
        Silence,
        Ruling
    }

    /// @notice The network's parameters, fixed at deployment.
    /// @param programHash Hash of the step program in version 0 of the vocabulary.
    /// @param dataRoot Root of the dataset tree in version 0.
    /// @param genesisRoot Global root of round 1.
    /// @param judge Decides opened challenges; address 0: an opened leaf ends the challenge in the prover's favour.
    /// @param tokensPerStep Tokens of one step.
    /// @param layers Layers of the model in version 0; every claim holds all of its round's.
    /// @param maxSteps Most steps of a TRAIN claim.
    /// @param maxClaims Most TRAIN claims of a round: what an outer step can sum up.
    /// @param trainTime Seconds from opening to the claim deadline.
    /// @param window Seconds in which claims can be challenged.
    /// @param responseTime Seconds the prover has to answer.
    /// @param claimBond B in wei; 2B stand behind a claim.
    /// @param challengeBond Wei locked by a challenge.
    struct Parameters {
        bytes32 programHash;
        bytes32 dataRoot;
        bytes32 genesisRoot;
        address judge;
        uint64 tokensPerStep;
        uint16 layers;
        uint32 maxSteps;
        uint32 maxClaims;
        uint64 trainTime;
        uint64 window;
        uint64 responseTime;
        uint256 claimBond;
        uint256 challengeBond;
    }

    /// @param startRoot Global root the round starts from.
    /// @param openedAt Timestamp of opening.
    /// @param claimDeadline Last timestamp for TRAIN claims.
    /// @param unresolved TRAIN claims neither final nor lost.
    /// @param finals Final TRAIN claims.
    /// @param settledAt Timestamp at which the last claim so far became final or was lost.
    /// @param closed Whether the round has ended.
    /// @param randomness keccak256(prevrandao || blockhash(number - 1) || round).
    /// @param finalSet Running keccak256(finalSet || claimHash) over final TRAIN claims in order.
    /// @param outerNode Whose OUTER claim is live or final; 0 if none.
    /// @param outerDeadline Last timestamp for challenges of the OUTER claim.
    /// @param version Version of the vocabulary that the round trains in.
    /// @param target Version that its outer step leads to; another one only in the round of a transition.
    /// @param layers Layers of the model that the round trains.
    /// @param young Rounds with young layers that were left when it was opened, it included; 0 where it has none.
    /// @param terms keccak256(programHash || dataRoot || startRoot || layers) of the round's claims, a word each.
    struct Round {
        bytes32 startRoot;
        uint64 openedAt;
        uint64 claimDeadline;
        uint32 unresolved;
        uint32 finals;
        uint48 settledAt;
        bool closed;
        bytes32 randomness;
        bytes32 finalSet;
        address outerNode;
        uint40 outerDeadline;
        uint16 version;
        uint16 target;
        uint16 layers;
        uint8 young;
        bytes32 terms;
    }

    /// @param state Where the challenge stands.
    /// @param step The step pointed at, 0-based.
    /// @param deadline Last timestamp for the prover's answer, while Waiting.
    /// @param moved Whether it points at another step than at first.
    struct Challenge {
        ChallengeState state;
        uint32 step;
        uint64 deadline;
        bool moved;
    }

    /// @notice A trace leaf with its inclusion proof; the leaf's step is the index it is proved at.
    /// @param stateRoot State root after the step.
    /// @param batchRoot Root of the step's batch.
    /// @param lossBits The step's loss, fp32 bits.
    /// @param proof RFC 9162 inclusion proof against the claim's traceRoot.
    struct Opening {
        bytes32 stateRoot;
        bytes32 batchRoot;
        uint32 lossBits;
        bytes32[] proof;
    }

    /// @notice Round `round` takes claims until `claimDeadline`.
    event RoundOpened(
        uint64 indexed round,
        bytes32 startRoot,
        bytes32 randomness,
        uint64 openedAt,
        uint64 claimDeadline,
        uint16 version,
        uint16 target
    );
    /// @notice Round `round` ended; `nextRoot` is the global root now.
    event RoundClosed(uint64 indexed round, bytes32 nextRoot);
    /// @notice `node` posted `claim`.
    event ClaimPosted(uint64 indexed round, address indexed node, bytes32 indexed claimHash, Claim claim);
    /// @notice A TRAIN or OUTER claim is final; `finalSet` is the round's after it, `reward` what it accrued
    /// to its node: 0 for an OUTER claim, and for a quorum's, which {IQuorums.pay} shares out.
    event ClaimFinal(
        uint64 indexed round, address indexed node, bytes32 indexed claimHash, bytes32 finalSet, uint256 reward
    );
    /// @notice A claim is lost to the challenge of `challenger` at `step`.
    event ClaimLost(
        uint64 indexed round,
        address indexed node,
        bytes32 indexed claimHash,
        address challenger,
        uint32 step,
        LossReason reason
    );
    /// @notice `challenger` says that `step` of the claim is wrong; `node` must answer until `deadline`.
    event ClaimChallenged(
        bytes32 indexed claimHash, address indexed node, address indexed challenger, uint32 step, uint64 deadline
    );
    /// @notice The leaf pointed at was opened: state root before and after, batch and loss; `trace` is the root of the
    /// step's op trace.
    event ChallengeAnswered(
        bytes32 indexed claimHash,
        address indexed node,
        address indexed challenger,
        uint32 step,
        bytes32 before,
        bytes32 afterStep,
        bytes32 batch,
        uint32 lossBits,
        bytes32 trace
    );
    /// @notice The challenge failed and its bond was slashed.
    event ChallengeFailed(bytes32 indexed claimHash, address indexed node, address indexed challenger);
    /// @notice The claim was lost to another challenge; this challenger's bond is free again.
    event ChallengeReleased(bytes32 indexed claimHash, address indexed node, address indexed challenger);
    /// @notice `node` freed the bond of its final claim.
    event BondReleased(address indexed node);
    /// @notice `node` serves its artefacts at `uri`.
    event Announced(address indexed node, string uri);

    /// @notice Thrown when a call comes in the wrong phase of its round.
    error WrongPhase(Phase phase);

    /// @notice Opens the next round from the current global root; closes a round that ended without a final claim.
    /// @dev Where the round runs another version than the one before, or goes to another, {openRoundWith} opens it.
    function openRound() external returns (uint64 round);
    /// @notice {openRound} with the terms of a version: of the one that the round grows into, else of the one that it runs
    /// in. The vocabulary's WrongTerms says of which; they stand in the event of the version's proposal.
    function openRoundWith(Terms calldata supplied) external returns (uint64 round);
    /// @notice {openRoundWith} where that version is a growth of layers: with its encoded {Growth} too.
    function openRoundGrown(Terms calldata supplied, bytes calldata growth) external returns (uint64 round);
    /// @notice Posts the caller's claim. 2B of its stake must be free, or still locked from its last final claim.
    /// @dev The bond stays locked after a final claim, so a node at work pays for the lock once; {releaseBond} frees it.
    /// A TRAIN claim whose base is an earlier round is late: posted, challenged and summed up in its own round, with the data
    /// of its base. Its base is newer than that of the node's last claim that ended, so no work is claimed twice.
    function post(Claim calldata claim) external returns (bytes32 claimHash);
    /// @notice {post} of a TRAIN claim on time for a session that the caller leads. Its members share the reward.
    function postFor(Claim calldata claim, uint64 session) external returns (bytes32 claimHash);
    /// @notice Says that step `step` of an open claim is wrong, or for `step` = steps of a TRAIN claim its update, locking the challenge bond from the caller's stake.
    /// @dev A node cannot challenge itself; through a second account it loses B (burned) if it stays silent, half the
    /// challenge bond if it answers. One open challenge a challenger and claim, 255 a claim: to fill them costs too much.
    function challenge(Claim calldata claim, uint32 step) external;
    /// @notice Opens the leaf pointed at, and the one before it, by inclusion proofs, and posts the root of the step's op
    /// trace. The claim's node only. Then the judge has the challenge.
    /// @dev Warning: with no judge deployed this shows that the prover has committed a leaf, not that the leaf is right.
    /// Step `claim.steps` of a TRAIN claim is its update, for which no leaf is opened.
    /// @param previous Leaf step - 1; not looked at for step 0, where the start state stands in for it.
    /// @param opened Leaf `step`; for the last step its state root must be the claim's endRoot.
    /// @param trace RFC 9162 root over the tensor roots of the outputs of the ops of the step.
    function answer(
        Claim calldata claim,
        address challenger,
        Opening calldata previous,
        Opening calldata opened,
        bytes32 trace
    ) external;

    /// @notice Ends an open challenge whose answer is overdue: the claim is lost. Anyone may call.
    function timeout(Claim calldata claim, address challenger) external;
    /// @notice Ends a challenge that the judge has. Judge only.
    /// @dev Where a quorum's claim is lost by an op, the quorums find out whose op it is and slash him; the bond of the
    /// leader stays locked until they have.
    /// @param op The op ruled wrong: of the step, or behind those the op of the update; NO_OP where there is none.
    /// @param trace The op trace that was ruled about.
    function rule(Claim calldata claim, address challenger, bool proverWon, uint32 op, bytes32 trace) external;
    /// @notice Points a challenge that the judge has at another step, once: the prover answers again. Judge only.
    function repoint(Claim calldata claim, address challenger, uint32 step) external;
    /// @notice Frees the bond of a challenge whose claim was lost to another one. Anyone may call.
    function reclaim(Claim calldata claim, address challenger) external;
    /// @notice Makes an unchallenged claim final once its window is over. Anyone may call.
    function finalise(Claim calldata claim) external;
    /// @notice Frees the bond that is still locked from the caller's last final claim.
    function releaseBond() external;
    /// @notice Publishes where the caller serves its artefacts. Stakers only.
    function announce(string calldata uri) external;

    /// @notice Where stake is held.
    function staking() external view returns (IStaking);
    /// @notice Where rewards accrue.
    function emission() external view returns (IEmission);
    /// @notice What rounds train in.
    function vocabulary() external view returns (IVocabulary);
    /// @notice Whose members answer and are paid for claims posted by {postFor}.
    function quorums() external view returns (IQuorums);
    /// @notice The network's parameters.
    function parameters() external view returns (Parameters memory);
    /// @notice The global root now.
    function globalRoot() external view returns (bytes32);
    /// @notice Number of the newest round, 0 before the first.
    function currentRound() external view returns (uint64);
    /// @notice A round's figures; all zero if it was never opened.
    function roundOf(uint64 round) external view returns (Round memory);
    /// @notice Where a round stands now.
    function phaseOf(uint64 round) external view returns (Phase);
    /// @notice The claim slot of a node: state, open challenges and the upper 30 bytes of the hash of its newest claim.
    function claimOf(address node) external view returns (ClaimState state, uint256 openChallenges, bytes32 hashPrefix);
    /// @notice A challenge; all zero if there is none.
    function challengeOf(bytes32 claimHash, address challenger) external view returns (Challenge memory);
    /// @notice The node's final TRAIN claims since its last lost claim, the last round in which it lost one (0: none), and the
    /// base of its last claim that ended: a late one must begin from a newer round.
    function recordOf(address node) external view returns (uint32 finals, uint64 lostRound, uint64 base);
    /// @notice EIP-712 digest of a claim.
    function hashClaim(Claim calldata claim) external view returns (bytes32);
    /// @notice What a TRAIN claim of `steps` by `node` would earn on time if it became final now.
    function quoteReward(address node, uint32 steps) external view returns (uint256);
}
