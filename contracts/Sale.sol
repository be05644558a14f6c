// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title The rules of one sale: one item, one seller, one fixed price, at most one buyer.
/// @notice The item belongs to the seller until somebody else pays exactly its price; the ether goes to the seller in the
/// same transaction, and from then on the item belongs to the buyer for good. A device that guards the item asks
/// `verifyOwnership` and hands it out to the buyer alone.
/// @dev How the seller becomes known is all that the two concrete contracts add: `SaleOrder` takes its deployer,
/// `RegisteredSaleOrder` takes whom the registry names. Nobody can change, cancel or reprice a sale, and the contract
/// never holds ether: without `receive` and `fallback`, plain transfers revert.
abstract contract Sale {
    /// @notice The account that offers the item and receives its price.
    address payable public immutable seller;

    uint16 private immutable _year;
    uint256 private immutable _priceWei;
    string private _make;
    string private _model;
    string private _serialNumber;
    address private _buyer;

    /// @notice The item was put up for sale.
    /// @param seller who offers it and will be paid
    /// @param make manufacturer
    /// @param model model name
    /// @param year model year, such as 2019
    /// @param serialNumber serial number of the one item
    /// @param priceWei price in wei
    event OrderPlaced(
        address indexed seller, string make, string model, uint16 year, string serialNumber, uint256 priceWei
    );

    /// @notice The item was sold, and its price paid to the seller.
    /// @param seller who was paid
    /// @param buyer who owns the item now
    /// @param priceWei price paid, in wei
    event OrderSold(address indexed seller, address indexed buyer, uint256 priceWei);

    /// @notice The item was sold before.
    /// @param buyer who owns it
    error AlreadySold(address buyer);

    /// @notice The ether sent is not the price.
    /// @param sentWei ether sent, in wei
    /// @param priceWei price, in wei
    error WrongPrice(uint256 sentWei, uint256 priceWei);

    /// @notice The seller tried to buy the item back from itself.
    error SellerCannotBuy();

    /// @notice The seller is a contract that did not accept the payment.
    error PaymentRefused();

    /// @param seller_ who offers the item and will be paid
    /// @param make manufacturer
    /// @param model model name
    /// @param year model year, such as 2019
    /// @param serialNumber serial number of the one item
    /// @param priceWei price in wei
    constructor(
        address payable seller_,
        string memory make,
        string memory model,
        uint16 year,
        string memory serialNumber,
        uint256 priceWei
    ) {
        seller = seller_;
        _make = make;
        _model = model;
        _year = year;
        _serialNumber = serialNumber;
        _priceWei = priceWei;
        emit OrderPlaced(seller_, make, model, year, serialNumber, priceWei);
    }

    /// @notice Buys the item for exactly its price, which the seller receives at once.
    /// @dev Checks, then effects, then the payment: a seller that calls back finds the item sold.
    function buy() external payable {
        if (_buyer != address(0)) revert AlreadySold(_buyer);
        if (msg.sender == seller) revert SellerCannotBuy();
        if (msg.value != _priceWei) revert WrongPrice(msg.value, _priceWei);

        _buyer = msg.sender;
        emit OrderSold(seller, msg.sender, msg.value);

        (bool paid,) = seller.call{value: msg.value}("");
        if (!paid) revert PaymentRefused();
    }

    /// @notice Tells whether the item has been sold.
    /// @return sold true once a buyer has paid
    function isSold() public view returns (bool sold) {
        return _buyer != address(0);
    }

    /// @notice Tells whether an account bought the item. Before the sale this holds for nobody, not even for the seller.
    /// @param claimant account that claims the item
    /// @return verified true for the buyer alone
    function verifyOwnership(address claimant) external view returns (bool verified) {
        return isSold() && claimant == _buyer;
    }

    /// @notice Returns everything there is to know about the item and its sale.
    /// @return make manufacturer
    /// @return model model name
    /// @return year model year
    /// @return serialNumber serial number of the one item
    /// @return priceWei price in wei
    /// @return sold true once a buyer has paid
    /// @return owner the seller until the sale, then the buyer
    /// @return buyer who bought the item, the zero address until the sale
    function getItem()
        external
        view
        returns (
            string memory make,
            string memory model,
            uint16 year,
            string memory serialNumber,
            uint256 priceWei,
            bool sold,
            address owner,
            address buyer
        )
    {
        buyer = _buyer;
        sold = isSold();
        owner = sold ? buyer : seller;
        return (_make, _model, _year, _serialNumber, _priceWei, sold, owner, buyer);
    }
}
