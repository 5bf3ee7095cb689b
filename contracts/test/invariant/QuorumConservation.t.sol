// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { IEmission } from "../../src/interfaces/IEmission.sol";
import { IQuorums } from "../../src/interfaces/IQuorums.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { QuorumHandler } from "./QuorumHandler.sol";

/// @notice What holds of quorums after any sequence of the handler's actions.
contract QuorumConservationTest {
    QuorumHandler internal handler;
    IStaking internal staking;
    IEmission internal emission;
    IQuorums internal quorums;

    function setUp() public {
        handler = new QuorumHandler();
        handler.init();
        (staking, emission, quorums) = handler.parts();
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    /// @notice forge reads here whom to call.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// @notice forge reads here which functions to call; verbs that move a session on are listed more than once.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[20] memory verbs = [
            handler.register.selector,
            handler.register.selector,
            handler.register.selector,
            handler.open.selector,
            handler.open.selector,
            handler.post.selector,
            handler.post.selector,
            handler.post.selector,
            handler.post.selector,
            handler.rule.selector,
            handler.silence.selector,
            handler.finalise.selector,
            handler.pay.selector,
            handler.blame.selector,
            handler.blameLeader.selector,
            handler.dissolve.selector,
            handler.leave.selector,
            handler.releaseBond.selector,
            handler.restake.selector,
            handler.pass.selector
        ];
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), new bytes4[](verbs.length));
        for (uint256 i = 0; i < verbs.length; ++i) {
            targets[0].selectors[i] = verbs[i];
        }
    }

    function invariant_locks_are_the_bonds_of_live_sessions_and_claims() public view {
        for (uint256 i = 0; i < 3; ++i) {
            address actor = handler.actor(i);
            vm.assertEq(staking.accountOf(actor).locked, handler.expectedLock(actor), "2B a session and claim");
        }
        vm.assertTrue(handler.busyIsRight(), "busy sessions are those with a claim to settle");
    }

    /// @notice forge calls this at the end of every sequence.
    function afterInvariant() external {
        _nothing_is_stranded();
    }

    function _nothing_is_stranded() private {
        handler.drain();
        for (uint256 i = 0; i < 3; ++i) {
            vm.assertEq(uint256(staking.accountOf(handler.actor(i)).locked), 0, "stranded");
        }
        vm.assertEq(emission.accruedOf(address(quorums)), 0);
    }

    /// @notice The handler reaches every verb, so the invariants above are not empty words.
    function test_quorum_handler_reaches_every_verb() public {
        uint256 seed = 3;
        for (uint256 i = 0; i < 1500; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            _act(seed % 20, seed >> 16, seed >> 80);
            if (i % 50 == 0) invariant_locks_are_the_bonds_of_live_sessions_and_claims();
        }
        bytes4[14] memory verbs = [
            handler.register.selector,
            handler.open.selector,
            handler.post.selector,
            handler.rule.selector,
            handler.silence.selector,
            handler.finalise.selector,
            handler.pay.selector,
            handler.blame.selector,
            handler.blameLeader.selector,
            handler.dissolve.selector,
            handler.leave.selector,
            handler.releaseBond.selector,
            handler.restake.selector,
            handler.pass.selector
        ];
        for (uint256 i = 0; i < verbs.length; ++i) {
            vm.assertTrue(handler.done(verbs[i]) != 0, string.concat("never reached: ", vm.toString(i)));
        }
        invariant_locks_are_the_bonds_of_live_sessions_and_claims();
        _nothing_is_stranded();
    }

    function _act(uint256 verb, uint256 a, uint256 b) private {
        if (verb < 3) handler.register(a, b, a >> 32);
        else if (verb < 5) handler.open();
        else if (verb < 9) _post(a, b);
        else if (verb == 9) handler.rule(a, b);
        else if (verb == 10) handler.silence(a);
        else if (verb == 11) handler.finalise(a);
        else if (verb == 12) handler.pay(a);
        else if (verb == 13) handler.blame(a);
        else if (verb == 14) handler.blameLeader(a);
        else if (verb == 15) handler.dissolve(a);
        else if (verb == 16) handler.leave(a, b);
        else if (verb == 17) handler.releaseBond(a);
        else if (verb == 18) handler.restake(a);
        else handler.pass(a);
    }

    /// @dev Some claims are ruled on at once: their window is short beside the time that the other verbs pass.
    function _post(uint256 a, uint256 b) private {
        handler.post(a);
        if (b % 4 == 0) handler.rule(a, b >> 8);
        if (b % 8 == 0) handler.blame(a);
        else if (b % 8 == 4) handler.blameLeader(a);
    }
}
