// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";

/// @title A token with permits.
contract Credit is ERC20, ERC20Permit {
    constructor(address holder, uint256 supply) ERC20("Credit", "CRD") ERC20Permit("Credit") {
        _mint(holder, supply);
    }
}

/// @title A collection with one item for its deployer.
contract Keys is ERC721 {
    constructor() ERC721("Keys", "KEY") {
        _mint(msg.sender, 1);
    }
}
