// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { Judge } from "../../src/Judge.sol";
import { AnswerCourt } from "../../src/AnswerCourt.sol";
import { vm } from "../../script/Vm.sol";
import { Scalar } from "../../src/Scalar.sol";
import { IWorkRegistry } from "../../src/interfaces/IWorkRegistry.sol";
import { Claim, ClaimLib } from "../../src/libraries/ClaimLib.sol";
import { ClaimState } from "../../src/libraries/NodeSlot.sol";
import { Rewards } from "../../src/libraries/Rewards.sol";
import { Fixture } from "../utils/Fixture.sol";

/// @title Handler
/// @notice Four actors who stake, claim, challenge, answer or stay silent, in any order. Each action checks what allows it
/// and then must succeed; each action that nothing allows must revert. What it did is counted beside the contracts.
contract Handler is Fixture {
    uint32 internal constant STEPS = 3;

    address[] public actors;
    Claim[] internal _claims;

    mapping(bytes32 claimHash => uint256) public terminals;
    mapping(address => uint256) public challengesOf;
    uint256 public burned;
    uint256 public minted;
    uint256 public rewarded;
    uint256 public epochOverruns;
    uint256 public unexpected;
    mapping(bytes4 => uint256) public done;

    constructor() {
        setUp();
        actors.push(alice);
        actors.push(bob);
        actors.push(carol);
        actors.push(vm.addr(0xDA7E));
        _fund(actors[3]);
    }

    function _config() internal view override returns (Config memory c) {
        c = super._config();
        // Small enough that the caps are met within a run.
        c.schedule.epochCap = 0.02e18;
        c.schedule.nodeDayCap = 0.012e18;
        c.schedule.halvingEpochs = 500;
        c.schedule.epochLength = 6 hours;
    }

    // --- views for the invariants ---

    function system() external view returns (System memory) {
        return System(
            token,
            staking,
            emission,
            registry,
            Scalar(address(0)),
            judge,
            vocabulary,
            governor,
            emergency,
            escrow,
            AnswerCourt(address(0)),
            Judge(address(0)),
            quorums,
            growths
        );
    }

    function actorCount() external view returns (uint256) {
        return actors.length;
    }

    function claimCount() external view returns (uint256) {
        return _claims.length;
    }

    function claimAt(uint256 i) external view returns (Claim memory) {
        return _claims[i];
    }

    // --- money ---

    function stake(uint256 who, uint256 amount) external {
        address actor = _actor(who);
        amount = amount % STAKE + MINIMUM;
        if (token.balanceOf(actor) < amount) return;
        vm.prank(actor);
        staking.stake(amount);
        _count(this.stake.selector);
    }

    function thaw(uint256 who, uint256 amount, bool all) external {
        address actor = _actor(who);
        uint256 active = _account(actor).active;
        uint256 free = active - _account(actor).locked;
        if (free == 0 || (_account(actor).thawing != 0 && time >= _account(actor).thawEnds)) return;
        amount = all ? free : amount % free + 1;
        if (active != amount && active - amount < MINIMUM) return;
        vm.prank(actor);
        staking.thaw(amount);
        _count(this.thaw.selector);
    }

    function withdraw(uint256 who) external {
        address actor = _actor(who);
        if (_account(actor).thawing == 0) return;
        if (time < _account(actor).thawEnds) _skip(_account(actor).thawEnds - time);
        vm.prank(actor);
        staking.withdraw();
        _count(this.withdraw.selector);
    }

    function collectCredit(uint256 who) external {
        address actor = _actor(who);
        if (staking.creditOf(actor) == 0) return;
        vm.prank(actor);
        staking.collect();
        _count(this.collectCredit.selector);
    }

    function collectReward(uint256 who) external {
        address actor = _actor(who);
        if (emission.collectable(actor) == 0) return;
        vm.prank(actor);
        minted += emission.collect();
        uint256 epoch = emission.currentEpoch();
        if (emission.mintedIn(epoch) > emission.epochCapOf(epoch)) ++epochOverruns;
        _count(this.collectReward.selector);
    }

    function delegate(uint256 who, uint256 to) external {
        vm.prank(_actor(who));
        staking.delegate(_actor(to));
        _count(this.delegate.selector);
    }

    // --- rounds ---

    function openRound() external {
        IWorkRegistry.Phase phase = _phase();
        if (phase != IWorkRegistry.Phase.None && phase != IWorkRegistry.Phase.Closed) return;
        registry.openRound();
        _count(this.openRound.selector);
    }

    function post(uint256 who) external {
        address actor = _actor(who);
        IWorkRegistry.Phase phase = _phase();
        bool train = phase == IWorkRegistry.Phase.Train;
        if ((!train && phase != IWorkRegistry.Phase.Outer) || !_canPost(actor)) return;
        Claim memory c = train ? _train(actor, STEPS) : _outer(actor, keccak256(abi.encode(_claims.length)));
        _post(c);
        _claims.push(c);
        _count(train ? this.post.selector : bytes4("OUTR"));
    }

    /// @notice Posts work of an earlier round, or finds that it may not.
    function postLate(uint256 who, uint256 back) external {
        address actor = _actor(who);
        if (_phase() != IWorkRegistry.Phase.Train || registry.currentRound() < 2) return;
        uint64 base = registry.currentRound() - 1 - uint64(back % (registry.currentRound() - 1));
        Claim memory c = _late(actor, STEPS, base);
        (,, uint64 claimed) = registry.recordOf(actor);
        if (base <= claimed || !_canPost(actor)) {
            vm.prank(actor);
            _mustFail(abi.encodeCall(registry.post, (c)));
            return;
        }
        _post(c);
        _claims.push(c);
        _count(this.postLate.selector);
    }

    function challenge(uint256 who, uint256 which, uint256 step) external {
        (bool found, Claim memory c) = _pick(which);
        address actor = _actor(who);
        if (!found || actor == c.node || !_isPosted(c) || time > _windowEnd(c) || !_free(actor, CHALLENGE_BOND)) {
            return;
        }
        if (_waiting(c, actor)) return;
        // casting is safe because the remainder is below c.steps
        _challenge(actor, c, uint32(step % c.steps));
        ++challengesOf[actor];
        _count(this.challenge.selector);
    }

    function answer(uint256 which, uint256 who) external {
        (bool found, Claim memory c) = _pick(which);
        address challenger = _actor(who);
        if (!found || !_isPosted(c) || !_waiting(c, challenger) || time > _deadline(c, challenger)) return;
        uint256 supply = token.totalSupply();
        if (c.kind == ClaimLib.OUTER) {
            IWorkRegistry.Opening memory leaf = IWorkRegistry.Opening(c.endRoot, c.updateRoot, 0, new bytes32[](0));
            _send(c, challenger, leaf, leaf);
        } else {
            _answer(c, challenger);
        }
        burned += supply - token.totalSupply();
        --challengesOf[challenger];
        _count(this.answer.selector);
    }

    function timeout(uint256 which, uint256 who) external {
        (bool found, Claim memory c) = _pick(which);
        address challenger = _actor(who);
        if (!found || !_isPosted(c) || !_waiting(c, challenger)) return;
        if (time <= _deadline(c, challenger)) _skip(_deadline(c, challenger) + 1 - time);
        uint256 supply = token.totalSupply();
        registry.timeout(c, challenger);
        burned += supply - token.totalSupply();
        --challengesOf[challenger];
        ++terminals[registry.hashClaim(c)];
        _count(this.timeout.selector);
    }

    function reclaim(uint256 which, uint256 who) external {
        (bool found, Claim memory c) = _pick(which);
        address challenger = _actor(who);
        if (!found || _isPosted(c) || !_waiting(c, challenger)) return;
        registry.reclaim(c, challenger);
        --challengesOf[challenger];
        _count(this.reclaim.selector);
    }

    function finalise(uint256 which) external {
        (bool found, Claim memory c) = _pick(which);
        if (!found || !_isPosted(c)) return;
        (, uint256 open,) = registry.claimOf(c.node);
        if (open != 0) return;
        if (time <= _windowEnd(c)) _skip(_windowEnd(c) + 1 - time);
        if (c.kind == ClaimLib.TRAIN) rewarded += _reward(c);
        registry.finalise(c);
        ++terminals[registry.hashClaim(c)];
        _count(this.finalise.selector);
    }

    function releaseBond(uint256 who) external {
        address actor = _actor(who);
        (ClaimState state,,) = registry.claimOf(actor);
        if (state != ClaimState.Final) return;
        vm.prank(actor);
        registry.releaseBond();
        _count(this.releaseBond.selector);
    }

    function pass(uint256 dt) external {
        _skip(dt % 30 minutes);
        _count(this.pass.selector);
    }

    /// @notice Tries to end a claim that has ended, by every road; none may work.
    function endAgain(uint256 which, uint256 who) external {
        (bool found, Claim memory c) = _pick(which);
        if (!found || _isPosted(c)) return;
        address challenger = _actor(who);
        IWorkRegistry.Opening memory leaf = _opening(c.node, STEPS, 0);
        _mustFail(abi.encodeCall(registry.finalise, (c)));
        _mustFail(abi.encodeCall(registry.timeout, (c, challenger)));
        _mustFail(abi.encodeCall(registry.challenge, (c, 0)));
        vm.prank(c.node);
        _mustFail(abi.encodeCall(registry.answer, (c, challenger, leaf, leaf, TRACE)));
        _count(this.endAgain.selector);
    }

    // --- inside ---

    function _mustFail(bytes memory call) private {
        (bool ok,) = address(registry).call(call);
        if (ok) ++unexpected;
    }

    function _count(bytes4 verb) private {
        ++done[verb];
    }

    function _actor(uint256 who) private view returns (address) {
        return actors[who % actors.length];
    }

    /// @dev Recent claims twice as often as old ones.
    function _pick(uint256 which) private view returns (bool found, Claim memory c) {
        uint256 n = _claims.length;
        if (n == 0) return (false, c);
        uint256 recent = n < 4 ? n : 4;
        return (true, which % 3 == 0 ? _claims[(which / 3) % n] : _claims[n - 1 - (which / 3) % recent]);
    }

    function _phase() private view returns (IWorkRegistry.Phase) {
        return registry.phaseOf(registry.currentRound());
    }

    function _canPost(address actor) private view returns (bool) {
        (ClaimState state,,) = registry.claimOf(actor);
        if (state == ClaimState.Posted) return false;
        (, uint64 lostRound,) = registry.recordOf(actor);
        if (lostRound == registry.currentRound()) return false;
        return state == ClaimState.Final || _free(actor, 2 * BOND);
    }

    function _free(address actor, uint256 bond) private view returns (bool) {
        return staking.isStaker(actor) && _account(actor).active - _account(actor).locked >= bond;
    }

    function _isPosted(Claim memory c) private view returns (bool) {
        (ClaimState state,, bytes32 prefix) = registry.claimOf(c.node);
        return state == ClaimState.Posted && prefix == registry.hashClaim(c) & ~bytes32(uint256(0xffff));
    }

    function _waiting(Claim memory c, address challenger) private view returns (bool) {
        return registry.challengeOf(registry.hashClaim(c), challenger).state == IWorkRegistry.ChallengeState.Waiting;
    }

    function _deadline(Claim memory c, address challenger) private view returns (uint256) {
        return registry.challengeOf(registry.hashClaim(c), challenger).deadline;
    }

    /// @dev What a claim earns that becomes final now.
    function _reward(Claim memory c) private view returns (uint256) {
        if (c.base == c.round) return registry.quoteReward(c.node, c.steps);
        (uint32 finals,,) = registry.recordOf(c.node);
        uint256 age = registry.roundOf(c.round).openedAt - registry.roundOf(c.base).openedAt;
        return Rewards.claimReward(c.steps, c.layerCount, staking.activeOf(c.node), finals, 0, age);
    }

    function _windowEnd(Claim memory c) private view returns (uint256) {
        IWorkRegistry.Round memory r = registry.roundOf(c.round);
        return c.kind == ClaimLib.OUTER ? r.outerDeadline : r.claimDeadline + WINDOW;
    }
}
