// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { IEmission } from "../../src/interfaces/IEmission.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { IWorkRegistry } from "../../src/interfaces/IWorkRegistry.sol";
import { NeuroToken } from "../../src/NeuroToken.sol";
import { Claim, ClaimLib } from "../../src/libraries/ClaimLib.sol";
import { ClaimState } from "../../src/libraries/NodeSlot.sol";
import { Deployment } from "../../script/Deployment.sol";
import { Handler } from "./Handler.sol";

/// @notice What holds after any sequence of the handler's actions.
contract ConservationTest {
    uint256 internal constant BOND = 50e18;
    uint256 internal constant CHALLENGE_BOND = 10e18;
    uint256 internal constant GENESIS = 1_000_000e18;

    Handler internal handler;
    NeuroToken internal token;
    IStaking internal staking;
    IEmission internal emission;
    IWorkRegistry internal registry;

    function setUp() public {
        handler = new Handler();
        Deployment.System memory s = handler.system();
        (token, staking, emission, registry) = (s.token, s.staking, s.emission, s.registry);
    }

    /// @notice forge reads here whom to call.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    /// @notice forge reads here which functions to call; verbs that move a round on are listed more than once.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[23] memory verbs = [
            handler.stake.selector,
            handler.thaw.selector,
            handler.withdraw.selector,
            handler.collectCredit.selector,
            handler.collectReward.selector,
            handler.openRound.selector,
            handler.openRound.selector,
            handler.post.selector,
            handler.post.selector,
            handler.post.selector,
            handler.postLate.selector,
            handler.postLate.selector,
            handler.challenge.selector,
            handler.challenge.selector,
            handler.answer.selector,
            handler.timeout.selector,
            handler.reclaim.selector,
            handler.finalise.selector,
            handler.finalise.selector,
            handler.releaseBond.selector,
            handler.pass.selector,
            handler.endAgain.selector,
            handler.delegate.selector
        ];
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), new bytes4[](verbs.length));
        for (uint256 i = 0; i < verbs.length; ++i) {
            targets[0].selectors[i] = verbs[i];
        }
    }

    function invariant_staking_holds_exactly_what_it_owes() public view {
        uint256 owed;
        uint256 active;
        for (uint256 i = 0; i < handler.actorCount(); ++i) {
            address actor = handler.actors(i);
            IStaking.Account memory a = staking.accountOf(actor);
            owed += uint256(a.active) + a.thawing + staking.creditOf(actor);
            active += a.active;
            vm.assertLe(a.locked, a.active, "locked within active");
        }
        vm.assertEq(token.balanceOf(address(staking)), owed, "balance = active + thawing + credits");
        vm.assertEq(staking.totalActive(), active, "total of active");
    }

    function invariant_votes_are_active_stake() public view {
        uint256 votes;
        for (uint256 i = 0; i < handler.actorCount(); ++i) {
            address voter = handler.actors(i);
            uint256 stake;
            for (uint256 j = 0; j < handler.actorCount(); ++j) {
                address owner = handler.actors(j);
                if (staking.delegates(owner) == voter) stake += staking.activeOf(owner);
            }
            vm.assertEq(staking.getVotes(voter), stake, "votes = active stake of who chose the voter");
            votes += stake;
        }
        vm.assertEq(votes, staking.totalActive(), "every active wei votes once");
    }

    function invariant_locked_is_the_sum_of_open_bonds() public view {
        for (uint256 i = 0; i < handler.actorCount(); ++i) {
            address actor = handler.actors(i);
            (ClaimState state,,) = registry.claimOf(actor);
            uint256 bonds = handler.challengesOf(actor) * CHALLENGE_BOND;
            if (state == ClaimState.Posted || state == ClaimState.Final) bonds += 2 * BOND;
            vm.assertEq(staking.accountOf(actor).locked, bonds, "bonds conserved");
        }
    }

    function invariant_supply_is_genesis_plus_minted_less_burned() public view {
        vm.assertEq(token.totalSupply(), GENESIS + handler.minted() - handler.burned(), "supply");
        vm.assertEq(handler.epochOverruns(), 0, "epoch cap");
        uint256 scheduled;
        uint256 mintedByEpoch;
        uint256 accrued;
        for (uint256 e = 0; e <= emission.currentEpoch(); ++e) {
            scheduled += emission.epochCapOf(e);
            mintedByEpoch += emission.mintedIn(e);
        }
        for (uint256 i = 0; i < handler.actorCount(); ++i) {
            accrued += emission.accruedOf(handler.actors(i));
        }
        vm.assertLe(handler.minted(), scheduled, "minted within the schedule");
        vm.assertEq(mintedByEpoch, handler.minted(), "every mint in its epoch");
        vm.assertEq(accrued + handler.minted(), handler.rewarded(), "no reward lost or made");
    }

    function invariant_a_claim_ends_at_most_once_and_is_counted() public view {
        uint64 round = registry.currentRound();
        uint256 unresolved;
        for (uint256 i = 0; i < handler.claimCount(); ++i) {
            Claim memory c = handler.claimAt(i);
            bytes32 hash = registry.hashClaim(c);
            (ClaimState state, uint256 open, bytes32 prefix) = registry.claimOf(c.node);
            bool posted = state == ClaimState.Posted && prefix == hash & ~bytes32(uint256(0xffff));
            vm.assertEq(handler.terminals(hash), posted ? 0 : 1, "one end, or none yet");
            if (!posted) continue;
            if (c.kind == ClaimLib.TRAIN && c.round == round) ++unresolved;
            vm.assertEq(_openChallenges(hash), open, "open challenges counted");
        }
        vm.assertEq(registry.roundOf(round).unresolved, unresolved, "unresolved counted");
        vm.assertEq(handler.unexpected(), 0, "nothing ends twice");
    }

    /// @notice Whatever ended, a node's claims of work began in ever newer rounds: no work ended twice.
    function invariant_no_work_is_claimed_twice() public view {
        for (uint256 i = 0; i < handler.claimCount(); ++i) {
            Claim memory c = handler.claimAt(i);
            if (c.kind != ClaimLib.TRAIN) continue;
            for (uint256 j = 0; j < i; ++j) {
                Claim memory before = handler.claimAt(j);
                if (before.kind != ClaimLib.TRAIN || before.node != c.node) continue;
                vm.assertTrue(before.base < c.base, "a base newer than any before");
            }
        }
    }

    function _openChallenges(bytes32 hash) private view returns (uint256 n) {
        for (uint256 i = 0; i < handler.actorCount(); ++i) {
            if (registry.challengeOf(hash, handler.actors(i)).state != IWorkRegistry.ChallengeState.None) ++n;
        }
    }

    /// @notice The handler reaches every verb, so the invariants above are not empty words.
    function test_handler_reaches_every_verb() public {
        uint256 seed = 8;
        for (uint256 i = 0; i < 2500; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            _act(seed);
        }
        bytes4[17] memory verbs = [
            handler.stake.selector,
            handler.thaw.selector,
            handler.withdraw.selector,
            handler.collectCredit.selector,
            handler.collectReward.selector,
            handler.openRound.selector,
            handler.post.selector,
            bytes4("OUTR"),
            handler.postLate.selector,
            handler.challenge.selector,
            handler.answer.selector,
            handler.timeout.selector,
            handler.reclaim.selector,
            handler.finalise.selector,
            handler.releaseBond.selector,
            handler.endAgain.selector,
            handler.delegate.selector
        ];
        for (uint256 i = 0; i < verbs.length; ++i) {
            vm.assertTrue(handler.done(verbs[i]) != 0, string.concat("never reached: ", vm.toString(uint256(i))));
        }
        invariant_staking_holds_exactly_what_it_owes();
        invariant_votes_are_active_stake();
        invariant_locked_is_the_sum_of_open_bonds();
        invariant_supply_is_genesis_plus_minted_less_burned();
        invariant_a_claim_ends_at_most_once_and_is_counted();
        invariant_no_work_is_claimed_twice();
    }

    function _act(uint256 seed) private {
        uint256 a = seed >> 16;
        uint256 b = seed >> 80;
        uint256 verb = seed % 20;
        if (verb == 0) handler.stake(a, b);
        else if (verb == 1) handler.thaw(a, b, b & 8 == 0);
        else if (verb == 2) handler.withdraw(a);
        else if (verb == 3) handler.collectCredit(a);
        else if (verb == 4) handler.collectReward(a);
        else if (verb == 5) handler.openRound();
        else if (verb < 8) handler.post(a);
        else if (verb < 10) handler.challenge(a, b, a >> 8);
        else if (verb == 19) handler.postLate(a, b);
        else if (verb == 10 || verb > 16) handler.answer(a, b);
        else if (verb == 11) handler.timeout(a, b);
        else if (verb == 12) handler.reclaim(a, b);
        else if (verb == 13) handler.finalise(a);
        else if (verb == 14) handler.releaseBond(a);
        else if (verb == 15) handler.delegate(a, b);
        else handler.endAgain(a, b);
    }
}
