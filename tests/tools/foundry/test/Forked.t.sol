// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Cheats, Vm} from "../src/Cheats.sol";
import {Credit, Keys} from "../src/Goods.sol";
import {LibraryUser} from "../src/samples/LibraryUser.sol";
import {OrderRegistry} from "../src/sale/OrderRegistry.sol";
import {Sale} from "../src/sale/Sale.sol";

/// @title The market of `Market.s.sol` on the node's own chain, read and changed in a fork.
/// @notice Where it stands and when it opened come in variables of the environment.
contract ForkedTest is Cheats {
    OrderRegistry private registry;
    Sale private order;
    Credit private credit;
    Keys private keys;

    event OrderSold(address indexed seller, address indexed buyer, uint256 priceWei);

    function setUp() public {
        registry = OrderRegistry(vm.envAddress("MARKET_REGISTRY"));
        order = Sale(vm.envAddress("MARKET_ORDER"));
        credit = Credit(vm.envAddress("MARKET_CREDIT"));
        keys = Keys(vm.envAddress("MARKET_KEYS"));
    }

    function test_the_head_is_what_the_script_left() public view {
        require(block.chainid == 1337, "chain id");
        require(registry.isOrder(address(order)), "registered");
        require(order.isSold() && order.verifyOwnership(account(1)) && !order.verifyOwnership(account(0)), "owner");
        require(credit.balanceOf(account(1)) == 600 && credit.balanceOf(account(2)) == 400, "credit");
        require(keys.ownerOf(1) == account(1), "keys");
        require(address(order).code.length > 1_000 && address(order).codehash != 0, "code");
    }

    function test_a_fork_takes_changes_that_the_chain_does_not() public {
        address order2 = registry.createOrder("robot", "beta", 2020, "5BB7", 1 ether);
        address buyer = address(0xB0B);
        vm.deal(buyer, 3 ether);
        vm.prank(buyer);
        vm.expectRevert(abi.encodeWithSelector(Sale.WrongPrice.selector, 2 ether, 1 ether));
        Sale(order2).buy{value: 2 ether}();

        vm.expectEmit(true, true, false, true, order2);
        emit OrderSold(address(this), buyer, 1 ether);
        uint256 balance = address(this).balance;
        vm.prank(buyer);
        Sale(order2).buy{value: 1 ether}();
        require(Sale(order2).verifyOwnership(buyer) && address(this).balance == balance + 1 ether, "paid");
    }

    function test_forks_stand_at_any_block() public {
        uint256 opened = vm.envUint("MARKET_BLOCK");
        uint256 sold = vm.envUint("MARKET_SOLD_BLOCK");
        vm.createSelectFork("drawbridge", sold);
        require(order.isSold(), "sold at its block");
        vm.rollFork(sold - 1);
        require(address(order).code.length > 0 && !order.isSold() && credit.balanceOf(account(1)) == 1_000, "before");
        vm.rollFork(opened - 1);
        require(address(registry).code.length == 0 && vm.getBlockNumber() == opened - 1, "before the market");
    }

    function test_the_node_answers_calls_and_logs_from_solidity() public {
        require(uint256(bytes32(padded(vm.rpc("eth_chainId", "[]")))) == 1337, "eth_chainId");
        bytes32[] memory topics = new bytes32[](3);
        topics[0] = OrderSold.selector;
        topics[1] = bytes32(uint256(uint160(account(0))));
        topics[2] = bytes32(uint256(uint160(account(1))));
        Vm.EthGetLogs[] memory logs = vm.eth_getLogs(vm.envUint("MARKET_BLOCK"), block.number, address(order), topics);
        require(logs.length == 1 && logs[0].blockNumber == vm.envUint("MARKET_SOLD_BLOCK"), "one sale");
        require(abi.decode(logs[0].data, (uint256)) == 0.5 ether && !logs[0].removed, "its price");
    }

    /// Quantities come as bytes without leading zeros.
    function padded(bytes memory quantity) private pure returns (bytes memory word) {
        word = new bytes(32);
        for (uint256 i = 0; i < quantity.length; i++) word[32 - quantity.length + i] = quantity[i];
    }

    receive() external payable {}
}
