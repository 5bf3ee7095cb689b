// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { Dispute, IJudge } from "./interfaces/IJudge.sol";
import { IWorkRegistry } from "./interfaces/IWorkRegistry.sol";
import { ClaimLib } from "./libraries/ClaimLib.sol";
import { Proofs } from "./libraries/Proofs.sol";
import { Rfc9162 } from "./libraries/Rfc9162.sol";

/// @title GameState
/// @notice The clocks of the judge's games, and what the prover is made to reveal. See {IJudge}.
abstract contract GameState is IJudge {
    using SafeCast for uint256;

    /// @notice Most demands of one game: an honest path down any tree of 2^64 leaves takes 17.
    uint8 public constant MAX_DEMANDS = 32;

    /// @dev 21 words: 14 of the claim, and 7.
    uint256 private constant DISPUTE_BYTES = 672;

    /// @notice Whose challenges are judged.
    IWorkRegistry public immutable registry;
    /// @notice Seconds that each party has for a game.
    uint64 public immutable response;
    /// @notice Least seconds that a party has for a move.
    uint64 public immutable extension;

    mapping(bytes32 game => Clock) private _clocks;
    mapping(bytes32 game => bytes32) internal _demands;

    constructor(IWorkRegistry registry_, uint64 response_, uint64 extension_) {
        if (response_ == 0 || extension_ == 0) revert BadClock();
        (registry, response, extension) = (registry_, response_, extension_);
    }

    /// @inheritdoc IJudge
    function open(Dispute calldata d) external {
        if (msg.sender != address(registry)) revert OnlyRegistry(msg.sender);
        bytes32 game = gameOf(d);
        uint64 deadline = (block.timestamp + response).toUint64();
        _clocks[game] = Clock({ deadline: deadline, other: response, demands: 0, proversTurn: false });
        emit GameOpened(game, d.claim.node, d.challenger, deadline);
    }

    /// @inheritdoc IJudge
    function reveal(Dispute calldata d, bytes32 node, bytes32[] calldata children) external {
        bytes32 game = _proversMove(d, node, children.length, 0);
        if (Rfc9162.rootOf(children) != node) revert NotProved(0);
        emit Revealed(game, node, children, _passTurn(game, false));
    }

    /// @inheritdoc IJudge
    function revealData(Dispute calldata d, bytes32 node, bytes calldata data) external {
        bytes32 game = _proversMove(d, node, 0, data.length);
        if (Proofs.dataHash(data) != node) revert NotProved(0);
        emit RevealedData(game, node, data, _passTurn(game, false));
    }

    /// @inheritdoc IJudge
    function timeout(Dispute calldata d) external {
        bytes32 game = gameOf(d);
        Clock memory clock = _clockOf(game);
        if (block.timestamp <= clock.deadline) revert TooEarly(clock.deadline);
        _end(game, d, !clock.proversTurn, ClaimLib.NO_OP);
    }

    /// @inheritdoc IJudge
    function clockOf(bytes32 game) external view returns (Clock memory) {
        return _clocks[game];
    }

    /// @inheritdoc IJudge
    /// @dev A dispute is static, so its calldata is its encoding; one with dirty bits is no game's name.
    function gameOf(Dispute calldata d) public pure returns (bytes32 game) {
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            calldatacopy(buffer, d, DISPUTE_BYTES)
            game := keccak256(buffer, DISPUTE_BYTES)
        }
    }

    /// @dev The game, if its challenger calls in time and in turn.
    function _challengersMove(Dispute calldata d) internal view returns (bytes32 game) {
        game = gameOf(d);
        Clock memory clock = _clockOf(game);
        if (msg.sender != d.challenger) revert NotChallenger(msg.sender);
        if (clock.proversTurn) revert NotYourTurn();
        if (block.timestamp > clock.deadline) revert TooLate(clock.deadline);
    }

    /// @dev Gives the other party the turn, with the time it has left but never less than the extension.
    function _passTurn(bytes32 game, bool toProver) internal returns (uint64 deadline) {
        Clock memory clock = _clocks[game];
        if (toProver && clock.demands++ >= MAX_DEMANDS) revert TooManyDemands();
        uint256 left = clock.other < extension ? extension : clock.other;
        uint256 ends = clock.deadline;
        clock.other = (ends - block.timestamp).toUint64();
        clock.deadline = deadline = (block.timestamp + left).toUint64();
        clock.proversTurn = toProver;
        _clocks[game] = clock;
    }

    /// @dev Every change of this contract's state stands before the call out, which goes to the fixed registry.
    function _end(bytes32 game, Dispute calldata d, bool proverWon, uint32 op) internal {
        _forget(game);
        emit GameEnded(game, d.claim.node, d.challenger, proverWon);
        registry.rule(d.claim, d.challenger, proverWon, op, d.trace);
    }

    function _forget(bytes32 game) internal {
        // A game without demands has none to forget, and to look would cost as much as to read.
        if (_clocks[game].demands != 0) delete _demands[game];
        delete _clocks[game];
    }

    /// @dev The game, if exactly this was demanded and there is time.
    function _proversMove(Dispute calldata d, bytes32 node, uint256 count, uint256 length)
        private
        view
        returns (bytes32 game)
    {
        game = gameOf(d);
        Clock memory clock = _clockOf(game);
        if (!clock.proversTurn) revert NotYourTurn();
        if (block.timestamp > clock.deadline) revert TooLate(clock.deadline);
        if (keccak256(abi.encode(node, count, length)) != _demands[game]) revert BadPlace();
    }

    function _clockOf(bytes32 game) private view returns (Clock memory clock) {
        clock = _clocks[game];
        if (clock.deadline == 0) revert NoGame(game);
    }
}
