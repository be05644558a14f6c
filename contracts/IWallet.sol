// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title A wallet that is a contract (EIP-1271).
interface IWallet {
    /// @notice Tells whether a signature is the wallet's own.
    /// @param hash what was signed
    /// @param signature what the wallet takes as its signature
    /// @return magicValue this function's selector, where it is
    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4 magicValue);
}
