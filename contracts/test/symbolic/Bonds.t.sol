// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { vm } from "../../script/Vm.sol";
import { Judge } from "../../src/Judge.sol";
import { NeuroToken } from "../../src/NeuroToken.sol";
import { Staking } from "../../src/Staking.sol";
import { WorkRegistry } from "../../src/WorkRegistry.sol";
import { IEmission } from "../../src/interfaces/IEmission.sol";
import { Dispute, IJudge } from "../../src/interfaces/IJudge.sol";
import { IScalar } from "../../src/interfaces/IScalar.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { Terms } from "../../src/interfaces/IVocabulary.sol";
import { IWorkRegistry } from "../../src/interfaces/IWorkRegistry.sol";
import { Claim, ClaimLib } from "../../src/libraries/ClaimLib.sol";
import { ClaimState } from "../../src/libraries/NodeSlot.sol";

/// @title StakingSymbolic
/// @notice Proved by halmos for every amount and account: slashing and locking conserve every wei, and only the keepers may.
contract StakingSymbolic {
    uint256 private constant STAKE = 1000e18;
    address private constant VOCABULARY = address(0x70CAB);

    NeuroToken private token;
    Staking private staking;

    function setUp() public {
        token = new NeuroToken(address(this), address(this), 10 * STAKE, 100 * STAKE);
        staking = new Staking(token, address(this), VOCABULARY, address(0), address(0), 1e18, 16 days);
        token.approve(address(staking), STAKE);
        staking.stake(STAKE);
    }

    function check_slash_conserves(uint256 amount, uint256 share, address to) public {
        vm.assume(amount != 0 && amount <= STAKE && share <= amount);
        vm.assume(to != address(this));
        uint256 supply = token.totalSupply();
        staking.slash(address(this), amount, to, share);
        IStaking.Account memory left = staking.accountOf(address(this));
        assert(left.active == STAKE - amount);
        assert(staking.creditOf(to) == share);
        assert(token.totalSupply() == supply - (amount - share));
        assert(token.balanceOf(address(staking)) == uint256(left.active) + left.thawing + staking.creditOf(to));
    }

    function check_lock_and_unlock_move_nothing(uint256 locked, uint256 unlocked) public {
        vm.assume(locked <= STAKE);
        staking.lock(address(this), locked);
        staking.unlock(address(this), unlocked);
        IStaking.Account memory left = staking.accountOf(address(this));
        assert(left.active == STAKE);
        assert(left.locked == (unlocked >= locked ? 0 : locked - unlocked));
        assert(token.balanceOf(address(staking)) == STAKE);
    }

    function check_locked_stake_cannot_thaw(uint256 locked, uint256 thawed) public {
        vm.assume(locked <= STAKE && thawed != 0);
        staking.lock(address(this), locked);
        (bool ok,) = address(staking).call(abi.encodeCall(staking.thaw, (thawed)));
        assert(!ok || thawed <= STAKE - locked);
    }

    function check_only_the_keepers_touch_bonds(address caller, uint256 amount, uint256 which) public {
        vm.assume(caller != address(this) && caller != VOCABULARY && caller != address(0));
        bytes memory message = which == 0
            ? abi.encodeCall(staking.lock, (address(this), amount))
            : which == 1
                ? abi.encodeCall(staking.unlock, (address(this), amount))
                : abi.encodeCall(staking.slash, (address(this), amount, caller, amount));
        vm.prank(caller);
        (bool ok,) = address(staking).call(message);
        assert(!ok);
    }
}

/// @notice Stands in for staking, emission and vocabulary: it takes whoever asks for its registry, and keeps the books of the bonds.
contract Books {
    mapping(address account => int256) public locked;
    int256 public slashed;

    function registry() external view returns (address) {
        return msg.sender;
    }

    function vocabulary() external view returns (address) {
        return address(this);
    }

    function enter(bool, Terms calldata) external pure returns (uint16, uint16, bytes32, bytes32) {
        return (0, 0, bytes32(uint256(1)), bytes32(uint256(2)));
    }

    function lock(address account, uint256 amount) external {
        locked[account] += int256(amount);
    }

    function unlock(address account, uint256 amount) external {
        locked[account] -= int256(amount);
    }

    function slash(address account, uint256 amount, address, uint256) external {
        locked[account] -= int256(amount);
        slashed += int256(amount);
    }

    function activeOf(address) external pure returns (uint256) {
        return 1000e18;
    }

    function accrue(address, uint256) external { }

    function quorums() external pure returns (address) {
        return address(0);
    }
}

/// @title RegistrySymbolic
/// @notice A claim that was lost or became final is left by no call of anybody, and no call about it moves a bond.
contract RegistrySymbolic {
    uint256 private constant BOND = 50e18;
    uint256 private constant CHALLENGE = 10e18;
    address private constant ALICE = address(0xA11CE);
    address private constant BOB = address(0xB0B);

    Books private books;
    WorkRegistry private registry;

    function setUp() public {
        books = new Books();
        registry = new WorkRegistry(
            IStaking(address(books)),
            IEmission(address(books)),
            IWorkRegistry.Parameters({
                programHash: bytes32(uint256(1)),
                dataRoot: bytes32(uint256(2)),
                genesisRoot: bytes32(uint256(3)),
                judge: address(this),
                tokensPerStep: 8,
                layers: 1,
                maxSteps: 10,
                maxClaims: 4,
                trainTime: 100,
                window: 100,
                responseTime: 100,
                claimBond: BOND,
                challengeBond: CHALLENGE
            })
        );
        vm.warp(1000);
        registry.openRound();
        vm.prank(ALICE);
        registry.post(_claim());
    }

    function _claim() private pure returns (Claim memory) {
        bytes32 root = bytes32(uint256(7));
        return Claim(
            ClaimLib.TRAIN,
            1,
            ALICE,
            bytes32(uint256(1)),
            bytes32(uint256(2)),
            bytes32(uint256(3)),
            root,
            root,
            root,
            2,
            16,
            0,
            1,
            1
        );
    }

    function check_a_lost_claim_stays_lost(address caller, address other, uint32 step, uint256 which) public {
        Claim memory c = _claim();
        vm.prank(BOB);
        registry.challenge(c, 0);
        vm.warp(1102);
        registry.timeout(c, BOB);
        assert(books.locked(ALICE) == 0 && books.locked(BOB) == 0);
        assert(books.slashed() == int256(2 * BOND));
        _attempt(c, caller, other, step, which);
        _assertTerminal(ClaimState.Lost, int256(2 * BOND));
    }

    function check_a_final_claim_stays_final(address caller, address other, uint32 step, uint256 which) public {
        Claim memory c = _claim();
        vm.warp(1202);
        registry.finalise(c);
        _attempt(c, caller, other, step, which);
        _assertTerminal(ClaimState.Final, 0);
        assert(books.locked(ALICE) == int256(2 * BOND));
    }

    /// @dev Whatever a judge rules, twice, each bond goes one way once.
    function check_a_challenge_ends_once(bool first, bool second) public {
        Claim memory c = _claim();
        vm.prank(BOB);
        registry.challenge(c, 2);
        IWorkRegistry.Opening memory o;
        vm.prank(ALICE);
        registry.answer(c, BOB, o, o, bytes32(uint256(9)));
        registry.rule(c, BOB, first, ClaimLib.NO_OP, 0);
        (bool again,) = address(registry).call(abi.encodeCall(registry.rule, (c, BOB, second, ClaimLib.NO_OP, 0)));
        assert(!again);
        assert(books.locked(BOB) == 0);
        assert(books.locked(ALICE) == (first ? int256(2 * BOND) : int256(0)));
        assert(books.slashed() == (first ? int256(CHALLENGE) : int256(2 * BOND)));
    }

    /// @dev The judge's seam: nothing is done when a game opens.
    function open(Dispute calldata) external { }

    function _attempt(Claim memory c, address caller, address other, uint32 step, uint256 which) private {
        vm.assume(caller != address(this) && caller != address(registry));
        IWorkRegistry.Opening memory o;
        bytes memory message;
        if (which == 0) message = abi.encodeCall(registry.challenge, (c, step));
        else if (which == 1) message = abi.encodeCall(registry.answer, (c, other, o, o, bytes32(0)));
        else if (which == 2) message = abi.encodeCall(registry.timeout, (c, other));
        else if (which == 3) message = abi.encodeCall(registry.rule, (c, other, step == 0, step, 0));
        else if (which == 4) message = abi.encodeCall(registry.finalise, (c));
        else if (which == 5) message = abi.encodeCall(registry.reclaim, (c, other));
        else message = abi.encodeCall(registry.post, (c));
        vm.prank(caller);
        // Whether it reverts is no matter here: what it leaves behind is.
        (bool ok,) = address(registry).call(message);
        ok;
    }

    function _assertTerminal(ClaimState expected, int256 slashed) private view {
        (ClaimState state, uint256 open_,) = registry.claimOf(ALICE);
        assert(state == expected);
        assert(open_ == 0);
        assert(books.slashed() == slashed);
    }
}

/// @title GamesSymbolic
/// @notice A game that is over, or never was, takes no move of anybody; one that is open ends once.
contract GamesSymbolic {
    uint64 private constant RESPONSE = 300;
    address private constant BOB = address(0xB0B);

    Judge private judge;
    uint256 private rulings;
    bool private proverWon;

    function setUp() public {
        judge = new Judge(IWorkRegistry(address(this)), IScalar(address(this)), RESPONSE, 60);
        vm.warp(1000);
    }

    function rule(Claim calldata, address, bool won, uint32, bytes32) external {
        ++rulings;
        proverWon = won;
    }

    function _dispute(bytes32 trace, uint32 step) private pure returns (Dispute memory d) {
        d.challenger = BOB;
        d.step = step;
        d.trace = trace;
    }

    function check_only_the_registry_opens_games(address caller, bytes32 trace, uint32 step) public {
        Dispute memory d = _dispute(trace, step);
        vm.assume(caller != address(this));
        vm.prank(caller);
        (bool ok,) = address(judge).call(abi.encodeCall(judge.open, (d)));
        assert(!ok);
        assert(judge.clockOf(judge.gameOf(d)).deadline == 0);
    }

    function check_no_game_no_move(address caller, bytes32 trace, uint32 step, bytes32 node, uint256 which) public {
        Dispute memory d = _dispute(trace, step);
        _refused(caller, d, node, which);
        assert(rulings == 0);
    }

    function check_a_game_ends_once(bytes32 trace, uint32 step, uint64 late, address caller, uint256 which) public {
        vm.assume(late > RESPONSE && late < 1000 days);
        Dispute memory d = _dispute(trace, step);
        judge.open(d);
        vm.warp(1000 + uint256(late));
        vm.prank(caller);
        judge.timeout(d);
        assert(rulings == 1 && proverWon);
        _refused(caller, d, bytes32(0), which);
        assert(rulings == 1);
    }

    function check_no_clock_is_called_early(bytes32 trace, uint32 step, uint64 early, address caller) public {
        vm.assume(early <= RESPONSE);
        Dispute memory d = _dispute(trace, step);
        judge.open(d);
        vm.warp(1000 + uint256(early));
        vm.prank(caller);
        (bool ok,) = address(judge).call(abi.encodeCall(judge.timeout, (d)));
        assert(!ok && rulings == 0);
    }

    function _refused(address caller, Dispute memory d, bytes32 node, uint256 which) private {
        bytes memory message = which == 0
            ? abi.encodeCall(judge.timeout, (d))
            : which == 1
                ? abi.encodeCall(judge.reveal, (d, node, new bytes32[](1)))
                : abi.encodeCall(judge.revealData, (d, node, new bytes(32)));
        vm.prank(caller);
        (bool ok,) = address(judge).call(message);
        assert(!ok);
        assert(judge.clockOf(judge.gameOf(d)).deadline == 0);
    }
}
