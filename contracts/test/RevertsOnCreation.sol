// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title A contract whose deployment fails, by reason or by custom error.
contract RevertsOnCreation {
    error NotToday(uint256 day);

    /// @param day 0 fails with a reason, 1 to 6 with the custom error, 7 and more succeed
    constructor(uint256 day) {
        require(day != 0, "day zero");
        if (day < 7) revert NotToday(day);
    }
}
