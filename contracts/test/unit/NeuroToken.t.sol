// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { ERC20Capped } from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Capped.sol";
import { vm } from "../../script/Vm.sol";
import { NeuroToken } from "../../src/NeuroToken.sol";
import { INeuroToken } from "../../src/interfaces/INeuroToken.sol";

contract NeuroTokenTest {
    address internal constant HOLDER = address(0xA1);
    NeuroToken internal token;

    function setUp() public {
        token = new NeuroToken(address(this), HOLDER, 100, 150);
    }

    function test_genesis_goes_to_the_holder() public view {
        vm.assertEq(token.balanceOf(HOLDER), 100);
        vm.assertEq(token.totalSupply(), 100);
        vm.assertEq(token.minter(), address(this));
        vm.assertEq(token.cap(), 150);
        vm.assertEq(token.decimals(), 18);
    }

    function test_minter_mints_up_to_the_cap() public {
        token.mint(HOLDER, 50);
        vm.assertEq(token.balanceOf(HOLDER), 150);
    }

    function test_revert_mint_above_cap() public {
        vm.expectRevert(abi.encodeWithSelector(ERC20Capped.ERC20ExceededCap.selector, 151, 150));
        token.mint(HOLDER, 51);
    }

    function test_revert_genesis_above_cap() public {
        vm.expectRevert(abi.encodeWithSelector(ERC20Capped.ERC20ExceededCap.selector, 151, 150));
        new NeuroToken(address(this), HOLDER, 151, 150);
    }

    function test_revert_mint_by_another() public {
        vm.expectRevert(abi.encodeWithSelector(INeuroToken.OnlyMinter.selector, HOLDER));
        vm.prank(HOLDER);
        token.mint(HOLDER, 1);
    }

    function test_burn_destroys() public {
        vm.prank(HOLDER);
        token.burn(40);
        vm.assertEq(token.balanceOf(HOLDER), 60);
        vm.assertEq(token.totalSupply(), 60);
    }

    function test_permit_counts_nonces() public {
        address owner = vm.addr(7);
        bytes32 typehash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 permit = keccak256(abi.encode(typehash, owner, HOLDER, 5, 0, type(uint256).max));
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(7, keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), permit)));
        token.permit(owner, HOLDER, 5, type(uint256).max, v, r, s);
        vm.assertEq(token.allowance(owner, HOLDER), 5);
        vm.assertEq(token.nonces(owner), 1);
    }
}
