pragma solidity ^0.5.0;

/// @title Remembers for Truffle which migrations have run.
contract Migrations {
    address public owner = msg.sender;
    uint256 public last_completed_migration;

    function setCompleted(uint256 completed) public {
        require(msg.sender == owner, "Migrations: not the owner");
        last_completed_migration = completed;
    }
}
