// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Created} from "./Created.sol";

/// @title A factory: contracts at addresses known beforehand.
contract Create2 {
    event Deployed(address indexed account, bytes32 salt);

    /// @notice Deploys at the address that `predict` tells; fails without data when the address is taken.
    function deploy(bytes32 salt, uint256 value) external returns (address account) {
        account = address(new Created{salt: salt}(value));
        emit Deployed(account, salt);
    }

    /// @notice keccak256(0xff, factory, salt, keccak256(init code)), the last 20 bytes.
    function predict(bytes32 salt, uint256 value) external view returns (address) {
        bytes32 initCodeHash = keccak256(abi.encodePacked(type(Created).creationCode, abi.encode(value)));
        bytes32 hash = keccak256(abi.encodePacked(bytes1(0xff), address(this), salt, initCodeHash));
        return address(uint160(uint256(hash)));
    }
}
