// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { IERC20Metadata } from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import { IERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";

/// @title INeuroToken
/// @notice NEURO: ERC-20 with permit (ERC-2612), a supply cap, burning, and one minter fixed at deployment.
/// @dev Beyond the standard: ERC20ExceededCap is thrown when a mint would pass the cap.
interface INeuroToken is IERC20Metadata, IERC20Permit {
    /// @notice Thrown when anyone but the minter mints.
    error OnlyMinter(address caller);

    /// @notice The one account that may mint: the Emission contract.
    function minter() external view returns (address);

    /// @notice Most wei that may exist at one time.
    function cap() external view returns (uint256);

    /// @notice Makes `amount` wei for `to`. Minter only.
    function mint(address to, uint256 amount) external;

    /// @notice Destroys `amount` wei of the caller's.
    function burn(uint256 amount) external;
}
