// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title A wallet of two owners that is a contract, and signs by EIP-1271 with both their signatures, one after the other.
/// @dev `answer` makes it answer otherwise, as a broken or hostile wallet would.
contract Wallet {
    /// @notice How the wallet answers.
    enum Answer {
        Honest,
        Always,
        Reverts,
        Long,
        Nothing
    }

    address private immutable _first;
    address private immutable _second;

    /// @notice How it answers now.
    Answer public answer;

    /// @notice The call that the wallet made failed.
    error CallFailed();

    /// @param first one owner
    /// @param second the other
    constructor(address first, address second) {
        _first = first;
        _second = second;
    }

    /// @notice Takes ether.
    receive() external payable {}

    /// @notice Changes how it answers.
    /// @param to the new way
    function setAnswer(Answer to) external {
        answer = to;
    }

    /// @notice Calls another contract in the wallet's name.
    /// @param to whom
    /// @param value ether to send, in wei
    /// @param data input of the call
    function execute(address to, uint256 value, bytes calldata data) external {
        (bool done,) = to.call{value: value}(data);
        if (!done) revert CallFailed();
    }

    /// @notice Tells whether both owners signed.
    /// @param hash what was signed
    /// @param signature two signatures of 65 bytes: r, s, v, the first owner's first
    /// @return magicValue 0x1626ba7e where they did
    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4 magicValue) {
        if (answer == Answer.Always) return this.isValidSignature.selector;
        if (answer == Answer.Reverts) revert CallFailed();
        if (answer == Answer.Long) {
            assembly {
                mstore(0, shl(224, 0x1626ba7e))
                mstore(32, 1)
                return(0, 64)
            }
        }
        if (answer == Answer.Nothing) {
            assembly {
                return(0, 0)
            }
        }
        bool signed = signature.length == 130 && _by(_first, hash, signature[:65]) && _by(_second, hash, signature[65:]);
        return signed ? this.isValidSignature.selector : bytes4(0xffffffff);
    }

    function _by(address owner, bytes32 hash, bytes calldata signature) private pure returns (bool signed) {
        address signer = ecrecover(hash, uint8(signature[64]), bytes32(signature[:32]), bytes32(signature[32:64]));
        return signer != address(0) && signer == owner;
    }
}
