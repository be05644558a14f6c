// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title A library with external functions, deployed once and linked by address.
library Planks {
    struct Pile {
        uint256[] lengths;
    }

    error PileIsEmpty();

    event PlankAdded(uint256 length);

    /// @notice Adds a plank to a pile in the caller's storage.
    function add(Pile storage pile, uint256 length) external {
        pile.lengths.push(length);
        emit PlankAdded(length);
    }

    /// @notice Returns the longest plank; fails on an empty pile.
    function longest(Pile storage pile) external view returns (uint256 length) {
        if (pile.lengths.length == 0) revert PileIsEmpty();
        for (uint256 i = 0; i < pile.lengths.length; i++) {
            if (pile.lengths[i] > length) length = pile.lengths[i];
        }
    }
}
