// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Claim } from "../libraries/ClaimLib.sol";
import { Programs } from "../libraries/Programs.sol";

/// @notice What a game is about. It travels in the calldata of every move; the chain keeps a clock under its hash.
/// @param claim The challenged claim.
/// @param challenger Who says that step `step` is wrong.
/// @param step The step, 0-based; `claim.steps` for the update of a TRAIN claim.
/// @param before Committed state root before the step.
/// @param afterStep Committed state root after it; the update's root where the update is in question.
/// @param batch Committed batch root; the final set of an OUTER claim.
/// @param lossBits Committed loss, fp32 bits.
/// @param trace Root of the op trace: RFC 9162, one leaf an op: the tensor root of its output, then the roots of what its
/// operands read, in their order, constants left out.
struct Dispute {
    Claim claim;
    address challenger;
    uint32 step;
    bytes32 before;
    bytes32 afterStep;
    bytes32 batch;
    uint32 lossBits;
    bytes32 trace;
}

/// @title IJudge
/// @notice Decides an opened challenge by one number that anybody can recompute.
/// @dev A game begins on the challenger's clock. The challenger wins with one proof that the prover's commitments
/// contradict each other, the round or the dataset; no proof against consistent commitments exists. Where the prover keeps
/// to itself what a proof needs, the challenger demands it, 16 nodes at a time, and the prover's clock runs. Whoever's clock
/// runs out loses, so every game ends within 2 * (response + (MAX_DEMANDS + 1) * extension), and a challenge is two at most. A proof binds only the game it is
/// given in: that game's trace, challenger and claim.
interface IJudge {
    /// @notice Trees that nodes are demanded of. Trace: the op trace. Tensor: one op's output. Sets: the sets of the state
    /// after the step. Set: the tensors of one of them. Steps: the claim's own trace, one leaf a step.
    enum Tree {
        Trace,
        Tensor,
        Sets,
        Set,
        Steps
    }

    /// @notice A game's clock. deadline: of the party whose turn it is. other: seconds the other party has left.
    struct Clock {
        uint64 deadline;
        uint64 other;
        uint8 demands;
        bool proversTurn;
    }

    /// @notice The suite behind the claim's program hash, and for an OUTER claim the program over the round's claims.
    /// @dev `outerOps`: see {Programs-outer}.
    struct Program {
        Programs.Suite suite;
        uint32 outerOps;
        bytes32 outerRoot;
        bytes32[] outerProof;
    }

    /// @notice An op's leaf in the trace: the root of its output, and of the outputs that it reads.
    struct OutputRoot {
        bytes32 root;
        bytes32[] sources;
        bytes32[] proof;
    }

    /// @notice 1,024 bytes of a tensor (fewer at its end) with their proof against its root.
    struct Leaf {
        uint256 index;
        bytes data;
        bytes32[] proof;
    }

    /// @notice The leaves that one operand reads; none for a constant.
    struct Read {
        Leaf[] leaves;
    }

    /// @notice An op's leaf in the trace whose source `slot` is not the root in the leaf of the op that it reads.
    struct SourceProof {
        uint32 op;
        bytes descriptor;
        bytes32[] descriptorProof;
        OutputRoot output;
        uint256 slot;
        OutputRoot source;
    }

    /// @notice One element of one op, and all that it reads.
    struct ElementProof {
        uint32 op;
        bytes descriptor;
        bytes32[] descriptorProof;
        uint256 index;
        OutputRoot output;
        Leaf leaf;
        Read[] reads;
    }

    /// @notice A tensor's leaf in a set, and the set's in a state.
    struct SetPath {
        bytes32 setRoot;
        bytes32[] setProof;
        bytes32 leaf;
        bytes32[] leafProof;
    }

    /// @notice An input or an output of the program, its root in the trace, and the leaf of the state that it should be.
    /// @param port Number among the inputs, or among the outputs.
    /// @param finals Claim hashes of the round's final claims in order, where an outer step reads an update.
    /// @param source The final claim whose update that is.
    struct PortProof {
        uint256 port;
        bytes data;
        bytes32[] proof;
        OutputRoot output;
        SetPath path;
        bytes32[] finals;
        Claim source;
    }

    /// @notice One token of the batch, and the token of the dataset that was drawn for its place.
    struct TokenProof {
        uint256 index;
        Leaf leaf;
        uint256 shards;
        uint256 trainTokens;
        bytes32 shardsRoot;
        uint256 shard;
        bytes name;
        uint64 first;
        uint64 tokens;
        bytes32 root;
        bytes32[] shardProof;
        Leaf text;
    }

    /// @notice One entry of the weights that an outer step gives its updates.
    struct CountProof {
        PortProof port;
        Leaf leaf;
        uint256 index;
    }

    /// @notice One token of an answer's context, and what it must be: a token of the prompt, an earlier one of the answer
    /// (the leaf of the claim's trace, opened), or 0 beyond both.
    struct ContextProof {
        uint256 index;
        Leaf leaf;
        Leaf prompt;
        bytes32 stateRoot;
        bytes32 batchRoot;
        uint32 token;
        bytes32[] proof;
    }

    /// @notice A node of a tree whose children, or whose data, the prover is to reveal.
    /// @param level 0 for a leaf.
    /// @param index Among the nodes of its level.
    /// @param op, descriptor, descriptorProof, output The op whose output a Tensor is; descriptor and its proof also for a
    /// leaf of the Trace, whose length they say.
    /// @param set, path The set that a Set is.
    struct Demand {
        Tree tree;
        uint8 level;
        uint256 index;
        bytes32 node;
        bytes32[] proof;
        uint32 op;
        bytes descriptor;
        bytes32[] descriptorProof;
        OutputRoot output;
        uint256 set;
        SetPath path;
    }

    /// @notice A game begins; the challenger moves until `deadline`.
    event GameOpened(bytes32 indexed game, address indexed prover, address indexed challenger, uint64 deadline);
    /// @notice The prover is to reveal node `index` of `level` of a tree until `deadline`: `count` nodes below it, or its
    /// `length` bytes of data.
    event Demanded(
        bytes32 indexed game,
        address indexed prover,
        Tree tree,
        uint32 op,
        uint256 set,
        uint8 level,
        uint256 index,
        bytes32 node,
        uint256 count,
        uint256 length,
        uint64 deadline
    );
    /// @notice The nodes demanded; the challenger moves until `deadline`.
    event Revealed(bytes32 indexed game, bytes32 node, bytes32[] children, uint64 deadline);
    /// @notice The data demanded; the challenger moves until `deadline`.
    event RevealedData(bytes32 indexed game, bytes32 node, bytes data, uint64 deadline);
    /// @notice The challenger has found an earlier or later step that is wrong; the game goes on there.
    event GameMoved(bytes32 indexed game, uint32 step);
    /// @notice The game is over.
    event GameEnded(bytes32 indexed game, address indexed prover, address indexed challenger, bool proverWon);

    /// @notice Thrown when anyone but the registry opens a game.
    error OnlyRegistry(address caller);
    /// @notice Thrown when a clock's length is 0.
    error BadClock();
    /// @notice Thrown when there is no such game.
    error NoGame(bytes32 game);
    /// @notice Thrown when it is the other party's turn.
    error NotYourTurn();
    /// @notice Thrown when anyone but the game's challenger moves for it.
    error NotChallenger(address caller);
    /// @notice Thrown when a move comes after its clock has run out.
    error TooLate(uint64 deadline);
    /// @notice Thrown when a clock is called that still runs.
    error TooEarly(uint64 deadline);
    /// @notice Thrown when as many demands have been made as a game allows.
    error TooManyDemands();
    /// @notice Thrown when a proof does not lead to its root; `what` numbers the proofs of a move from 0.
    error NotProved(uint256 what);
    /// @notice Thrown when a program, port, place or size is not the one that the move needs.
    error BadPlace();
    /// @notice Thrown when the commitments agree: there is nothing to lose a stake for.
    error NothingWrong();

    /// @notice Takes over a challenge. Registry only; the clocks are the judge's from here on.
    function open(Dispute calldata d) external;

    /// @notice Wins where an element of an op is not what follows from the elements it reads.
    function proveElement(Dispute calldata d, Program calldata program, ElementProof calldata proof) external;

    /// @notice Wins where a leaf of the trace names another root of what its op reads than the leaf of that op does.
    function proveSource(Dispute calldata d, Program calldata program, SourceProof calldata proof) external;

    /// @notice Wins where an input of the program is not the state before, the batch, the schedule's row or an update.
    function proveInput(Dispute calldata d, Program calldata program, PortProof calldata proof) external;

    /// @notice Wins where an output of the program is not in the state after, or is not the loss.
    function proveOutput(Dispute calldata d, Program calldata program, PortProof calldata proof) external;

    /// @notice Wins where a token of the batch is not the one drawn from the dataset.
    function proveToken(Dispute calldata d, Program calldata program, TokenProof calldata proof) external;

    /// @notice Wins where the weight of an update in the outer step does not follow from its claim.
    function proveCount(Dispute calldata d, Program calldata program, CountProof calldata proof) external;

    /// @notice Wins where a token of an answer's context is not of the prompt or of the answer.
    function proveContext(Dispute calldata d, Program calldata program, ContextProof calldata proof) external;

    /// @notice Makes the prover reveal what is below a node, or the data of a leaf.
    function demand(Dispute calldata d, Program calldata program, Demand calldata wanted) external;

    /// @notice Leaves this game for another step of the claim, once a challenge: for a challenger who was shown no trace
    /// of the claim before, and has found in Steps where it is first wrong.
    function repoint(Dispute calldata d, uint32 step) external;

    /// @notice Reveals the nodes that were demanded. Anyone may send it.
    function reveal(Dispute calldata d, bytes32 node, bytes32[] calldata children) external;

    /// @notice Reveals the data that was demanded. Anyone may send it.
    function revealData(Dispute calldata d, bytes32 node, bytes calldata data) external;

    /// @notice Ends a game whose clock has run out. Anyone may call.
    function timeout(Dispute calldata d) external;

    /// @notice The clock of a game; all zero if there is none.
    function clockOf(bytes32 game) external view returns (Clock memory);

    /// @notice The name of a game: keccak256(abi.encode(d)).
    function gameOf(Dispute calldata d) external pure returns (bytes32);
}
