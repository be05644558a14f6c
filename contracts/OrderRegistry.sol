// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {RegisteredSaleOrder} from "./RegisteredSaleOrder.sol";

/// @title The registry: it creates sales orders for their sellers, and knows its own.
/// @notice The caller of `createOrder` is the seller. The registry has no administrator, takes no fee, and never removes
/// an order.
contract OrderRegistry {
    address[] private _orders;
    mapping(address order => bool created) private _created;
    mapping(address seller => address[] orders) private _ordersOf;

    /// @notice An order was created.
    /// @param order address of the new sales order
    /// @param seller who placed it and will be paid
    /// @param index position of the order in the registry, from 0
    /// @param serialNumber serial number of the item
    /// @param priceWei price in wei
    event OrderCreated(
        address indexed order, address indexed seller, uint256 indexed index, string serialNumber, uint256 priceWei
    );

    /// @notice There is no order at this position.
    /// @param index position asked for, from 0
    /// @param count number of orders
    error NoSuchOrder(uint256 index, uint256 count);

    /// @notice Creates a sales order whose seller is the caller.
    /// @param make manufacturer
    /// @param model model name
    /// @param year model year, such as 2019
    /// @param serialNumber serial number of the one item
    /// @param priceWei price in wei
    /// @return order address of the new sales order
    function createOrder(
        string calldata make,
        string calldata model,
        uint16 year,
        string calldata serialNumber,
        uint256 priceWei
    ) external returns (address order) {
        order =
            address(new RegisteredSaleOrder(payable(msg.sender), make, model, year, serialNumber, priceWei));
        uint256 index = _orders.length;
        _orders.push(order);
        _created[order] = true;
        _ordersOf[msg.sender].push(order);
        emit OrderCreated(order, msg.sender, index, serialNumber, priceWei);
    }

    /// @notice Tells whether this registry created an order.
    /// @param order address of any account
    /// @return created true for the orders of this registry alone
    function isOrder(address order) external view returns (bool created) {
        return _created[order];
    }

    /// @notice Counts the orders of all sellers.
    /// @return count number of orders
    function orderCount() external view returns (uint256 count) {
        return _orders.length;
    }

    /// @notice Returns one order by its position.
    /// @param index position, from 0, in order of creation
    /// @return order address of the sales order
    function orderAt(uint256 index) external view returns (address order) {
        return _at(_orders, index);
    }

    /// @notice Counts the orders of one seller.
    /// @param seller account that placed them
    /// @return count number of orders
    function orderCountOf(address seller) external view returns (uint256 count) {
        return _ordersOf[seller].length;
    }

    /// @notice Returns one order of one seller by its position.
    /// @param seller account that placed it
    /// @param index position among the seller's orders, from 0, in order of creation
    /// @return order address of the sales order
    function orderOfAt(address seller, uint256 index) external view returns (address order) {
        return _at(_ordersOf[seller], index);
    }

    function _at(address[] storage orders, uint256 index) private view returns (address order) {
        if (index >= orders.length) revert NoSuchOrder(index, orders.length);
        return orders[index];
    }
}
