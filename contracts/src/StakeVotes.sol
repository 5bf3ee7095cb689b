// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { IERC5805 } from "@openzeppelin/contracts/interfaces/IERC5805.sol";
import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { Nonces } from "@openzeppelin/contracts/utils/Nonces.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";

/// @title StakeVotes
/// @notice Votes by timestamp with the interface of ERC-5805. What was never delegated votes for its owner.
/// @dev OpenZeppelin's Votes with another layout: the newest value and the number of older ones share one slot, so a change
/// writes two slots instead of three, the first one a single slot.
abstract contract StakeVotes is IERC5805, EIP712, Nonces {
    using SafeCast for uint256;

    /// @param since Timestamp from which `votes` hold.
    /// @param older Values before; 0 in the history.
    struct Head {
        uint48 since;
        uint128 votes;
        uint32 older;
    }

    bytes32 private constant DELEGATION_TYPEHASH =
        keccak256("Delegation(address delegatee,uint256 nonce,uint256 expiry)");
    /// @dev Stands for all stake together: nobody delegates to address 0.
    address private constant TOTAL = address(0);

    mapping(address account => address) private _delegatee;
    mapping(address delegate => Head) private _heads;
    mapping(address delegate => mapping(uint256 index => Head)) private _history;

    /// @notice Thrown when votes are asked for that can still change.
    error ERC5805FutureLookup(uint256 timepoint, uint48 clock);

    /// @notice Gives the caller's votes to `to`, from now on; address 0 takes them back.
    function delegate(address to) external {
        _delegate(msg.sender, to);
    }

    /// @notice {delegate} by a signature of EIP-712 type Delegation(address delegatee,uint256 nonce,uint256 expiry).
    function delegateBySig(address to, uint256 nonce, uint256 expiry, uint8 v, bytes32 r, bytes32 s) external {
        if (block.timestamp > expiry) revert VotesExpiredSignature(expiry);
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(DELEGATION_TYPEHASH, to, nonce, expiry)));
        address signer = ECDSA.recover(digest, v, r, s);
        _useCheckedNonce(signer, nonce);
        _delegate(signer, to);
    }

    /// @notice Votes of `account` now.
    function getVotes(address account) external view returns (uint256) {
        return account == TOTAL ? 0 : _heads[account].votes;
    }

    /// @notice Votes of `account` at the end of second `timepoint`, which must be over.
    function getPastVotes(address account, uint256 timepoint) external view returns (uint256) {
        return account == TOTAL ? 0 : _at(account, timepoint);
    }

    /// @notice All votes at the end of second `timepoint`, which must be over.
    function getPastTotalSupply(uint256 timepoint) external view returns (uint256) {
        return _at(TOTAL, timepoint);
    }

    /// @notice The clock of ERC-6372.
    // forge-lint: disable-next-line(mixed-case-function)
    function CLOCK_MODE() external pure returns (string memory) {
        return "mode=timestamp";
    }

    /// @notice Who votes for `account`: itself, unless it chose another.
    function delegates(address account) public view returns (address chosen) {
        chosen = _delegatee[account];
        if (chosen == address(0)) chosen = account;
    }

    /// @notice Seconds of the chain.
    function clock() public view returns (uint48) {
        return block.timestamp.toUint48();
    }

    /// @dev `account` has `amount` more stake.
    function _addVotes(address account, uint256 amount) internal {
        _set(TOTAL, _heads[TOTAL].votes + amount);
        _move(address(0), delegates(account), amount);
    }

    /// @dev `account` has `amount` less stake.
    function _removeVotes(address account, uint256 amount) internal {
        _set(TOTAL, _heads[TOTAL].votes - amount);
        _move(delegates(account), address(0), amount);
    }

    function _totalVotes() internal view returns (uint256) {
        return _heads[TOTAL].votes;
    }

    /// @dev The stake that `account` votes with.
    function _stakeOf(address account) internal view virtual returns (uint256);

    function _delegate(address account, address to) private {
        address from = delegates(account);
        if (to == address(0)) to = account;
        _delegatee[account] = to == account ? address(0) : to;
        emit DelegateChanged(account, from, to);
        uint256 amount = _stakeOf(account);
        if (from != to && amount != 0) _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) private {
        if (from != address(0)) {
            uint256 before = _heads[from].votes;
            _set(from, before - amount);
            emit DelegateVotesChanged(from, before, before - amount);
        }
        if (to != address(0)) {
            uint256 before = _heads[to].votes;
            _set(to, before + amount);
            emit DelegateVotesChanged(to, before, before + amount);
        }
    }

    /// @dev A second change within a second overwrites the first: what counts is how a second ends.
    function _set(address account, uint256 votes) private {
        Head memory head = _heads[account];
        uint48 time = clock();
        if (head.since != time) {
            if (head.since != 0) _history[account][head.older++] = Head(head.since, head.votes, 0);
            head.since = time;
        }
        head.votes = votes.toUint128();
        _heads[account] = head;
    }

    function _at(address account, uint256 timepoint) private view returns (uint256) {
        if (timepoint >= clock()) revert ERC5805FutureLookup(timepoint, clock());
        Head memory head = _heads[account];
        if (head.since <= timepoint) return head.votes;
        // The first of the older values that is too new.
        (uint256 low, uint256 high) = (0, head.older);
        while (low < high) {
            uint256 middle = Math.average(low, high);
            if (_history[account][middle].since > timepoint) high = middle;
            else low = middle + 1;
        }
        return low == 0 ? 0 : _history[account][low - 1].votes;
    }
}
