// Signs with a key of this page.

import { bytesToHex } from "@noble/hashes/utils";
import { privateKeyToAccount } from "viem/accounts";
import type { Hex } from "../rpc/types";

const account = (key: Uint8Array) => privateKeyToAccount(`0x${bytesToHex(key)}`);

export interface Filled {
  chainId: number;
  nonce: number;
  to?: Hex;
  data?: Hex;
  value: bigint;
  gas: bigint;
  maxFeePerGas: bigint;
  maxPriorityFeePerGas: bigint;
}

export const signTransaction = (key: Uint8Array, filled: Filled): Promise<Hex> => account(key).signTransaction({ type: "eip1559", ...filled });

export interface TypedData {
  domain: { name: string; version: string; chainId: number; verifyingContract: Hex };
  types: Record<string, { name: string; type: string }[]>;
  primaryType: string;
  message: Record<string, unknown>;
}

export const signTypedData = (key: Uint8Array, data: TypedData): Promise<Hex> => account(key).signTypedData(data as never);
