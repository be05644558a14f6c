// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Sale} from "./Sale.sol";

/// @title A sales order that the seller deploys itself.
/// @notice Whoever deploys the contract is the seller. The rules of the sale stand in `Sale`.
contract SaleOrder is Sale {
    /// @param make manufacturer
    /// @param model model name
    /// @param year model year, such as 2019
    /// @param serialNumber serial number of the one item
    /// @param priceWei price in wei
    constructor(string memory make, string memory model, uint16 year, string memory serialNumber, uint256 priceWei)
        Sale(payable(msg.sender), make, model, year, serialNumber, priceWei)
    {}
}
