// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC20Votes} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Votes.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {ERC721Enumerable} from "@openzeppelin/contracts/token/ERC721/extensions/ERC721Enumerable.sol";
import {ERC721Holder} from "@openzeppelin/contracts/token/ERC721/utils/ERC721Holder.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";

/// @title Shares: tokens with permits and votes.
contract Shares is ERC20, ERC20Permit, ERC20Votes {
    constructor(uint256 supply) ERC20("Shares", "SHR") ERC20Permit("Shares") {
        _mint(msg.sender, supply);
    }

    function _update(address from, address to, uint256 value) internal override(ERC20, ERC20Votes) {
        super._update(from, to, value);
    }

    function nonces(address owner) public view override(ERC20Permit, Nonces) returns (uint256) {
        return super.nonces(owner);
    }
}

/// @title Keys: a collection that counts its items.
contract Keys is ERC721Enumerable {
    constructor() ERC721("Keys", "KEY") {}

    function mint(address to, uint256 id) external {
        _safeMint(to, id);
    }
}

/// @title A contract that takes items.
contract Cabinet is ERC721Holder {}

/// @title A contract that does not know what an item is.
contract Wall {}
