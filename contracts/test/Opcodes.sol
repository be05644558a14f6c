// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title The opcodes of the newer forks, and what the block tells.
contract Opcodes {
    /// @notice PUSH0: deploys eight bytes of code, `PUSH1 42 PUSH0 MSTORE PUSH1 32 PUSH0 RETURN`, and calls them.
    /// @return answer 42
    function pushZero() external returns (uint256 answer) {
        bytes memory initCode = hex"67602a5f5260205ff35f5260086018f3";
        address account;
        assembly {
            account := create(0, add(initCode, 32), mload(initCode))
        }
        require(account.code.length == 8, "deployment failed");
        (bool ok, bytes memory result) = account.call("");
        require(ok, "call failed");
        return abi.decode(result, (uint256));
    }

    /// @notice MCOPY between overlapping regions.
    function memoryCopy(bytes32 word) external pure returns (bytes32 shifted) {
        assembly {
            mstore(0x00, word)
            mstore(0x20, 0)
            mcopy(0x01, 0x00, 0x20)
            shifted := mload(0x01)
        }
    }

    /// @notice CLZ: counts leading zero bits.
    function leadingZeros(uint256 word) external pure returns (uint256 bits) {
        assembly {
            bits := clz(word)
        }
    }

    /// @notice What the opcodes tell about the block in which they run.
    function environment()
        external
        view
        returns (
            uint256 number,
            uint256 timestamp,
            uint256 prevrandao,
            uint256 baseFee,
            uint256 blobBaseFee,
            uint256 gasLimit,
            uint256 chainId,
            address coinbase,
            bytes32 parentHash
        )
    {
        return (
            block.number,
            block.timestamp,
            block.prevrandao,
            block.basefee,
            block.blobbasefee,
            block.gaslimit,
            block.chainid,
            block.coinbase,
            blockhash(block.number - 1)
        );
    }

    /// @notice The precompiled contracts 1 to 4: recovery, SHA-256, RIPEMD-160, identity.
    function precompiles(bytes32 hash, uint8 v, bytes32 r, bytes32 s)
        external
        view
        returns (address signer, bytes32 sha, bytes20 ripemd, bool copied)
    {
        signer = ecrecover(hash, v, r, s);
        sha = sha256("drawbridge");
        ripemd = ripemd160("drawbridge");
        (bool ok, bytes memory copy) = address(4).staticcall("drawbridge");
        copied = ok && keccak256(copy) == keccak256("drawbridge");
    }
}
