// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Cheats} from "../src/Cheats.sol";
import {Credit, Keys} from "../src/Goods.sol";
import {LibraryUser} from "../src/samples/LibraryUser.sol";
import {OrderRegistry} from "../src/sale/OrderRegistry.sol";
import {Sale} from "../src/sale/Sale.sol";

/// @title Opens a market: a registry, an order that is bought, tokens, and a contract with a linked library, by two senders.
contract Market is Cheats {
    uint256 private constant PRICE_WEI = 0.5 ether;

    function run()
        external
        returns (OrderRegistry registry, address order, Credit credit, Keys keys, LibraryUser linked)
    {
        vm.startBroadcast(key(0));
        registry = new OrderRegistry();
        order = registry.createOrder("drone", "alpha", 2019, "4AA6", PRICE_WEI);
        credit = new Credit(account(1), 1_000);
        keys = new Keys();
        keys.transferFrom(account(0), account(1), 1);
        linked = new LibraryUser();
        vm.stopBroadcast();

        vm.startBroadcast(key(1));
        Sale(order).buy{value: PRICE_WEI}();
        credit.transfer(account(2), 400);
        vm.stopBroadcast();
    }
}
