// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { IEmission } from "../../src/interfaces/IEmission.sol";
import { IQuorums } from "../../src/interfaces/IQuorums.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { IWorkRegistry } from "../../src/interfaces/IWorkRegistry.sol";
import { Claim, ClaimLib } from "../../src/libraries/ClaimLib.sol";
import { ClaimState } from "../../src/libraries/NodeSlot.sol";
import { QuorumFixture } from "../utils/QuorumFixture.sol";

/// @notice Three accounts in ever new sessions, led by any of them, with honest and lost claims.
contract QuorumHandler is QuorumFixture {
    address[3] private _actors;
    uint256[3] private _actorKeys;
    Claim[] private _claims;

    mapping(uint64 session => uint256) private _rotation;
    mapping(bytes4 verb => uint256) public done;

    /// @notice Once, before anything else; not in a constructor, for setting up calls this contract.
    function init() external {
        setUp();
        _actors = [alice, bob, carol];
        _actorKeys = [ALICE, BOB, CAROL];
    }

    // --- views ---

    function parts() external view returns (IStaking, IEmission, IQuorums) {
        return (staking, emission, quorums);
    }

    function actor(uint256 i) public view returns (address) {
        return _actors[i % 3];
    }

    /// @notice What should be locked of an account's stake, by the books of the registry and the quorums.
    function expectedLock(address account) external view returns (uint256 locked) {
        (ClaimState state,,) = registry.claimOf(account);
        if (state == ClaimState.Posted || state == ClaimState.Final) locked = 2 * BOND;
        for (uint64 id = 1; id <= quorums.sessions(); ++id) {
            if (quorums.sessionOf(id).freed & uint16(1 << _indexOf(id, account)) == 0) locked += 2 * BOND;
        }
        for (uint256 i = 0; i < _claims.length; ++i) {
            bool faulty = _stateOf(i) == IQuorums.State.Faulty;
            if (faulty && _claims[i].node == account) locked += 2 * BOND;
        }
    }

    /// @notice A session is busy just while a claim of it is open or faulty.
    function busyIsRight() external view returns (bool) {
        uint256 busy;
        uint256 unsettled;
        for (uint64 id = 1; id <= quorums.sessions(); ++id) {
            if (quorums.sessionOf(id).busy) ++busy;
        }
        for (uint256 i = 0; i < _claims.length; ++i) {
            if (_stateOf(i) == IQuorums.State.Open || _stateOf(i) == IQuorums.State.Faulty) ++unsettled;
        }
        return busy == unsettled;
    }

    // --- verbs ---

    function register(uint256 lead, uint256 rotation, uint256 length) public {
        for (uint256 i = 0; i < 3; ++i) {
            if (!_free(_actors[i])) return;
        }
        uint64 until = uint64(time + 1 + length % HOUR);
        IQuorums.Member[] memory m = _rotated(rotation);
        uint256[] memory keys = new uint256[](3);
        for (uint256 i = 0; i < 3; ++i) {
            keys[i] = _actorKeys[(i + rotation % 3) % 3];
        }
        address leader = actor(lead);
        bytes32 digest = quorums.hashConsent(leader, m, quorums.nonceOf(leader), until);
        _rotation[quorums.register(leader, m, until, _signed(keys, digest))] = rotation;
        ++done[this.register.selector];
    }

    function open() public {
        if (registry.currentRound() != 0) {
            IWorkRegistry.Phase phase = registry.phaseOf(registry.currentRound());
            if (phase == IWorkRegistry.Phase.Train || phase == IWorkRegistry.Phase.Settle) return;
            if (phase == IWorkRegistry.Phase.Window) _afterWindow();
            _skip(TRAIN_TIME + 1);
            if (registry.phaseOf(registry.currentRound()) != IWorkRegistry.Phase.Closed) return;
        }
        registry.openRound();
        ++done[this.open.selector];
    }

    function post(uint256 which) public {
        (bool found, uint64 id) = _session(which);
        if (!found || registry.currentRound() == 0) return;
        if (registry.phaseOf(registry.currentRound()) != IWorkRegistry.Phase.Train) return;
        IQuorums.Session memory s = quorums.sessionOf(id);
        if (s.ended || s.busy || time > s.until || !_canPost(s.leader)) return;
        Claim memory c = _train(s.leader, STEPS);
        // No two claims alike, even in one round.
        c.updateRoot = keccak256(abi.encode(_claims.length));
        vm.prank(s.leader);
        registry.postFor(c, id);
        _claims.push(c);
        ++done[this.post.selector];
    }

    function rule(uint256 which, uint256 op) public {
        (bool found, Claim memory c) = _claim(which, IQuorums.State.Open);
        if (!found || time > registry.roundOf(c.round).claimDeadline + WINDOW) return;
        op %= 100;
        _ruled(c, op < 80 ? uint32(op) : ClaimLib.NO_OP);
        ++done[this.rule.selector];
    }

    function silence(uint256 which) public {
        (bool found, Claim memory c) = _claim(which, IQuorums.State.Open);
        if (!found || time > registry.roundOf(c.round).claimDeadline + WINDOW) return;
        _loseBySilence(c, dave);
        ++done[this.silence.selector];
    }

    function finalise(uint256 which) public {
        (bool found, Claim memory c) = _claim(which, IQuorums.State.Open);
        if (!found) return;
        uint256 end = registry.roundOf(c.round).claimDeadline + WINDOW;
        if (time <= end) _skip(end + 1 - time);
        registry.finalise(c);
        ++done[this.finalise.selector];
    }

    function pay(uint256 which) public {
        (bool found, Claim memory c) = _claim(which, IQuorums.State.Due);
        if (!found) return;
        bytes32 hash = registry.hashClaim(c);
        quorums.pay(hash, _membersOf(quorums.claimOf(hash).session));
        ++done[this.pay.selector];
    }

    function blame(uint256 which) public {
        (bool found, Claim memory c) = _claim(which, IQuorums.State.Faulty);
        if (!found) return;
        bytes32 hash = registry.hashClaim(c);
        IQuorums.Fault memory f = quorums.faultOf(hash);
        if (time > f.deadline) return;
        _blameWith(c, _membersOf(quorums.claimOf(hash).session), f.op / 10);
        ++done[this.blame.selector];
    }

    function blameLeader(uint256 which) public {
        (bool found, Claim memory c) = _claim(which, IQuorums.State.Faulty);
        if (!found) return;
        bytes32 hash = registry.hashClaim(c);
        uint256 deadline = quorums.faultOf(hash).deadline;
        if (time <= deadline) _skip(deadline + 1 - time);
        quorums.blameLeader(hash);
        ++done[this.blameLeader.selector];
    }

    function dissolve(uint256 which) public {
        (bool found, uint64 id) = _session(which);
        if (!found || quorums.sessionOf(id).ended) return;
        vm.prank(quorums.sessionOf(id).leader);
        quorums.dissolve(id);
        ++done[this.dissolve.selector];
    }

    function leave(uint256 which, uint256 who) public {
        (bool found, uint64 id) = _session(which);
        if (!found) return;
        IQuorums.Session memory s = quorums.sessionOf(id);
        uint256 index = who % 3;
        if (s.busy || (!s.ended && time <= s.until) || s.freed & uint16(1 << index) != 0) return;
        IQuorums.Member[] memory m = _membersOf(id);
        vm.prank(m[index].account);
        quorums.leave(id, m, index);
        ++done[this.leave.selector];
    }

    function releaseBond(uint256 who) public {
        (ClaimState state,,) = registry.claimOf(actor(who));
        if (state != ClaimState.Final) return;
        vm.prank(actor(who));
        registry.releaseBond();
        ++done[this.releaseBond.selector];
    }

    /// @notice Stake lost is made good, so that a run goes on.
    function restake(uint256 who) public {
        if (staking.activeOf(actor(who)) >= STAKE) return;
        vm.assertTrue(token.transfer(actor(who), STAKE));
        vm.prank(actor(who));
        staking.stake(STAKE);
        ++done[this.restake.selector];
    }

    function pass(uint256 dt) public {
        _skip(dt % 20 minutes);
        ++done[this.pass.selector];
    }

    /// @notice Everything that is open is ended and left, by calls that need no leader: what is locked then is stranded.
    function drain() external {
        for (uint256 i = 0; i < _claims.length; ++i) {
            if (_stateOf(i) == IQuorums.State.Open) finaliseAt(i);
            if (_stateOf(i) == IQuorums.State.Faulty) blameLeaderAt(i);
        }
        _skip(4 hours + 1);
        for (uint64 id = 1; id <= quorums.sessions(); ++id) {
            for (uint256 k = 0; k < 3; ++k) {
                leave(id - 1, k);
            }
        }
        for (uint256 i = 0; i < 3; ++i) {
            releaseBond(i);
        }
    }

    // --- inside ---

    function finaliseAt(uint256 i) private {
        uint256 end = registry.roundOf(_claims[i].round).claimDeadline + WINDOW;
        if (time <= end) _skip(end + 1 - time);
        registry.finalise(_claims[i]);
    }

    function blameLeaderAt(uint256 i) private {
        bytes32 hash = registry.hashClaim(_claims[i]);
        uint256 deadline = quorums.faultOf(hash).deadline;
        if (time <= deadline) _skip(deadline + 1 - time);
        quorums.blameLeader(hash);
    }

    function _rotated(uint256 rotation) private view returns (IQuorums.Member[] memory m) {
        m = _members();
        for (uint256 i = 0; i < 3; ++i) {
            m[i].account = _actors[(i + rotation % 3) % 3];
        }
    }

    function _membersOf(uint64 id) private view returns (IQuorums.Member[] memory) {
        return _rotated(_rotation[id]);
    }

    function _indexOf(uint64 id, address account) private view returns (uint256 i) {
        IQuorums.Member[] memory m = _membersOf(id);
        while (m[i].account != account) ++i;
    }

    /// @dev Recent sessions more often than old ones; below the number of sessions it is that one.
    function _session(uint256 which) private view returns (bool, uint64) {
        uint256 n = quorums.sessions();
        if (n == 0) return (false, 0);
        return (true, uint64(which < n ? which + 1 : n - (which % (n < 3 ? n : 3))));
    }

    /// @dev The first claim from `which` on that stands so.
    function _claim(uint256 which, IQuorums.State wanted) private view returns (bool, Claim memory c) {
        uint256 n = _claims.length;
        for (uint256 k = 0; k < n; ++k) {
            uint256 i = (which % n + k) % n;
            if (_stateOf(i) == wanted) return (true, _claims[i]);
        }
        return (false, c);
    }

    function _stateOf(uint256 i) private view returns (IQuorums.State) {
        return _state(registry.hashClaim(_claims[i]));
    }

    function _free(address account) private view returns (bool) {
        return staking.isStaker(account) && _account(account).active - _account(account).locked >= 2 * BOND;
    }

    function _canPost(address account) private view returns (bool) {
        (ClaimState state,,) = registry.claimOf(account);
        (, uint64 lostRound,) = registry.recordOf(account);
        if (state == ClaimState.Posted || lostRound == registry.currentRound()) return false;
        return state == ClaimState.Final || _free(account);
    }
}
