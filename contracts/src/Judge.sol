// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { GameState } from "./GameState.sol";
import { Dispute, IJudge } from "./interfaces/IJudge.sol";
import { IScalar } from "./interfaces/IScalar.sol";
import { IWorkRegistry } from "./interfaces/IWorkRegistry.sol";
import { Answers } from "./libraries/Answers.sol";
import { Claim, ClaimLib } from "./libraries/ClaimLib.sol";
import { Dataset } from "./libraries/Dataset.sol";
import { Layouts } from "./libraries/Layouts.sol";
import { Ports } from "./libraries/Ports.sol";
import { Programs } from "./libraries/Programs.sol";
import { Proofs } from "./libraries/Proofs.sol";
import { Rewards } from "./libraries/Rewards.sol";

/// @title Judge
/// @notice Decides an opened challenge by one number. See {IJudge}.
contract Judge is GameState {
    using Programs for Programs.Layout;

    IScalar private immutable SCALAR;

    constructor(IWorkRegistry registry_, IScalar scalar_, uint64 response_, uint64 extension_)
        GameState(registry_, response_, extension_)
    {
        SCALAR = scalar_;
    }

    /// @inheritdoc IJudge
    function proveElement(Dispute calldata d, Program calldata program, ElementProof calldata proof) external {
        bytes32 game = _challengersMove(d);
        if (!_isWrong()) revert NothingWrong();
        _end(game, d, false, _opOf(d, program, proof.op));
    }

    /// @inheritdoc IJudge
    function proveSource(Dispute calldata d, Program calldata program, SourceProof calldata proof) external {
        bytes32 game = _challengersMove(d);
        Ports.checkSource(d, Layouts.resolve(registry, d, program), proof);
        _end(game, d, false, _opOf(d, program, proof.op));
    }

    /// @inheritdoc IJudge
    function proveInput(Dispute calldata d, Program calldata program, PortProof calldata proof) external {
        bytes32 game = _challengersMove(d);
        Programs.Layout memory layout = Layouts.resolve(registry, d, program);
        if (layout.kind == Programs.Kind.Outer && proof.port >= 2 * layout.tensors) {
            _checkUpdate(d, layout, proof);
        } else {
            Ports.checkInput(d, layout, program.suite, proof);
        }
        _end(game, d, false, _portsOp(d, program, proof));
    }

    /// @inheritdoc IJudge
    function proveOutput(Dispute calldata d, Program calldata program, PortProof calldata proof) external {
        bytes32 game = _challengersMove(d);
        Ports.checkOutput(d, Layouts.resolve(registry, d, program), proof);
        _end(game, d, false, _portsOp(d, program, proof));
    }

    /// @inheritdoc IJudge
    function proveToken(Dispute calldata d, Program calldata program, TokenProof calldata proof) external {
        bytes32 game = _challengersMove(d);
        Programs.Layout memory layout = Layouts.resolve(registry, d, program);
        if (layout.kind != Programs.Kind.Step) revert BadPlace();
        bytes32 randomness = registry.roundOf(d.claim.base).randomness;
        if (!Dataset.isWrong(d, program.suite, randomness, proof)) revert NothingWrong();
        _end(game, d, false, ClaimLib.NO_OP);
    }

    /// @inheritdoc IJudge
    function proveCount(Dispute calldata d, Program calldata program, CountProof calldata proof) external {
        bytes32 game = _challengersMove(d);
        Programs.Layout memory layout = Layouts.resolve(registry, d, program);
        uint256 claims = layout.inputs / layout.tensors - 2;
        if (layout.kind != Programs.Kind.Outer || proof.port.port != layout.inputs - 1) revert BadPlace();
        // slither-disable-next-line unused-return
        Ports.requirePort(d, layout, layout.ops + proof.port.port, proof.port);
        _requireFinal(d, claims, proof.index, proof.port);
        Proofs.requireLeaf(proof.port.output.root, 8 * claims, proof.leaf, 2);
        uint256 at = 8 * proof.index;
        if (proof.leaf.index != at / Proofs.LEAF_BYTES) revert BadPlace();
        uint256 committed = _int64(proof.leaf.data, at % Proofs.LEAF_BYTES);
        Claim calldata source = proof.port.source;
        if (committed == Rewards.updateWeight(source.steps, _ageOf(source))) revert NothingWrong();
        _end(game, d, false, ClaimLib.NO_OP);
    }

    /// @inheritdoc IJudge
    function proveContext(Dispute calldata d, Program calldata program, ContextProof calldata proof) external {
        bytes32 game = _challengersMove(d);
        if (Layouts.resolve(registry, d, program).kind != Programs.Kind.Answer) revert BadPlace();
        if (!Answers.isWrong(d, program.suite.length, proof)) revert NothingWrong();
        _end(game, d, false, ClaimLib.NO_OP);
    }

    /// @inheritdoc IJudge
    function demand(Dispute calldata d, Program calldata program, Demand calldata wanted) external {
        bytes32 game = _challengersMove(d);
        (uint256 count, uint256 length) = Ports.below(d, Layouts.resolve(registry, d, program), wanted);
        uint64 deadline = _passTurn(game, true);
        _demands[game] = keccak256(abi.encode(wanted.node, count, length));
        emit Demanded(
            game,
            d.claim.node,
            wanted.tree,
            wanted.op,
            wanted.set,
            wanted.level,
            wanted.index,
            wanted.node,
            count,
            length,
            deadline
        );
    }

    /// @inheritdoc IJudge
    function repoint(Dispute calldata d, uint32 step) external {
        bytes32 game = _challengersMove(d);
        _forget(game);
        emit GameMoved(game, step);
        registry.repoint(d.claim, d.challenger, step);
    }

    /// @dev An update in an outer step is the one of a final claim of the round.
    function _checkUpdate(Dispute calldata d, Programs.Layout memory layout, PortProof calldata proof) private view {
        if (proof.port >= layout.inputs - 1) revert BadPlace();
        bytes memory head = Ports.requirePort(d, layout, layout.ops + proof.port, proof);
        uint256 number = proof.port / layout.tensors - 2;
        _requireFinal(d, layout.inputs / layout.tensors - 2, number, proof);
        uint256 tensor = proof.port % layout.tensors;
        Proofs.requirePath(proof.source.updateRoot, 0, 0, tensor, layout.tensors, proof.path, 2);
        if (proof.path.leaf == Ports.tensorLeaf(head, proof.output.root)) revert NothingWrong();
    }

    /// @dev `proof.source` is final claim `number` of the round; the OUTER claim's update root is the hash of them all.
    function _requireFinal(Dispute calldata d, uint256 claims, uint256 number, PortProof calldata proof) private view {
        bytes32 set = 0;
        for (uint256 i = 0; i < proof.finals.length; ++i) {
            set = keccak256(abi.encode(set, proof.finals[i]));
        }
        if (proof.finals.length != claims || set != d.claim.updateRoot) revert BadPlace();
        if (number >= claims || registry.hashClaim(proof.source) != proof.finals[number]) revert BadPlace();
    }

    /// @dev Seconds from the opening of the round that a claim's work began in to that of its own; 0 on time.
    function _ageOf(Claim calldata claim) private view returns (uint256) {
        if (claim.base == claim.round) return 0;
        return registry.roundOf(claim.round).openedAt - registry.roundOf(claim.base).openedAt;
    }

    /// @dev The op that a port's tensor comes from.
    function _portsOp(Dispute calldata d, Program calldata program, PortProof calldata proof)
        private
        pure
        returns (uint32)
    {
        return _opOf(d, program, uint32(bytes4(proof.data[:4])));
    }

    /// @dev The op for {IWorkRegistry.rule}: ops of the update come after those of the step.
    function _opOf(Dispute calldata d, Program calldata program, uint32 op) private pure returns (uint32) {
        if (d.claim.kind != ClaimLib.TRAIN) return ClaimLib.NO_OP;
        // A suite's trees, and so its ops, are counted by 32 bits.
        // forge-lint: disable-next-line(unsafe-typecast)
        return d.step == d.claim.steps ? uint32(program.suite.stepOps) + op : op;
    }

    /// @dev Hands this call's arguments on to {IScalar.isWrong}, which takes the same ones: encoding them anew would cost
    /// more than to judge them.
    function _isWrong() private view returns (bool) {
        bytes memory message = abi.encodePacked(IScalar.isWrong.selector, msg.data[4:]);
        (bool ok, bytes memory result) = address(SCALAR).staticcall(message);
        if (ok) return abi.decode(result, (bool));
        assembly ("memory-safe") {
            revert(add(result, 32), mload(result))
        }
    }

    /// @dev A little-endian int64 that is not negative, or more than any weight.
    function _int64(bytes calldata data, uint256 at) private pure returns (uint256 value) {
        for (uint256 i = 8; i != 0; --i) {
            value = (value << 8) | uint8(data[at + i - 1]);
        }
    }
}
