// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Claim } from "../libraries/ClaimLib.sol";
import { IStaking } from "./IStaking.sol";
import { IWorkRegistry } from "./IWorkRegistry.sol";

/// @title IAnswerCourt
/// @notice A server's answer, signed as an ANSWER claim, is on chain only where somebody objects to a token of it. From
/// there it is a challenge like any other: one scalar decides, and the loser pays.
/// @dev The signature is EIP-712 in the domain {name "ponw", version "1", chainId, this contract}, so that it means nothing
/// on another chain or in another contract. An accuser accuses a claim once; a claim is lost once.
interface IAnswerCourt {
    enum State {
        None,
        Waiting,
        Judged,
        Failed,
        Won
    }

    /// @param claimBond A server that loses is slashed twice this, half of it for the accuser.
    /// @param accusationBond An accuser that loses is slashed this, half of it for the server.
    /// @param window Seconds after the signature in which an answer can be accused.
    /// @param response Seconds that a server has to answer an accusation.
    struct Terms {
        uint256 claimBond;
        uint256 accusationBond;
        uint64 window;
        uint64 response;
    }

    /// @param deadline Waiting: last timestamp for the server's answer.
    /// @param moved Whether it has been pointed at another token.
    struct Accusation {
        State state;
        bool moved;
        uint32 step;
        uint64 deadline;
    }

    /// @param locked Stake of the server that stands behind the open accusations.
    /// @param open Accusations that are waiting or judged.
    struct Case {
        uint128 locked;
        uint32 open;
        bool lost;
    }

    /// @notice `challenger` says that token `step` of an answer is wrong; the server answers until `deadline`.
    event Accused(
        bytes32 indexed claimHash,
        address indexed server,
        address indexed challenger,
        Claim claim,
        uint32 step,
        uint64 deadline
    );
    /// @notice The server has opened the token; the judge has the game. Names as in {Dispute}.
    event AccusationAnswered(
        bytes32 indexed claimHash,
        address indexed server,
        address indexed challenger,
        uint32 step,
        bytes32 batch,
        uint32 token,
        bytes32 trace
    );
    /// @notice The answer stands against this accusation.
    event AccusationFailed(bytes32 indexed claimHash, address indexed server, address indexed challenger);
    /// @notice The answer is wrong, or its server silent.
    event AnswerLost(bytes32 indexed claimHash, address indexed server, address indexed challenger, uint32 step);
    /// @notice A bond is free again: the answer was lost to somebody else.
    event AccusationReleased(bytes32 indexed claimHash, address indexed challenger);

    error Miswired(address found);
    error BadTerms();
    error NotAnAnswer(uint8 kind);
    /// @notice Thrown when a claim names a base: an answer has none, so that it has one form.
    error WrongBase(uint64 base);
    error SelfAccusation();
    error StepOutOfRange(uint32 step, uint32 steps);
    error NotSigned(address signer);
    error TooLate(uint64 deadline);
    error TooEarly(uint64 deadline);
    error AlreadyAccused();
    error AlreadyLost();
    error AlreadyMoved();
    error NotServer(address caller);
    error OnlyJudge(address caller);
    error NotAccused(State state);
    error BadProof(uint32 step);

    function staking() external view returns (IStaking);
    function terms() external view returns (Terms memory);
    /// @notice EIP-712 digest that the server signs.
    function hashClaim(Claim calldata claim) external view returns (bytes32);
    function caseOf(bytes32 claimHash) external view returns (Case memory);
    function accusationOf(bytes32 claimHash, address challenger) external view returns (Accusation memory);

    /// @notice Says that token `step` of a signed answer is wrong. Stakers only: a bond is locked.
    function accuse(Claim calldata claim, bytes calldata signature, uint32 step) external returns (bytes32 claimHash);
    /// @notice Opens the accused token, and commits to the op trace of its program. Server only.
    function answer(Claim calldata claim, address challenger, IWorkRegistry.Opening calldata opened, bytes32 trace)
        external;
    /// @notice Ends an accusation whose server was silent. Anyone may call.
    function timeout(Claim calldata claim, address challenger) external;
    /// @notice Frees the caller's or anyone's bond where somebody else has won against the claim.
    function reclaim(Claim calldata claim, address challenger) external;
    /// @notice The end of a game. Judge only.
    function rule(Claim calldata claim, address challenger, bool serverWon, uint32 op, bytes32 trace) external;
    /// @notice Another token is the first wrong one; once an accusation. Judge only.
    function repoint(Claim calldata claim, address challenger, uint32 step) external;
}
