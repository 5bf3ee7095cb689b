// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { IVotes } from "@openzeppelin/contracts/governance/utils/IVotes.sol";
import { vm } from "../../script/Vm.sol";
import { StakeVotes } from "../../src/StakeVotes.sol";
import { Fixture } from "../utils/Fixture.sol";

contract VotesTest is Fixture {
    uint256 internal constant ALICE_KEY = 0xA11CE;

    /// @dev Votes by second as they should be, beside the contract.
    uint256[] private _times;
    uint256[] private _alice;
    uint256[] private _total;

    function test_stake_votes_for_its_owner_at_once() public view {
        vm.assertEq(staking.getVotes(alice), STAKE);
        vm.assertEq(staking.delegates(alice), alice);
        vm.assertEq(uint256(staking.clock()), time);
    }

    function test_every_second_of_a_long_history_is_found(uint256 seed) public {
        for (uint256 i = 0; i < 24; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            _skip(seed % 3); // sometimes within the same second
            _change(seed >> 8);
            _times.push(time);
            _alice.push(staking.getVotes(alice));
            _total.push(staking.totalActive());
        }
        _skip(1);
        for (uint256 i = 0; i < _times.length; ++i) {
            if (i + 1 < _times.length && _times[i + 1] == _times[i]) continue; // how the second ended counts
            vm.assertEq(staking.getPastVotes(alice, _times[i]), _alice[i]);
            vm.assertEq(staking.getPastTotalSupply(_times[i]), _total[i]);
            if (i + 1 < _times.length && _times[i + 1] > _times[i] + 1) {
                vm.assertEq(staking.getPastVotes(alice, _times[i] + 1), _alice[i], "and holds until the next");
            }
        }
        vm.assertEq(staking.getPastVotes(alice, 1), 0, "before the first");
    }

    function _change(uint256 seed) private {
        uint256 kind = seed % 4;
        if (kind == 0) {
            vm.prank(alice);
            staking.stake(NEURO);
        } else if (kind == 1) {
            vm.prank(address(registry));
            staking.slash(alice, NEURO, bob, 0);
        } else if (kind == 2) {
            vm.prank(alice);
            staking.delegate(seed & 16 == 0 ? bob : address(0));
        } else {
            vm.prank(bob);
            staking.delegate(seed & 16 == 0 ? alice : bob);
        }
    }

    function test_delegate_by_signature_once() public {
        bytes32 kind = keccak256("Delegation(address delegatee,uint256 nonce,uint256 expiry)");
        bytes32 hash = keccak256(abi.encode(kind, bob, 0, time));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", _domain(), hash));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(ALICE_KEY, digest);
        staking.delegateBySig(bob, 0, time, v, r, s);
        vm.assertEq(staking.getVotes(bob), 2 * STAKE);
        vm.assertEq(staking.getVotes(alice), 0);
        vm.expectRevert();
        staking.delegateBySig(bob, 0, time, v, r, s);
        _skip(1);
        vm.expectRevert(abi.encodeWithSelector(IVotes.VotesExpiredSignature.selector, time - 1));
        staking.delegateBySig(bob, 1, time - 1, v, r, s);
    }

    function _domain() private view returns (bytes32) {
        (, string memory name, string memory version, uint256 chain, address at,,) = staking.eip712Domain();
        bytes32 kind = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        return keccak256(abi.encode(kind, keccak256(bytes(name)), keccak256(bytes(version)), chain, at));
    }

    function test_revert_lookup_of_the_running_second() public {
        vm.expectRevert(abi.encodeWithSelector(StakeVotes.ERC5805FutureLookup.selector, time, uint48(time)));
        staking.getPastVotes(alice, time);
        vm.expectRevert(abi.encodeWithSelector(StakeVotes.ERC5805FutureLookup.selector, time, uint48(time)));
        staking.getPastTotalSupply(time);
    }

    function test_nobody_has_no_votes() public {
        _skip(1);
        vm.assertEq(staking.getVotes(address(0)), 0);
        vm.assertEq(staking.getPastVotes(address(0), time - 1), 0);
        vm.assertEq(staking.getPastTotalSupply(time - 1), 3 * STAKE);
    }
}
