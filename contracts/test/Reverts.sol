// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title Every way in which a call fails on purpose.
contract Reverts {
    /// @notice Written before each failing transaction reverts, so that a test sees the write undone.
    uint256 public writes;

    error Plain();
    error Detailed(address caller, uint256 amount, string text);

    function withReason() external {
        writes++;
        revert("the bridge is up");
    }

    function withLongReason() external pure {
        revert("a reason that is longer than one word of thirty-two bytes, so that it spans three words of memory");
    }

    function withUnicodeReason() external pure {
        revert(unicode"die Brücke ist offen ⛔");
    }

    function withoutReason() external pure {
        revert();
    }

    function withEmptyReason() external pure {
        revert("");
    }

    function withPlainError() external pure {
        revert Plain();
    }

    function withDetailedError(uint256 amount) external view {
        revert Detailed(msg.sender, amount, "seventeen planks");
    }

    function requireError(bool condition) external pure returns (bool) {
        require(condition, Plain());
        return true;
    }

    /// @notice Fails in an inner call and lets the inner error through.
    function bubbling() external view {
        this.withDetailedError(7);
    }

    /// @notice Catches each kind of failure of an inner call.
    /// @return kind 1 reason, 2 panic, 3 anything else
    function catching(bytes calldata innerCall) external view returns (uint256 kind, bytes memory data) {
        (bool ok, bytes memory result) = address(this).staticcall(innerCall);
        require(!ok, "the inner call was to fail");
        bytes4 selector = result.length < 4 ? bytes4(0) : bytes4(result);
        if (selector == bytes4(0x08c379a0)) return (1, result);
        if (selector == bytes4(0x4e487b71)) return (2, result);
        return (3, result);
    }

    /// @notice Fails by the invalid opcode 0xfe, which burns all gas.
    function invalidOpcode() external pure {
        assembly {
            invalid()
        }
    }

    /// @notice Never ends: runs out of whatever gas it is given.
    function endless() external view returns (uint256 sum) {
        while (gasleft() >= 0) sum = uint256(keccak256(abi.encode(sum)));
    }

    /// @notice Refuses value, so that a payment to a function that is not payable reverts without data.
    function notPayable() external {
        writes++;
    }
}
