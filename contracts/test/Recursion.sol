// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title Calls into itself: by the stack, which holds 1024 words, and by messages, of which 1024 may nest.
contract Recursion {
    /// @notice Adds the numbers 1 to n by internal calls; the stack overflows in the thousands.
    function sum(uint256 n) public pure returns (uint256) {
        return n == 0 ? 0 : n + sum(n - 1);
    }

    /// @notice Calls itself `n` times by messages and returns the depth that was reached.
    /// @dev Each level passes on 63 of 64 parts of its gas, and a level that fails ends the descent.
    function descend(uint256 n) external view returns (uint256 depth) {
        if (n == 0) return 0;
        try this.descend(n - 1) returns (uint256 below) {
            return below + 1;
        } catch {
            return 0;
        }
    }

    /// @notice Burns gas by hashing `rounds` times.
    function burn(uint256 rounds) external pure returns (bytes32 hash) {
        for (uint256 i = 0; i < rounds; i++) {
            hash = keccak256(abi.encode(hash, i));
        }
    }
}
