// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { IInferenceEscrow } from "../../src/interfaces/IInferenceEscrow.sol";

/// @title Bomb
/// @notice Answers any call with a megabyte, or not at all.
contract Bomb {
    fallback() external payable {
        assembly {
            return(0, 1000000)
        }
    }
}

/// @title ReentrantToken
/// @notice A token that calls back into the escrow, in its depositor's name, while it pays out.
contract ReentrantToken {
    mapping(address => uint256) public balanceOf;
    IInferenceEscrow private _target;
    bool public tried;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function attack(IInferenceEscrow target) external {
        _target = target;
        balanceOf[address(this)] += 10;
        target.deposit(10);
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        return _move(from, to, amount);
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        if (address(_target) != address(0) && !tried) {
            tried = true;
            // Its own deposit comes out once here; a second time must fail.
            _target.withdraw(10);
            (bool ok,) = address(_target).call(abi.encodeCall(IInferenceEscrow.withdraw, (10)));
            require(!ok, "paid twice");
        }
        return _move(msg.sender, to, amount);
    }

    function _move(address from, address to, uint256 amount) private returns (bool) {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        return true;
    }
}
