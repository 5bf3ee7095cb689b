// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { ERC20 } from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import { ERC20Burnable } from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import { ERC20Capped } from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Capped.sol";
import { ERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import { IERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import { INeuroToken } from "./interfaces/INeuroToken.sol";

/// @title NeuroToken
/// @notice NEURO; see {INeuroToken}.
contract NeuroToken is INeuroToken, ERC20Burnable, ERC20Capped, ERC20Permit {
    /// @inheritdoc INeuroToken
    address public immutable minter;

    /// @param minter_ The Emission contract, usually at an address computed beforehand.
    /// @param holder Receives the genesis allocation.
    /// @param allocation Genesis allocation in wei.
    /// @param cap_ Most wei that may exist at one time.
    constructor(address minter_, address holder, uint256 allocation, uint256 cap_)
        ERC20("Neuro", "NEURO")
        ERC20Capped(cap_)
        ERC20Permit("Neuro")
    {
        minter = minter_;
        _mint(holder, allocation);
    }

    /// @inheritdoc INeuroToken
    function mint(address to, uint256 amount) external {
        if (msg.sender != minter) revert OnlyMinter(msg.sender);
        _mint(to, amount);
    }

    /// @inheritdoc INeuroToken
    function burn(uint256 amount) public override(ERC20Burnable, INeuroToken) {
        super.burn(amount);
    }

    /// @inheritdoc INeuroToken
    function cap() public view override(ERC20Capped, INeuroToken) returns (uint256) {
        return super.cap();
    }

    /// @inheritdoc IERC20Permit
    function nonces(address owner) public view override(ERC20Permit, IERC20Permit) returns (uint256) {
        return super.nonces(owner);
    }

    function _update(address from, address to, uint256 value) internal override(ERC20, ERC20Capped) {
        super._update(from, to, value);
    }
}
