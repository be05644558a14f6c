// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title Logs with zero to four topics.
contract Events {
    event Plain(uint256 value);
    event Indexed(address indexed from, uint256 indexed id, bool indexed flag, uint256 value);
    event IndexedText(string indexed text, string plain, bytes data);
    event Secret(uint256 indexed a, uint256 indexed b, uint256 indexed c, uint256 indexed d) anonymous;
    event Bare(uint256 value) anonymous;

    function plain(uint256 value) external {
        emit Plain(value);
    }

    function withIndexes(uint256 id, bool flag, uint256 value) external {
        emit Indexed(msg.sender, id, flag, value);
    }

    /// @notice The topic of an indexed string is its hash.
    function withText(string calldata text, bytes calldata data) external {
        emit IndexedText(text, text, data);
    }

    /// @notice Four topics of its own, none of them a signature.
    function secret(uint256 a, uint256 b, uint256 c, uint256 d) external {
        emit Secret(a, b, c, d);
    }

    /// @notice No topic at all.
    function bare(uint256 value) external {
        emit Bare(value);
    }

    /// @notice Emits `count` logs with increasing values.
    function many(uint256 count) external {
        for (uint256 value = 0; value < count; value++) {
            emit Plain(value);
        }
    }

    /// @notice Emits a log in an inner call that fails, then one that stands.
    function lostAndKept(uint256 lost, uint256 kept) external {
        try this.emitThenFail(lost) {} catch {}
        emit Plain(kept);
    }

    function emitThenFail(uint256 value) external {
        emit Plain(value);
        revert("lost");
    }
}
