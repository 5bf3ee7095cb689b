// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { IGovernor } from "@openzeppelin/contracts/governance/IGovernor.sol";
import { vm } from "../../script/Vm.sol";
import { GrowthGovernor } from "../../src/GrowthGovernor.sol";
import { StakeGovernor } from "../../src/StakeGovernor.sol";
import { Change, Growth, IVocabulary } from "../../src/interfaces/IVocabulary.sol";
import { IGrowthGovernor } from "../../src/interfaces/IGrowthGovernor.sol";
import { IRegistryErrors } from "../../src/interfaces/IRegistryErrors.sol";
import { Claim } from "../../src/libraries/ClaimLib.sol";
import { Rewards } from "../../src/libraries/Rewards.sol";
import { GrowthFixture } from "../utils/GrowthFixture.sol";

/// @notice Growths of layers: from the proposal to rounds of grown-up layers, and back.
contract GrowthTest is GrowthFixture {
    function _state(uint256 id, IGovernor.ProposalState expected) private view {
        vm.assertEq(uint256(growths.state(id)), uint256(expected), "state of the proposal");
    }

    function _youngHash(uint256 round) private pure returns (bytes32) {
        return _young(0, YOUNG)[round].programHash;
    }

    // --- the whole way ---

    function test_a_growth_from_the_proposal_to_grown_up_layers() public {
        Change memory change = _grow();
        _deepRound("one", 6, 6, 0, keccak256("program"));
        vm.assertEq(_deepened(carol, change), 1);
        _assertPlace(0, 1);
        _deepRound("grows", 6, 9, 0, change.growHash);
        _deepRound("young 0", 9, 9, 3, _youngHash(0));
        _assertPlace(1, 1);
        _deepRound("young 1", 9, 9, 2, _youngHash(1));
        _deepRound("young 2", 9, 9, 1, _youngHash(2));
        _deepRound("grown up", 9, 9, 0, change.programHash);
        registry.openRound();
        _assertDepth(9, 9, 0);
        (, bytes32 dataRoot) = vocabulary.terms();
        vm.assertEq(dataRoot, keccak256("data"));
    }

    function test_a_round_without_an_outer_step_neither_grows_nor_ages() public {
        Change memory change = _grow();
        _deepened(carol, change);
        for (uint256 i = 0; i < 2; ++i) {
            _open();
            _assertDepth(6, 9, 0);
            vm.assertEq(_programHash(), change.growHash);
            _afterWindow();
        }
        _open();
        _step("grows");
        for (uint256 i = 0; i < 2; ++i) {
            _open();
            _assertDepth(9, 9, 3);
            vm.assertEq(_programHash(), _youngHash(0));
            _afterWindow();
        }
    }

    function test_claims_hold_and_are_paid_by_the_layers_of_their_round() public {
        _deepened(carol, _grow());
        _round("grows");
        vm.assertEq(emission.accruedOf(alice), Rewards.memberShare(3, 6, 16_000, STAKE), "six layers");
        _open();
        Claim memory c = _train(alice, 3);
        vm.assertEq(c.layerCount, 9);
        vm.assertEq(registry.quoteReward(carol, 3), Rewards.memberShare(3, 9, 16_000, STAKE));
        _post(c);
        _afterWindow();
        uint256 before = emission.accruedOf(alice);
        registry.finalise(c);
        vm.assertTrue(emission.accruedOf(alice) - before >= Rewards.memberShare(3, 9, 16_000, STAKE), "nine layers");
    }

    function test_revert_a_claim_of_the_old_layers() public {
        _deepened(carol, _grow());
        _round("grows");
        _open();
        Claim memory c = _train(alice, 3);
        for (uint16 layers = 6; layers < 11; ++layers) {
            if (layers == 9) continue;
            c.layerCount = layers;
            vm.expectRevert(abi.encodeWithSelector(IRegistryErrors.WrongLayers.selector, 0, layers));
            _post(c);
        }
    }

    // --- taken back ---

    function test_an_emergency_takes_a_growth_back_at_any_age() public {
        for (uint256 age = 0; age < YOUNG + 1; ++age) {
            uint256 snapshot = vm.snapshotState();
            Change memory change = _grow();
            _deepened(carol, change);
            _round("grows");
            for (uint256 i = 0; i < age; ++i) {
                _round(keccak256(abi.encode("young", i)));
            }
            uint256 stake = staking.activeOf(carol);
            _takenBack(1, bob);
            vm.assertEq(stake - staking.activeOf(carol), 100 * NEURO, "the proposer is slashed");
            bytes32 shrinks = age < YOUNG ? _young(0, YOUNG)[age].shrinkHash : change.shrinkHash;
            _deepRound("shrinks", 9, 6, uint8(YOUNG - age), shrinks);
            _deepRound("back", 6, 6, 0, keccak256("program"));
            vm.revertToState(snapshot);
        }
    }

    function test_a_growth_taken_back_before_it_was_there() public {
        _deepened(carol, _grow());
        _open();
        _takenBack(1, bob);
        _afterWindow();
        _deepRound("as before", 6, 6, 0, keccak256("program"));
        _open();
        _assertDepth(6, 6, 0);
    }

    function test_a_vocabulary_after_a_growth_and_back_to_grown_up_layers() public {
        Change memory deeper = _grow();
        _deepened(carol, deeper);
        for (uint256 i = 0; i < YOUNG + 2; ++i) {
            _round(keccak256(abi.encode("round", i)));
        }
        Change memory words = _change();
        vm.assertEq(words.parent, 1);
        vm.assertEq(_activated(alice, words), 2);
        _deepRound("words", 9, 9, 0, words.growHash);
        _deepRound("in them", 9, 9, 0, words.programHash);
        _takenBack(2, bob);
        _deepRound("out of them", 9, 9, 0, words.shrinkHash);
        _open();
        _assertPlace(1, 1);
        _assertDepth(9, 9, 0);
        vm.assertEq(_programHash(), deeper.programHash);
    }

    // --- announcement and holders ---

    function test_extended_three_times_and_aborted_for_want_of_holders() public {
        Change memory change = _grow();
        uint256 id = _announced(carol, change);
        vm.assertEq(growths.planOf(id).deadline, time + TEN_MINUTES);
        for (uint8 extensions = 1; extensions < 4; ++extensions) {
            vm.expectRevert(abi.encodeWithSelector(IGrowthGovernor.InGrace.selector, time + TEN_MINUTES));
            _decide(change, carol);
            _skip(TEN_MINUTES);
            vm.expectEmit(address(growths));
            emit IGrowthGovernor.GrowthExtended(id, extensions, uint48(time) + TEN_MINUTES, 6);
            _decide(change, carol);
            _state(id, IGovernor.ProposalState.Queued);
        }
        _skip(TEN_MINUTES);
        vm.expectEmit(address(growths));
        emit IGrowthGovernor.GrowthAborted(id, 6);
        _decide(change, carol);
        _state(id, IGovernor.ProposalState.Canceled);
        _assertPlace(0, 0);
        vm.assertEq(vocabulary.count(), 1);
        _pledgeRefused(id);
        vm.expectRevert(abi.encodeWithSelector(IGrowthGovernor.NotOpen.selector, id));
        _decide(change, carol);
        _deepRound("as ever", 6, 6, 0, keccak256("program"));
    }

    function _pledgeRefused(uint256 id) private {
        vm.expectRevert(abi.encodeWithSelector(IGrowthGovernor.NotOpen.selector, id));
        vm.prank(bob);
        growths.pledge(id, 6, 3, 1);
    }

    function test_an_extension_in_which_the_holders_come() public {
        Change memory change = _grow();
        uint256 id = _announced(carol, change);
        vm.prank(alice);
        growths.pledge(id, 6, 2, 3);
        vm.assertEq(growths.lacking(id), 8);
        _skip(TEN_MINUTES);
        _decide(change, carol);
        vm.prank(bob);
        growths.pledge(id, 8, 1, 4);
        vm.assertEq(growths.lacking(id), 8, "no holder of tier 3");
        vm.prank(carol);
        growths.pledge(id, 7, 2, 1);
        vm.assertEq(growths.lacking(id), 0);
        _skip(TEN_MINUTES);
        _decide(change, carol);
        _state(id, IGovernor.ProposalState.Executed);
        _assertPlace(0, 1);
    }

    function test_a_layer_needs_more_holders_in_a_larger_network() public {
        Change memory change = _grow();
        address[] memory nodes = new address[](5);
        for (uint256 i = 0; i < nodes.length; ++i) {
            nodes[i] = vm.addr(1000 + i);
            _fund(nodes[i]);
        }
        vm.assertEq(growths.replicas(), 1);
        _skip(1);
        uint256 id = _proposeGrowth(carol, change);
        _open();
        Claim[] memory claims = new Claim[](nodes.length);
        for (uint256 i = 0; i < nodes.length; ++i) {
            claims[i] = _train(nodes[i], 3);
            _post(claims[i]);
        }
        _afterWindow();
        for (uint256 i = 0; i < nodes.length; ++i) {
            registry.finalise(claims[i]);
        }
        _skip(2 * TRAIN_TIME);
        _open();
        vm.assertEq(growths.replicas(), 2, "five nodes");
        _pledge(bob, id);
        vm.assertEq(growths.lacking(id), 6);
        _pledge(alice, id);
        vm.assertEq(growths.lacking(id), 0);
    }

    function test_revert_pledges() public {
        uint256 id = _proposeGrowth(carol, _grow());
        vm.startPrank(mallory);
        vm.expectRevert(abi.encodeWithSelector(IGrowthGovernor.NotStaker.selector, mallory));
        growths.pledge(id, 6, 3, 1);
        vm.stopPrank();
        vm.startPrank(bob);
        vm.expectRevert(abi.encodeWithSelector(IGrowthGovernor.NotOpen.selector, id + 1));
        growths.pledge(id + 1, 6, 3, 1);
        uint16[2][5] memory wrong =
            [[uint16(5), 3], [uint16(6), 0], [uint16(6), 4], [uint16(9), 1], [uint16(6), 65_535]];
        for (uint256 i = 0; i < wrong.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IGrowthGovernor.WrongPledge.selector, wrong[i][0], wrong[i][1], 1));
            growths.pledge(id, wrong[i][0], wrong[i][1], 1);
        }
        for (uint8 tier = 0; tier < 7; tier += 6) {
            vm.expectRevert(abi.encodeWithSelector(IGrowthGovernor.WrongPledge.selector, 6, 3, tier));
            growths.pledge(id, 6, 3, tier);
        }
        growths.pledge(id, 6, 3, 1);
        vm.expectRevert(abi.encodeWithSelector(IGrowthGovernor.AlreadyPledged.selector, bob));
        growths.pledge(id, 6, 3, 1);
        vm.stopPrank();
    }

    // --- proposals ---

    function _refused(Change memory change, bytes memory error) private {
        vm.expectRevert(error);
        vm.prank(carol);
        growths.proposeGrowth(change, URI);
    }

    function test_revert_growths_that_do_not_fit_the_model() public {
        uint16[2][5] memory wrong = [[uint16(5), 8], [uint16(6), 8], [uint16(6), 10], [uint16(6), 6], [uint16(9), 12]];
        for (uint256 i = 0; i < wrong.length; ++i) {
            Growth memory growth = _growth();
            (growth.layers, growth.grown) = (wrong[i][0], wrong[i][1]);
            _refused(
                _grow(growth), abi.encodeWithSelector(IGrowthGovernor.WrongDepth.selector, growth.layers, growth.grown)
            );
        }
        Growth memory late = _growth();
        late.time = uint64(time) + 1;
        _refused(_grow(late), abi.encodeWithSelector(IGrowthGovernor.WrongTime.selector, late.time));
        Change memory other = _grow();
        other.dataRoot = keccak256("another text");
        _refused(other, abi.encodeWithSelector(IGrowthGovernor.OtherData.selector, other.dataRoot));
        Change memory stale = _grow();
        stale.parent = 1;
        _refused(stale, abi.encodeWithSelector(IVocabulary.StaleChange.selector, 1, 0));
    }

    function test_revert_young_rounds_that_are_too_few_or_too_many() public {
        uint32[2][4] memory wrong = [[uint32(2), 400], [uint32(4), 400], [uint32(0), 1000], [uint32(3), 0]];
        for (uint256 i = 0; i < wrong.length; ++i) {
            Growth memory growth = _growth();
            (growth.young, growth.roundSteps) = (_young(0, wrong[i][0]), wrong[i][1]);
            _refused(
                _grow(growth),
                abi.encodeWithSelector(IGrowthGovernor.WrongYouth.selector, wrong[i][0], growth.roundSteps)
            );
        }
        Growth memory endless = _growth();
        (endless.young, endless.roundSteps) = (_young(0, 334), 3);
        _refused(_grow(endless), abi.encodeWithSelector(IGrowthGovernor.WrongYouth.selector, 334, 3));
    }

    function test_revert_a_proposal_without_a_tenth_of_all_stake() public {
        _rich(300 * NEURO);
        _skip(1);
        Change memory change = _grow();
        bytes4 short = IGovernor.GovernorInsufficientProposerVotes.selector;
        vm.expectRevert(abi.encodeWithSelector(short, mallory, 300 * NEURO, 330 * NEURO));
        vm.prank(mallory);
        growths.proposeGrowth(change, URI);
    }

    function test_no_reward_and_no_cancellation() public {
        Change memory change = _grow();
        uint256 id = _proposeGrowth(carol, change);
        vm.assertEq(growths.idOf(growths.motionOf(change, carol), _uriHash()), id);
        _skip(DISCUSSION + 1);
        _approveGrowth(id);
        _skip(VOTE);
        growths.announce(_deepMotion(change, carol), _uriHash());
        _pledge(bob, id);
        _skip(TEN_MINUTES);
        _decide(change, carol);
        vm.expectRevert(abi.encodeWithSelector(IVocabulary.AlreadyPaid.selector, 1));
        vocabulary.claimReward(1);
    }

    function test_revert_deployed_in_a_wrong_order() public {
        vm.expectRevert(abi.encodeWithSelector(StakeGovernor.NotGovernor.selector, address(growths)));
        new GrowthGovernor(vocabulary, DISCUSSION, VOTE, VOTE_EXTENSION);
    }
}
