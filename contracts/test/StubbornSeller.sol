// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {SaleOrder} from "../SaleOrder.sol";

/// @title A seller that is a contract and misbehaves when it is paid.
contract StubbornSeller {
    enum Conduct {
        Accept,
        Refuse,
        BuyAgain
    }

    SaleOrder public immutable order;
    Conduct private immutable _conduct;

    /// @notice What the second purchase from within the first gave: the error's selector.
    bytes4 public refusal;

    constructor(Conduct conduct, uint256 priceWei) {
        _conduct = conduct;
        order = new SaleOrder("drone", "alpha", 2019, "4AA6", priceWei);
    }

    receive() external payable {
        if (_conduct == Conduct.Refuse) revert("keep your ether");
        if (_conduct == Conduct.BuyAgain) {
            (, bytes memory data) = address(order).call{value: msg.value}(abi.encodeCall(order.buy, ()));
            refusal = bytes4(data);
        }
    }
}
