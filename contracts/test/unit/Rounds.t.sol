// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { IRegistryErrors } from "../../src/interfaces/IRegistryErrors.sol";
import { IWorkRegistry } from "../../src/interfaces/IWorkRegistry.sol";
import { Claim, ClaimLib } from "../../src/libraries/ClaimLib.sol";
import { ClaimState } from "../../src/libraries/NodeSlot.sol";
import { Fixture } from "../utils/Fixture.sol";

/// @notice openRound, post and finalise, with every revert in them.
contract RoundsTest is Fixture {
    bytes32 internal constant NEXT = keccak256("next");

    // --- openRound ---

    function test_open_round() public {
        vm.roll(77);
        bytes32 randomness = keccak256(abi.encodePacked(block.prevrandao, blockhash(76), uint64(1)));
        vm.expectEmit(address(registry));
        emit IWorkRegistry.RoundOpened(
            1, keccak256("genesis"), randomness, uint64(time), uint64(time + TRAIN_TIME), 0, 0
        );
        vm.assertEq(registry.openRound(), 1);
        IWorkRegistry.Round memory r = registry.roundOf(1);
        vm.assertEq(r.startRoot, keccak256("genesis"));
        vm.assertEq(r.randomness, randomness);
        vm.assertEq(r.claimDeadline, time + TRAIN_TIME);
        vm.assertEq(registry.currentRound(), 1);
        _assertPhase(IWorkRegistry.Phase.Train);
    }

    function test_phases_follow_the_clock() public {
        vm.assertEq(uint256(registry.phaseOf(1)), uint256(IWorkRegistry.Phase.None));
        Claim memory c = _posted(alice, 3);
        _skip(TRAIN_TIME);
        _assertPhase(IWorkRegistry.Phase.Train);
        _skip(1);
        _assertPhase(IWorkRegistry.Phase.Window);
        _skip(WINDOW - 1);
        _assertPhase(IWorkRegistry.Phase.Window);
        _skip(1);
        _assertPhase(IWorkRegistry.Phase.Settle);
        registry.finalise(c);
        _assertPhase(IWorkRegistry.Phase.Outer);
        Claim memory outer = _outer(bob, NEXT);
        _post(outer);
        _assertPhase(IWorkRegistry.Phase.OuterWindow);
        _skip(WINDOW + 1);
        registry.finalise(outer);
        _assertPhase(IWorkRegistry.Phase.Closed);
    }

    function test_revert_open_while_a_round_runs() public {
        registry.openRound();
        vm.expectRevert(_phaseError(IWorkRegistry.Phase.Train));
        registry.openRound();
        _skip(TRAIN_TIME + 1);
        vm.expectRevert(_phaseError(IWorkRegistry.Phase.Window));
        registry.openRound();
    }

    function test_round_without_final_claim_closes_with_the_same_root() public {
        Claim memory c = _posted(alice, 3);
        _loseBySilence(c, bob);
        _afterWindow();
        vm.expectEmit(address(registry));
        emit IWorkRegistry.RoundClosed(1, keccak256("genesis"));
        registry.openRound();
        vm.assertEq(registry.globalRoot(), keccak256("genesis"));
        vm.assertTrue(registry.roundOf(1).closed);
        vm.assertEq(registry.roundOf(2).startRoot, keccak256("genesis"));
    }

    // --- post ---

    function test_post_train() public {
        registry.openRound();
        Claim memory c = _train(alice, 10);
        vm.expectEmit(address(registry));
        emit IWorkRegistry.ClaimPosted(1, alice, registry.hashClaim(c), c);
        _post(c);
        _assertState(c, ClaimState.Posted, 0);
        vm.assertEq(_lockedOf(alice), 2 * BOND);
        vm.assertEq(registry.roundOf(1).unresolved, 1);
    }

    function test_post_at_the_deadline() public {
        registry.openRound();
        _skip(TRAIN_TIME);
        _post(_train(alice, 1));
    }

    function _refused(Claim memory c, bytes memory reason) internal {
        vm.expectRevert(reason);
        vm.prank(alice);
        registry.post(c);
    }

    function test_revert_post_fields() public {
        registry.openRound();
        Claim memory c = _train(bob, 10);
        _refused(c, abi.encodeWithSelector(IRegistryErrors.NotClaimNode.selector, alice, bob));
        c = _train(alice, 10);
        c.kind = 3;
        _refused(c, abi.encodeWithSelector(IRegistryErrors.UnknownKind.selector, 3));
        c = _train(alice, 10);
        c.startRoot = NEXT;
        _refused(c, abi.encodeWithSelector(IRegistryErrors.WrongStartRoot.selector, NEXT, keccak256("genesis")));
        c = _train(alice, 10);
        c.programHash = NEXT;
        _refused(c, abi.encodeWithSelector(IRegistryErrors.WrongProgram.selector, NEXT, keccak256("program")));
        c = _train(alice, 10);
        c.dataRoot = NEXT;
        _refused(c, abi.encodeWithSelector(IRegistryErrors.WrongData.selector, NEXT, keccak256("data")));
        c = _train(alice, 10);
        c.firstLayer = 1;
        _refused(c, abi.encodeWithSelector(IRegistryErrors.WrongLayers.selector, 1, 6));
        c = _train(alice, 10);
        c.layerCount = 5;
        _refused(c, abi.encodeWithSelector(IRegistryErrors.WrongLayers.selector, 0, 5));
        c = _train(alice, 10);
        c.tokens += 1;
        _refused(c, abi.encodeWithSelector(IRegistryErrors.WrongTokens.selector, 10_241, 10_240));
        c = _train(alice, 10);
        c.steps = 0;
        _refused(c, abi.encodeWithSelector(IRegistryErrors.WrongSteps.selector, 0, 1000));
        c.steps = 1001;
        _refused(c, abi.encodeWithSelector(IRegistryErrors.WrongSteps.selector, 1001, 1000));
    }

    function test_revert_post_to_an_unknown_round() public {
        Claim memory c = _train(alice, 10);
        c.startRoot = 0;
        _refused(c, abi.encodeWithSelector(IRegistryErrors.WrongLayers.selector, 0, 6)); // such a round has none
        c.layerCount = 0;
        _refused(c, _phaseError(IWorkRegistry.Phase.None));
    }

    function test_revert_post_after_the_deadline() public {
        registry.openRound();
        _skip(TRAIN_TIME + 1);
        _refused(_train(alice, 10), _phaseError(IWorkRegistry.Phase.Window));
    }

    function test_revert_second_claim_while_the_first_is_open() public {
        _posted(alice, 10);
        _refused(_train(alice, 9), abi.encodeWithSelector(IRegistryErrors.SlotBusy.selector));
    }

    function test_revert_post_after_losing_in_the_round() public {
        Claim memory c = _posted(alice, 10);
        _loseBySilence(c, bob);
        _refused(_train(alice, 9), abi.encodeWithSelector(IRegistryErrors.LostThisRound.selector, 1));
        _afterWindow();
        registry.openRound();
        _post(_train(alice, 9));
    }

    function test_bond_stays_locked_for_the_next_claim() public {
        Claim memory c = _wholeRound(alice);
        _assertState(c, ClaimState.Final, 0);
        vm.assertEq(_lockedOf(alice), 2 * BOND);
        _posted(alice, 4);
        vm.assertEq(_lockedOf(alice), 2 * BOND);
    }

    // --- finalise ---

    /// @dev A round in which `node` makes the TRAIN claim and bob the OUTER claim.
    function _wholeRound(address node) internal returns (Claim memory c) {
        c = _posted(node, 3);
        _afterWindow();
        registry.finalise(c);
        Claim memory outer = _outer(bob, NEXT);
        _post(outer);
        _skip(WINDOW + 1);
        registry.finalise(outer);
    }

    function test_finalise_train() public {
        Claim memory a = _posted(alice, 100);
        Claim memory b = _train(bob, 50);
        _post(b);
        _afterWindow();
        bytes32 first = keccak256(abi.encodePacked(bytes32(0), registry.hashClaim(b)));
        uint256 reward = registry.quoteReward(bob, 50);
        vm.assertEq(reward, 0.264e18); // 50 * 6 * 0.0005 * 1.6 * 1.1
        vm.expectEmit(address(registry));
        emit IWorkRegistry.ClaimFinal(1, bob, registry.hashClaim(b), first, reward);
        registry.finalise(b);
        registry.finalise(a);
        IWorkRegistry.Round memory r = registry.roundOf(1);
        vm.assertEq(r.finalSet, keccak256(abi.encodePacked(first, registry.hashClaim(a))));
        vm.assertEq(r.finals, 2);
        vm.assertEq(r.unresolved, 0);
        vm.assertEq(emission.accruedOf(bob), reward);
        (uint32 finals, uint64 lostRound, uint64 base) = registry.recordOf(bob);
        vm.assertEq(finals, 1);
        vm.assertEq(lostRound, 0);
        vm.assertEq(base, 1);
        // Reputation counts from the next claim on.
        vm.assertEq(registry.quoteReward(bob, 50), reward * 1.001e18 / 1e18);
        vm.prank(bob);
        vm.assertEq(emission.collect(), reward);
        vm.assertEq(token.balanceOf(bob), STAKE + reward);
    }

    function test_finalise_outer_sets_the_next_root() public {
        _wholeRound(alice);
        vm.assertEq(registry.globalRoot(), NEXT);
        vm.assertTrue(registry.roundOf(1).closed);
        (uint32 finals,,) = registry.recordOf(bob);
        vm.assertEq(finals, 0); // an OUTER claim earns no reputation
        vm.assertEq(emission.accruedOf(bob), 0);
        registry.openRound();
        vm.assertEq(registry.roundOf(2).startRoot, NEXT);
    }

    function test_revert_finalise_in_the_window() public {
        Claim memory c = _posted(alice, 3);
        _skip(TRAIN_TIME + WINDOW);
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.TooEarly.selector, time));
        registry.finalise(c);
    }

    function test_revert_finalise_while_challenged() public {
        Claim memory c = _posted(alice, 3);
        _skip(TRAIN_TIME + WINDOW);
        _challenge(bob, c, 0);
        _skip(1);
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.ChallengesOpen.selector, 1));
        registry.finalise(c);
        _answer(c, bob);
        registry.finalise(c);
    }

    function test_revert_finalise_twice_or_unknown() public {
        Claim memory c = _posted(alice, 3);
        _afterWindow();
        registry.finalise(c);
        bytes memory notOpen = _notOpen(c);
        vm.expectRevert(notOpen);
        registry.finalise(c);
        c.endRoot = NEXT;
        vm.expectRevert(_notOpen(c));
        registry.finalise(c);
    }

    // --- OUTER claims ---

    /// @dev Alice's TRAIN claim is final: the outer phase.
    function _outerPhase() internal {
        Claim memory c = _posted(alice, 3);
        _afterWindow();
        registry.finalise(c);
    }

    function test_revert_outer_in_other_phases() public {
        _posted(alice, 3);
        Claim memory outer = _outer(bob, NEXT);
        vm.expectRevert(_phaseError(IWorkRegistry.Phase.Train));
        _post(outer);
        _afterWindow();
        vm.expectRevert(_phaseError(IWorkRegistry.Phase.Settle));
        _post(outer);
    }

    function test_revert_outer_fields() public {
        _outerPhase();
        bytes32 finalSet = registry.roundOf(1).finalSet;
        Claim memory c = _outer(alice, NEXT);
        c.steps = 2;
        _refused(c, abi.encodeWithSelector(IRegistryErrors.WrongSteps.selector, 2, 1));
        c = _outer(alice, NEXT);
        c.tokens = 1;
        _refused(c, abi.encodeWithSelector(IRegistryErrors.WrongTokens.selector, 1, 0));
        c = _outer(alice, NEXT);
        c.updateRoot = NEXT;
        _refused(c, abi.encodeWithSelector(IRegistryErrors.WrongFinalSet.selector, NEXT, finalSet));
        c = _outer(alice, NEXT);
        bytes32 trace = c.traceRoot;
        c.traceRoot = NEXT;
        _refused(c, abi.encodeWithSelector(IRegistryErrors.WrongTrace.selector, NEXT, trace));
    }

    function test_one_outer_claim_at_a_time() public {
        _outerPhase();
        _post(_outer(bob, NEXT));
        _refused(_outer(alice, NEXT), _phaseError(IWorkRegistry.Phase.OuterWindow));
    }

    function test_round_that_nobody_sums_up_closes_with_the_same_root() public {
        _outerPhase();
        bytes32 root = registry.globalRoot();
        _skip(TRAIN_TIME);
        _assertPhase(IWorkRegistry.Phase.Outer);
        _skip(1);
        _assertPhase(IWorkRegistry.Phase.Closed);
        Claim memory late = _outer(bob, NEXT);
        vm.expectRevert(_phaseError(IWorkRegistry.Phase.Closed));
        _post(late);
        registry.openRound();
        vm.assertEq(registry.globalRoot(), root);
        vm.assertEq(registry.roundOf(2).startRoot, root);
        vm.assertTrue(registry.roundOf(1).closed);
    }

    function test_lost_outer_claim_gives_others_the_full_time_again() public {
        _outerPhase();
        Claim memory wrong = _outer(bob, keccak256("wrong"));
        _post(wrong);
        _loseBySilence(wrong, carol);
        _skip(TRAIN_TIME);
        _assertPhase(IWorkRegistry.Phase.Outer);
        _post(_outer(alice, NEXT));
    }

    function test_lost_outer_claim_reopens_the_outer_phase() public {
        _outerPhase();
        Claim memory wrong = _outer(bob, keccak256("wrong"));
        _post(wrong);
        _loseBySilence(wrong, carol);
        _assertPhase(IWorkRegistry.Phase.Outer);
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.LostThisRound.selector, 1));
        _post(wrong);
        Claim memory right = _outer(alice, NEXT);
        _post(right);
        _skip(WINDOW + 1);
        registry.finalise(right);
        vm.assertEq(registry.globalRoot(), NEXT);
    }

    function test_outer_claim_has_its_own_window() public {
        _outerPhase();
        Claim memory outer = _outer(bob, NEXT);
        _post(outer);
        _skip(WINDOW);
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.TooEarly.selector, time));
        registry.finalise(outer);
        _challenge(alice, outer, 0);
        IWorkRegistry.Opening memory leaf = IWorkRegistry.Opening({
            stateRoot: NEXT, batchRoot: outer.updateRoot, lossBits: 0, proof: new bytes32[](0)
        });
        _send(outer, alice, leaf, leaf);
        _skip(1);
        registry.finalise(outer);
    }

    // --- releaseBond, announce, construction ---

    function test_release_bond() public {
        _wholeRound(alice);
        vm.expectEmit(address(registry));
        emit IWorkRegistry.BondReleased(alice);
        vm.prank(alice);
        registry.releaseBond();
        vm.assertEq(_lockedOf(alice), 0);
        vm.prank(alice);
        staking.thaw(STAKE);
    }

    function test_revert_release_without_final_claim() public {
        vm.expectRevert(IRegistryErrors.NoBond.selector);
        vm.prank(alice);
        registry.releaseBond();
        Claim memory c = _posted(alice, 3);
        vm.expectRevert(IRegistryErrors.NoBond.selector);
        vm.prank(alice);
        registry.releaseBond();
        _loseBySilence(c, bob);
        vm.expectRevert(IRegistryErrors.NoBond.selector);
        vm.prank(alice);
        registry.releaseBond();
    }

    function test_announce() public {
        string memory uri = "http://node.example:8420";
        vm.expectEmit(address(registry));
        emit IWorkRegistry.Announced(alice, uri);
        vm.prank(alice);
        registry.announce(uri);
        vm.prank(alice);
        registry.announce(string(new bytes(256)));
    }

    function test_revert_announce() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.UriTooLong.selector, 257));
        vm.prank(alice);
        registry.announce(string(new bytes(257)));
        vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.NotStaker.selector, address(this)));
        registry.announce("http://stranger.example");
    }

    function test_parameters_are_readable() public view {
        IWorkRegistry.Parameters memory p = registry.parameters();
        vm.assertEq(keccak256(abi.encode(p)), keccak256(abi.encode(_config().parameters)));
        vm.assertEq(address(registry.staking()), address(staking));
        vm.assertEq(address(registry.emission()), address(emission));
    }

    function test_hash_is_the_eip712_digest() public {
        registry.openRound();
        Claim memory c = _train(alice, 3);
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("ponw"),
                keccak256("1"),
                block.chainid,
                address(registry)
            )
        );
        bytes32 hashStruct = keccak256(abi.encode(ClaimLib.TYPEHASH, c));
        vm.assertEq(registry.hashClaim(c), keccak256(abi.encodePacked(hex"1901", domain, hashStruct)));
    }

    function testFuzz_any_changed_field_is_another_claim(uint256 word, uint256 bit) public {
        Claim memory c = _posted(alice, 3);
        _afterWindow();
        uint8[14] memory width = [8, 64, 160, 0, 0, 0, 0, 0, 0, 32, 64, 16, 16, 64];
        uint256 index = word % 14;
        uint256 bits = width[index] == 0 ? 256 : width[index];
        assembly ("memory-safe") {
            let field := add(c, mul(32, index))
            mstore(field, xor(mload(field), shl(mod(bit, bits), 1)))
        }
        vm.expectRevert(_notOpen(c));
        registry.finalise(c);
    }
}
