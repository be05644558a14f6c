// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title What these tests use of Foundry's own calls.
interface Vm {
    struct EthGetLogs {
        address emitter;
        bytes32[] topics;
        bytes data;
        bytes32 blockHash;
        uint64 blockNumber;
        bytes32 transactionHash;
        uint64 transactionIndex;
        uint256 logIndex;
        bool removed;
    }

    function startBroadcast(uint256 privateKey) external;
    function stopBroadcast() external;
    function addr(uint256 privateKey) external pure returns (address);
    function deriveKey(string calldata mnemonic, uint32 index) external pure returns (uint256);
    function prank(address sender) external;
    function deal(address account, uint256 amountWei) external;
    function warp(uint256 timestamp) external;
    function expectRevert(bytes calldata data) external;
    function expectEmit(bool, bool, bool, bool, address emitter) external;
    function envAddress(string calldata name) external view returns (address);
    function envUint(string calldata name) external view returns (uint256);
    function createSelectFork(string calldata url) external returns (uint256 id);
    function createSelectFork(string calldata url, uint256 blockNumber) external returns (uint256 id);
    function createFork(string calldata url) external returns (uint256 id);
    function selectFork(uint256 id) external;
    function rollFork(uint256 blockNumber) external;
    function rollFork(bytes32 transaction) external;
    function getBlockNumber() external view returns (uint256);
    function rpc(string calldata method, string calldata params) external returns (bytes memory);
    function eth_getLogs(uint256 fromBlock, uint256 toBlock, address emitter, bytes32[] calldata topics)
        external
        returns (EthGetLogs[] memory);
}

/// @title Gives scripts and tests Foundry's calls and the development chain's accounts.
abstract contract Cheats {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    string private constant MNEMONIC = "test test test test test test test test test test test junk";

    /// @notice Returns the key of a development account.
    function key(uint32 index) internal pure returns (uint256) {
        return vm.deriveKey(MNEMONIC, index);
    }

    /// @notice Returns the address of a development account.
    function account(uint32 index) internal pure returns (address) {
        return vm.addr(key(index));
    }
}
