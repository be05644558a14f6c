// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title Code that others run by delegatecall, and accounts by delegation.
contract DelegateTarget {
    uint256 public count;

    event Counted(address indexed self, address indexed caller, uint256 value, uint256 count);

    error CountTooLarge(uint256 by);

    function increase(uint256 by) external payable returns (uint256) {
        if (by > 1000) revert CountTooLarge(by);
        count += by;
        emit Counted(address(this), msg.sender, msg.value, count);
        return count;
    }

    receive() external payable {}
}
