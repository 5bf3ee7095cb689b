// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { IRegistryErrors } from "../../src/interfaces/IRegistryErrors.sol";
import { IWorkRegistry } from "../../src/interfaces/IWorkRegistry.sol";
import { Claim, ClaimLib } from "../../src/libraries/ClaimLib.sol";
import { Rules } from "../../src/libraries/Rules.sol";
import { QuorumFixture } from "../utils/QuorumFixture.sol";

/// @notice Attacks by claims of work from an earlier round, one a test. alice leads the quorum of alice, bob and carol.
contract LateAttacksTest is QuorumFixture {
    function _refused(Claim memory c, bytes memory reason) private {
        vm.expectRevert(reason);
        _post(c);
    }

    function _claimed(uint64 base) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IRegistryErrors.AlreadyClaimed.selector, base);
    }

    /// @dev A round that nobody claims work in, and the next one open.
    function _emptyRound() private {
        registry.openRound();
        _afterWindow();
        registry.openRound();
    }

    /// @dev Makes `c` final in its round, and opens the next one.
    function _finalAndNext(Claim memory c) private {
        _afterWindow();
        registry.finalise(c);
        _skip(TRAIN_TIME + 1);
        registry.openRound();
    }

    function test_attack_base_that_nobody_keeps() public {
        registry.openRound();
        for (uint256 i = 0; i <= Rules.LATE_ROUNDS; ++i) {
            _afterWindow();
            registry.openRound();
        }
        _refused(_late(dave, STEPS, 1), _wrongBase(1));
        _post(_late(dave, STEPS, 2));
    }

    function test_attack_same_work_on_time_and_late() public {
        _finalAndNext(_posted(dave, STEPS));
        _refused(_late(dave, STEPS, 1), _claimed(1));
        // Nor fewer steps of it, nor in any later round.
        _refused(_late(dave, STEPS - 1, 1), _claimed(1));
        _afterWindow();
        registry.openRound();
        _refused(_late(dave, STEPS, 1), _claimed(1));
        _post(_late(dave, STEPS, 2));
    }

    function test_attack_same_work_late_while_its_claim_is_open() public {
        Claim memory c = _posted(dave, STEPS);
        _skip(TRAIN_TIME + WINDOW + 1);
        // The round does not end before its claim does, so no later one can take the work meanwhile.
        vm.expectRevert(_phaseError(IWorkRegistry.Phase.Settle));
        registry.openRound();
        registry.finalise(c);
        _skip(TRAIN_TIME + 1);
        registry.openRound();
        _post(_train(dave, STEPS));
        _refused(_late(dave, STEPS, 1), _claimed(1));
    }

    function test_attack_same_work_late_twice() public {
        _emptyRound();
        _finalAndNext(_postedLate(1));
        _refused(_late(dave, STEPS, 1), _claimed(1));
        // And not within one round: the slot is taken, and after a loss the round is closed to the node.
        Claim memory c = _postedLate(2);
        _refused(_late(dave, STEPS - 1, 2), abi.encodeWithSelector(IRegistryErrors.SlotBusy.selector));
        _loseBySilence(c, bob);
        _refused(_train(dave, STEPS), abi.encodeWithSelector(IRegistryErrors.LostThisRound.selector, 3));
        _afterWindow();
        registry.openRound();
        _refused(_late(dave, STEPS, 2), _claimed(2));
    }

    function _postedLate(uint64 base) private returns (Claim memory c) {
        c = _late(dave, STEPS, base);
        _post(c);
    }

    function test_attack_same_work_late_after_it_was_lost() public {
        Claim memory c = _posted(dave, STEPS);
        _loseBySilence(c, bob);
        _afterWindow();
        registry.openRound();
        _refused(_late(dave, STEPS, 1), _claimed(1));
    }

    function test_attack_same_work_late_after_an_outer_step_was_lost() public {
        Claim memory c = _posted(dave, STEPS);
        _afterWindow();
        registry.finalise(c);
        Claim memory outer = _outer(dave, keccak256("bad"));
        _post(outer);
        _loseBySilence(outer, bob);
        _skip(TRAIN_TIME + 1);
        registry.openRound();
        _refused(_late(dave, STEPS, 1), _claimed(1));
    }

    function test_attack_older_base_after_a_newer_one() public {
        _emptyRound();
        _finalAndNext(_postedThis(_train(dave, STEPS)));
        _refused(_late(dave, STEPS, 1), _claimed(2));
        _finalAndNext(_postedThis(_train(dave, STEPS)));
        for (uint64 base = 1; base < 4; ++base) {
            _refused(_late(dave, STEPS, base), _claimed(3));
        }
    }

    function _postedThis(Claim memory c) private returns (Claim memory) {
        _post(c);
        return c;
    }

    function testFuzz_attack_base_out_of_range(uint64 base) public {
        _emptyRound();
        Claim memory c = _train(dave, STEPS);
        if (base == 1 || base == 2) return;
        c.base = base;
        _refused(c, _wrongBase(base));
        c.startRoot = 0;
        _refused(c, _wrongBase(base));
    }

    function test_attack_base_out_of_range_of_no_terms() public {
        // Round 0 has no terms, and nor has a round that is still to come.
        _emptyRound();
        Claim memory c = _train(dave, STEPS);
        (c.base, c.startRoot, c.programHash, c.dataRoot, c.layerCount) = (0, 0, 0, 0, 0);
        _refused(c, _wrongBase(0));
        (c.round, c.base) = (7, 6);
        _refused(c, _wrongBase(6));
        c = _late(dave, STEPS, 2);
        c.round = 3;
        _refused(c, _wrongBase(2));
    }

    function test_attack_base_whose_start_is_another() public {
        Claim memory c = _posted(dave, STEPS);
        _endRound(c, keccak256("two"));
        registry.openRound();
        // The start of the round it is posted in, with the age and data of an older one; and the other way round.
        c = _train(carol, STEPS);
        c.base = 1;
        _refused(c, _wrongBase(1));
        c = _late(carol, STEPS, 1);
        c.base = 2;
        _refused(c, abi.encodeWithSelector(IRegistryErrors.WrongStartRoot.selector, c.startRoot, keccak256("two")));
    }

    function test_attack_base_with_other_terms_of_its_own() public {
        _emptyRound();
        Claim memory c = _late(dave, STEPS, 1);
        c.programHash = keccak256("mine");
        _refused(c, _wrongBase(1));
        c = _late(dave, STEPS, 1);
        c.dataRoot = keccak256("mine");
        _refused(c, _wrongBase(1));
        c = _late(dave, STEPS, 1);
        c.layerCount -= 1;
        _refused(c, _wrongBase(1));
        c = _late(dave, STEPS, 1);
        c.firstLayer = 1;
        _refused(c, abi.encodeWithSelector(IRegistryErrors.WrongLayers.selector, 1, 6));
        c = _late(dave, STEPS, 1);
        c.steps = 1001;
        _refused(c, abi.encodeWithSelector(IRegistryErrors.WrongSteps.selector, 1001, 1000));
        c = _late(dave, STEPS, 1);
        c.tokens += 1;
        _refused(c, abi.encodeWithSelector(IRegistryErrors.WrongTokens.selector, c.tokens, c.tokens - 1));
    }

    function test_attack_late_claim_of_a_round_that_is_over() public {
        _emptyRound();
        Claim memory c = _late(dave, STEPS, 1);
        _skip(TRAIN_TIME + 1);
        _refused(c, _phaseError(IWorkRegistry.Phase.Window));
        _skip(WINDOW);
        registry.openRound();
        _refused(c, _phaseError(IWorkRegistry.Phase.Closed));
    }

    function test_attack_late_outer_claim() public {
        _emptyRound();
        Claim memory train = _train(dave, STEPS);
        _post(train);
        _afterWindow();
        registry.finalise(train);
        Claim memory c = _outer(carol, keccak256("mine"));
        (c.base, c.startRoot) = (1, registry.roundOf(1).startRoot);
        _refused(c, _wrongBase(1));
        c.kind = ClaimLib.ANSWER;
        _refused(c, _wrongBase(1));
        c.base = 2;
        _refused(c, abi.encodeWithSelector(IRegistryErrors.UnknownKind.selector, ClaimLib.ANSWER));
    }

    function test_attack_late_claim_of_a_quorum() public {
        uint64 session = _registerLong();
        _emptyRound();
        Claim memory c = _late(alice, STEPS, 1);
        vm.expectRevert(_wrongBase(1));
        vm.prank(alice);
        registry.postFor(c, session);
    }

    function _registerLong() private returns (uint64 session) {
        uint64 until = uint64(time) + 4 * HOUR;
        session = quorums.register(alice, _members(), until, _consents(_members(), until));
    }

    function test_attack_quorum_work_again_by_its_leader_or_a_member() public {
        Claim memory c = _postFor(_registerLong());
        _finalAndNext(c);
        // The quorum's claim was its leader's, whose name the batches are drawn by.
        _refused(_late(alice, STEPS, 1), _claimed(1));
        // A member can claim work of its own only: as the leader's it is not the member's to post,
        c = _late(alice, STEPS, 1);
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.NotClaimNode.selector, bob, alice));
        vm.prank(bob);
        registry.post(c);
        // and in its own name the work is of other batches: the leader's steps lose it to a challenge.
        Claim memory stolen = _late(bob, STEPS, 1);
        _post(stolen);
        _ruledLost(stolen);
        vm.assertEq(uint256(_account(bob).active), STAKE - 2 * BOND);
    }

    /// @dev dave proves a token of step 1 wrong.
    function _ruledLost(Claim memory c) private {
        _challenge(dave, c, 1);
        _answer(c, dave);
        scripted.decide(IWorkRegistry(address(registry)), c, dave, false);
    }

    function test_attack_late_claim_swaps_its_base_when_challenged() public {
        _emptyRound();
        _afterWindow();
        registry.openRound();
        Claim memory c = _postedLate(1);
        _challenge(bob, c, 1);
        IWorkRegistry.Opening memory previous = _opening(dave, STEPS, 0);
        IWorkRegistry.Opening memory opened = _opening(dave, STEPS, 1);
        c.base = 2;
        vm.expectRevert(_notOpen(c));
        _send(c, bob, previous, opened);
    }
}
