// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title One function for each panic code that the compiler emits.
contract Panics {
    enum Side {
        Left,
        Right
    }

    uint256[] private _planks;
    bytes private _broken;

    /// @notice Stores a byte array in an encoding that Solidity never writes.
    constructor() {
        assembly {
            sstore(_broken.slot, 1)
        }
    }

    /// @notice Panic 0x01.
    function assertion(bool condition) external pure {
        assert(condition);
    }

    /// @notice Panic 0x11 when the sum exceeds 2^256 - 1.
    function add(uint256 a, uint256 b) external pure returns (uint256) {
        return a + b;
    }

    /// @notice Panic 0x11 when b is greater than a.
    function subtract(uint256 a, uint256 b) external pure returns (uint256) {
        return a - b;
    }

    /// @notice Panic 0x12 when b is zero.
    function divide(uint256 a, uint256 b) external pure returns (uint256) {
        return a / b;
    }

    /// @notice Panic 0x21 above 1.
    function toSide(uint256 side) external pure returns (Side) {
        return Side(side);
    }

    /// @notice Panic 0x22: the stored byte array is encoded wrongly.
    function readBroken() external view returns (bytes memory) {
        return _broken;
    }

    /// @notice Panic 0x31: the array is empty.
    function pop() external {
        _planks.pop();
    }

    /// @notice Panic 0x32: the array is empty.
    function plankAt(uint256 index) external view returns (uint256) {
        return _planks[index];
    }

    /// @notice Panic 0x41 for a size in words beyond any memory.
    function allocate(uint256 words) external pure returns (uint256) {
        uint256[] memory memoryWords = new uint256[](words);
        return memoryWords.length;
    }

    /// @notice Panic 0x51: calls an internal function pointer that was never set.
    function callNothing() external pure returns (uint256) {
        function() internal pure returns (uint256) nothing;
        return nothing();
    }
}
