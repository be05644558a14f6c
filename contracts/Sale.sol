// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IWallet} from "./IWallet.sol";

/// @title The rules of one sale: one item, one seller, one fixed price, at most one buyer.
/// @notice The item belongs to the seller until somebody else pays exactly its price; the ether goes to the seller in the
/// same transaction, and from then on the item belongs to the buyer for good. A device that guards the item asks
/// `verifyOwnership` and hands it out to the buyer alone, once: the release is recorded here before a lock opens, and the
/// opening after it.
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

    /// @notice The account that the seller lets record releases, besides the seller itself; zero: nobody.
    address public operator;

    // The release. The job is the EIP-712 digest of what the buyer signs: it names chain, contract, buyer, device, nonce and
    // expiry in one word. Zero: not released.
    bytes32 private _job;
    bytes32 private _nonceHash;
    address private _releasedBy;
    uint40 private _releasedAt;
    uint40 private _openedAt;
    bool private _signed;
    string private _device;

    bytes32 private constant DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant DOMAIN_NAME = keccak256("Drawbridge");
    bytes32 private constant DOMAIN_VERSION = keccak256("1");
    bytes32 private constant RELEASE_TYPE =
        keccak256("Release(address buyer,string device,bytes16 nonce,uint64 notAfter)");
    // Half the order of secp256k1: of the two signatures that say the same, only the lower one counts.
    uint256 private constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

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

    /// @notice The seller named who else may record the release.
    /// @param operator the account, zero for nobody
    event OperatorNamed(address indexed operator);

    /// @notice The item may be handed out, at one device and once.
    /// @param buyer who collects it
    /// @param job EIP-712 digest of chain, contract, buyer, device, nonce and expiry
    /// @param releasedBy the seller or its operator
    /// @param device name of the device that hands it out
    /// @param nonceHash keccak256 of the code's nonce
    /// @param signed true where the buyer signed for this release, false for a plain code
    event Released(
        address indexed buyer,
        bytes32 indexed job,
        address indexed releasedBy,
        string device,
        bytes32 nonceHash,
        bool signed
    );

    /// @notice The device reported that it opened.
    /// @param buyer who collected the item
    /// @param job the release that was carried out
    /// @param device name of the device that opened
    event Opened(address indexed buyer, bytes32 indexed job, string device);

    /// @notice Only the seller may do this.
    error NotSeller();

    /// @notice Only the seller and the operator that it named may do this.
    error NotOperator();

    /// @notice Nobody bought the item yet.
    error NotSold();

    /// @notice The item was released before.
    /// @param job the release that is recorded
    error AlreadyReleased(bytes32 job);

    /// @notice The code's time is over.
    /// @param notAfter the last second in which it counted, in seconds since 1970
    error CodeExpired(uint64 notAfter);

    /// @notice The signature is not the buyer's over this release.
    error WrongSignature();

    /// @notice This release is not recorded.
    /// @param job the release that is recorded; zero: none
    error NotReleased(bytes32 job);

    /// @notice The opening was recorded before.
    error AlreadyOpened();

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

    /// @notice Names the account that may record the release besides the seller, such as the warehouse's bridge.
    /// @param operator_ the account; zero for nobody
    function setOperator(address operator_) external {
        if (msg.sender != seller) revert NotSeller();
        operator = operator_;
        emit OperatorNamed(operator_);
    }

    /// @notice Records, once and for all, that the buyer collects the item with a code that it signed.
    /// @param device name of the device that hands the item out
    /// @param nonce the code's nonce
    /// @param notAfter the last second in which the code counts, in seconds since 1970
    /// @param signature r, s and v (27 or 28) of the buyer's EIP-712 signature over `releaseDigest`: 65 bytes. Where the buyer is a
    /// contract: what its `isValidSignature` takes (EIP-1271)
    function release(string calldata device, bytes16 nonce, uint64 notAfter, bytes calldata signature) external {
        bytes32 job = releaseDigest(device, nonce, notAfter);
        if (!_signedByBuyer(job, signature)) revert WrongSignature();
        _release(job, device, nonce, notAfter, true);
    }

    /// @notice Records, once and for all, that the buyer collects the item with a plain code, for which the operator vouches.
    /// @param device name of the device that hands the item out
    /// @param nonce a number that the operator chose for this release
    /// @param notAfter the last second in which it counts, in seconds since 1970
    function releasePlain(string calldata device, bytes16 nonce, uint64 notAfter) external {
        _release(releaseDigest(device, nonce, notAfter), device, nonce, notAfter, false);
    }

    /// @notice Records that the device reported its lock open.
    /// @param job the release that was carried out
    function recordOpening(bytes32 job) external {
        _onlyOperator();
        if (job == 0 || job != _job) revert NotReleased(_job);
        if (_openedAt != 0) revert AlreadyOpened();
        _openedAt = uint40(block.timestamp);
        emit Opened(_buyer, job, _device);
    }

    /// @notice Returns what the buyer signs to collect the item: the EIP-712 digest of
    /// `Release(address buyer,string device,bytes16 nonce,uint64 notAfter)` in the domain Drawbridge, version 1, of this chain and contract.
    /// @param device name of the device that hands the item out
    /// @param nonce 16 random bytes
    /// @param notAfter the last second in which the code counts, in seconds since 1970
    /// @return digest the 32 bytes to sign
    function releaseDigest(string calldata device, bytes16 nonce, uint64 notAfter) public view returns (bytes32 digest) {
        bytes32 domain = keccak256(abi.encode(DOMAIN_TYPE, DOMAIN_NAME, DOMAIN_VERSION, block.chainid, address(this)));
        bytes32 content = keccak256(abi.encode(RELEASE_TYPE, _buyer, keccak256(bytes(device)), nonce, notAfter));
        return keccak256(abi.encodePacked(bytes2(0x1901), domain, content));
    }

    /// @notice Returns the release, all zero before there is one.
    /// @return job EIP-712 digest of the release; zero: not released
    /// @return collectedBy the buyer who collects the item
    /// @return releasedAt when the release was recorded, in seconds since 1970
    /// @return openedAt when the opening was recorded; zero: not yet
    /// @return nonceHash keccak256 of the code's nonce
    /// @return releasedBy the seller or its operator
    /// @return signed true where the buyer signed for it
    /// @return device name of the device that hands the item out
    function getRelease()
        external
        view
        returns (
            bytes32 job,
            address collectedBy,
            uint40 releasedAt,
            uint40 openedAt,
            bytes32 nonceHash,
            address releasedBy,
            bool signed,
            string memory device
        )
    {
        collectedBy = _job == 0 ? address(0) : _buyer;
        return (_job, collectedBy, _releasedAt, _openedAt, _nonceHash, _releasedBy, _signed, _device);
    }

    function _release(bytes32 job, string calldata device, bytes16 nonce, uint64 notAfter, bool signed) private {
        _onlyOperator();
        if (!isSold()) revert NotSold();
        if (_job != 0) revert AlreadyReleased(_job);
        if (block.timestamp > notAfter) revert CodeExpired(notAfter);
        _job = job;
        _nonceHash = keccak256(abi.encodePacked(nonce));
        _releasedBy = msg.sender;
        _releasedAt = uint40(block.timestamp);
        _signed = signed;
        _device = device;
        emit Released(_buyer, job, msg.sender, device, _nonceHash, signed);
    }

    function _onlyOperator() private view {
        if (msg.sender != seller && msg.sender != operator) revert NotOperator();
    }

    function _signedByBuyer(bytes32 digest, bytes calldata signature) private view returns (bool signed) {
        return _signedByKey(digest, signature) || (_buyer.code.length > 0 && _signedByWallet(digest, signature));
    }

    // A wallet that reverts, or answers anything but the one word, did not sign.
    function _signedByWallet(bytes32 digest, bytes calldata signature) private view returns (bool signed) {
        (bool answered, bytes memory answer) =
            _buyer.staticcall(abi.encodeCall(IWallet.isValidSignature, (digest, signature)));
        return answered && answer.length == 32 && bytes32(answer) == bytes32(IWallet.isValidSignature.selector);
    }

    function _signedByKey(bytes32 digest, bytes calldata signature) private view returns (bool signed) {
        if (signature.length != 65 || uint256(bytes32(signature[32:64])) > HALF_ORDER) return false;
        address signer = ecrecover(digest, uint8(signature[64]), bytes32(signature[:32]), bytes32(signature[32:64]));
        return signer != address(0) && signer == _buyer;
    }
}
