// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Planks} from "./Planks.sol";

/// @title A contract that is linked to the library `Planks`.
contract LibraryUser {
    using Planks for Planks.Pile;

    Planks.Pile private _pile;

    function add(uint256 length) external {
        _pile.add(length);
    }

    function longest() external view returns (uint256) {
        return _pile.longest();
    }
}
