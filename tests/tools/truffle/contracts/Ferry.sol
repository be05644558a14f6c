pragma solidity ^0.5.0;

import "@openzeppelin/contracts/crowdsale/Crowdsale.sol";
import "@openzeppelin/contracts/crowdsale/distribution/RefundableCrowdsale.sol";
import "@openzeppelin/contracts/crowdsale/emission/MintedCrowdsale.sol";
import "@openzeppelin/contracts/crowdsale/validation/CappedCrowdsale.sol";
import "@openzeppelin/contracts/crowdsale/validation/TimedCrowdsale.sol";
import "@openzeppelin/contracts/token/ERC20/ERC20Detailed.sol";
import "@openzeppelin/contracts/token/ERC20/ERC20Mintable.sol";
import "@openzeppelin/contracts/token/ERC20/TokenTimelock.sol";

/// @title Tickets for the ferry.
contract Tickets is ERC20Mintable, ERC20Detailed("Tickets", "TKT", 0) {}

/// @title Sells tickets for a time, up to a cap, and pays back when too few are sold.
contract Ferry is CappedCrowdsale, RefundableCrowdsale, MintedCrowdsale {
    constructor(uint256 opening, uint256 closing, uint256 rate, address payable owner, uint256 cap, uint256 goal, Tickets tickets)
        public
        Crowdsale(rate, owner, tickets)
        CappedCrowdsale(cap)
        TimedCrowdsale(opening, closing)
        RefundableCrowdsale(goal)
    {
        require(goal <= cap, "Ferry: the goal is above the cap");
    }
}

/// @title Keeps tickets until a moment.
contract Locker is TokenTimelock {
    constructor(IERC20 tickets, address beneficiary, uint256 moment) public TokenTimelock(tickets, beneficiary, moment) {}
}

/// @title Fails in each way that the compiler of its time had.
contract Storms {
    uint256 public writes;

    function sink() external {
        writes += 1;
        assert(writes == 0);
    }

    function turnBack() external {
        writes += 1;
        require(writes == 0, "Storms: the river is too high");
    }

    function turnBackSilently() external {
        writes += 1;
        revert();
    }
}
