// Ethereum's JSON-RPC objects, as far as the desk reads them. Quantities are hexadecimal texts.

export type Hex = `0x${string}`;

export interface HeaderJson {
  number: Hex;
  hash: Hex;
  parentHash: Hex;
  timestamp: Hex;
  miner: Hex;
  difficulty: Hex;
  totalDifficulty?: Hex;
  gasUsed: Hex;
  gasLimit: Hex;
  baseFeePerGas?: Hex;
  extraData: Hex;
  size?: Hex;
  stateRoot: Hex;
  transactionsRoot: Hex;
  receiptsRoot: Hex;
  mixHash?: Hex;
  nonce?: Hex;
}

export interface BlockJson<T = Hex> extends HeaderJson {
  transactions: T[];
  uncles: Hex[];
}

export interface TransactionJson {
  hash: Hex;
  blockHash: Hex | null;
  blockNumber: Hex | null;
  transactionIndex: Hex | null;
  from: Hex;
  to: Hex | null;
  value: Hex;
  input: Hex;
  nonce: Hex;
  gas: Hex;
  gasPrice?: Hex;
  maxFeePerGas?: Hex;
  maxPriorityFeePerGas?: Hex;
  type: Hex;
}

export interface LogJson {
  address: Hex;
  topics: Hex[];
  data: Hex;
  blockNumber: Hex;
  blockHash: Hex;
  transactionHash: Hex;
  logIndex: Hex;
  blockTimestamp?: Hex;
  removed?: boolean;
}

export interface ReceiptJson {
  transactionHash: Hex;
  blockNumber: Hex;
  blockHash: Hex;
  transactionIndex: Hex;
  from: Hex;
  to: Hex | null;
  status: Hex;
  gasUsed: Hex;
  effectiveGasPrice: Hex;
  contractAddress: Hex | null;
  logs: LogJson[];
}
