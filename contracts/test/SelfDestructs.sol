// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {SelfDestruct} from "./SelfDestruct.sol";

/// @title Creates a contract and destroys it in the same transaction, which removes it.
contract SelfDestructs {
    /// @notice Where the short-lived contract stood.
    address public last;

    function createAndDestroy(address payable heir) external payable {
        SelfDestruct created = new SelfDestruct{value: msg.value}();
        last = address(created);
        created.destroy(heir);
    }
}
