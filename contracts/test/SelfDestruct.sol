// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title A contract that sends its ether away by the opcode SELFDESTRUCT.
/// @dev Since Cancun, the code goes only when the contract was created in the same transaction.
contract SelfDestruct {
    uint256 public alive = 1;

    constructor() payable {}

    function destroy(address payable heir) external {
        selfdestruct(heir);
    }
}
