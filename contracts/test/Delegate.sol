// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title A proxy: runs another contract's code on its own storage.
contract Delegate {
    /// @notice Slot 0, where `DelegateTarget` counts too.
    uint256 public count;

    /// @notice Delegates a call and lets its failure through.
    function run(address target, bytes calldata data) external payable returns (bytes memory) {
        (bool ok, bytes memory result) = target.delegatecall(data);
        if (!ok) {
            assembly {
                revert(add(result, 32), mload(result))
            }
        }
        return result;
    }
}
