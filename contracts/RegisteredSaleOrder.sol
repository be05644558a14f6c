// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Sale} from "./Sale.sol";

/// @title A sales order that a registry deploys for a seller.
/// @notice The rules of the sale stand in `Sale`; after deployment it behaves exactly like a `SaleOrder`.
/// @dev The deployer names the seller. Anybody can deploy one in another account's name (and so present that account with
/// the price); only `OrderRegistry.isOrder` tells which orders their sellers placed.
contract RegisteredSaleOrder is Sale {
    /// @param seller who offers the item and will be paid
    /// @param make manufacturer
    /// @param model model name
    /// @param year model year, such as 2019
    /// @param serialNumber serial number of the one item
    /// @param priceWei price in wei
    constructor(
        address payable seller,
        string memory make,
        string memory model,
        uint16 year,
        string memory serialNumber,
        uint256 priceWei
    ) Sale(seller, make, model, year, serialNumber, priceWei) {}
}
