// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title What the factories of the tests deploy.
contract Created {
    uint256 public immutable value;
    address public immutable creator;

    constructor(uint256 value_) {
        value = value_;
        creator = msg.sender;
    }
}
