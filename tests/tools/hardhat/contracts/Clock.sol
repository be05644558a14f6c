// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {console} from "hardhat/console.sol";

/// @title Tells what a transaction sees of its block and its sender, and writes to the console.
contract Clock {
    event Seen(address indexed sender, uint256 number, uint256 timestamp, uint256 baseFeePerGas, uint256 random, address miner);

    uint256 public count;

    function look() external {
        count += 1;
        emit Seen(msg.sender, block.number, block.timestamp, block.basefee, block.prevrandao, block.coinbase);
    }

    function say(string calldata text, uint256 value) external {
        count += 1;
        console.log("%s, %s", text, value);
    }
}
