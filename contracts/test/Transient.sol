// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title Transient storage: a lock and a counter that live for one transaction.
contract Transient {
    bool private transient _locked;
    uint256 private transient _count;

    /// @notice What the last transaction counted.
    uint256 public counted;

    error Locked();

    modifier lock() {
        if (_locked) revert Locked();
        _locked = true;
        _;
        _locked = false;
    }

    /// @notice Counts in transient storage across inner calls; the count starts at zero in each transaction.
    function count(uint256 times) external {
        for (uint256 i = 0; i < times; i++) {
            this.increment();
        }
        counted = _count;
    }

    function increment() external {
        _count++;
    }

    /// @notice Always zero in a call of its own.
    function current() external view returns (uint256) {
        return _count;
    }

    /// @notice Enters itself again, which the lock refuses.
    function reenter() external lock {
        this.guarded();
    }

    /// @notice Works whenever nobody holds the lock.
    function guarded() external lock returns (bool) {
        return true;
    }
}
