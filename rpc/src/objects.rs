//! Blocks, transactions, receipts and logs as JSON-RPC shows them.

use alloy_consensus::transaction::{Recovered, TransactionInfo};
use alloy_consensus::{ReceiptEnvelope, Transaction as _};
use alloy_primitives::{Address, B256, U256};
use alloy_rlp::Encodable;
use alloy_rpc_types_eth::{Block, BlockTransactions, Header, Log, Transaction, TransactionReceipt};
use chain::ChainView;
use consensus::{ChainSpec, RecoveredBlock, RecoveredTransaction, SealedHeader};
use evm_runtime::Receipt;

use crate::errors::RpcError;
use crate::params::LogQuery;

/// A transaction as JSON-RPC shows it.
pub(crate) type TransactionObject = Transaction<consensus::Transaction>;
/// A block as JSON-RPC shows it.
pub(crate) type BlockObject = Block<TransactionObject, Header>;
/// A receipt as JSON-RPC shows it.
pub(crate) type ReceiptObject = TransactionReceipt<ReceiptEnvelope<Log>>;

/// Says how a block shows its transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transactions {
    /// By their hashes.
    Hashes,
    /// Whole.
    Full,
}

impl From<Option<bool>> for Transactions {
    fn from(full: Option<bool>) -> Self {
        if full == Some(true) { Self::Full } else { Self::Hashes }
    }
}

/// Shows a header without its total difficulty and size.
pub(crate) fn header(header: &SealedHeader) -> Header {
    Header { hash: header.hash(), inner: header.clone().into_header(), total_difficulty: None, size: None }
}

/// Shows a block.
pub(crate) fn block(view: &ChainView, block: &RecoveredBlock, form: Transactions) -> Result<BlockObject, RpcError> {
    let mut header = header(&block.header);
    header.total_difficulty = view.total_difficulty(block.hash())?;
    header.size = Some(U256::from(block_size_bytes(block)));
    let transactions = match form {
        Transactions::Hashes => BlockTransactions::Hashes(block.transactions.iter().map(|tx| tx.hash()).collect()),
        Transactions::Full => {
            BlockTransactions::Full((0..).zip(&block.transactions).map(|(i, tx)| mined(&block.header, i, tx)).collect())
        }
    };
    let uncles = block.ommers.iter().map(consensus::Header::hash_slow).collect();
    Ok(Block { header, uncles, transactions, withdrawals: block.withdrawals.clone() })
}

/// Returns the length in bytes of a block's RLP, without copying its transactions.
pub(crate) fn block_size_bytes(block: &RecoveredBlock) -> usize {
    let list = |payload: usize| alloy_rlp::length_of_length(payload) + payload;
    let transaction = |tx: &RecoveredTransaction| match tx.transaction() {
        consensus::Transaction::Legacy(_) => tx.size_bytes(),
        _ => list(tx.size_bytes()),
    };
    let header: &consensus::Header = &block.header;
    let transactions = list(block.transactions.iter().map(transaction).sum());
    let ommers = list(block.ommers.iter().map(Encodable::length).sum());
    let withdrawals = block.withdrawals.as_ref().map_or(0, Encodable::length);
    list(header.length() + transactions + ommers + withdrawals)
}

/// Shows the transaction at `index` of a block.
pub(crate) fn mined(header: &SealedHeader, index: u64, tx: &RecoveredTransaction) -> TransactionObject {
    let place = TransactionInfo {
        hash: Some(tx.hash()),
        index: Some(index),
        block_hash: Some(header.hash()),
        block_number: Some(header.number),
        base_fee: header.base_fee_per_gas,
        block_timestamp: Some(header.timestamp),
    };
    Transaction::from_transaction(recovered(tx), place)
}

/// Shows a transaction that is not mined.
pub(crate) fn unmined(tx: &RecoveredTransaction) -> TransactionObject {
    Transaction::from_transaction(recovered(tx), TransactionInfo::default())
}

fn recovered(tx: &RecoveredTransaction) -> Recovered<consensus::Transaction> {
    Recovered::new_unchecked(tx.transaction().clone(), tx.sender())
}

/// Returns what a transaction pays per unit of gas in a block, in wei.
pub(crate) fn effective_gas_price(header: &consensus::Header, tx: &RecoveredTransaction) -> u128 {
    tx.effective_gas_price(header.base_fee_per_gas)
}

/// Shows the receipt of the transaction at `index`; `None` where there is none.
pub(crate) fn receipt(block: &RecoveredBlock, receipts: &[Receipt], index: usize) -> Option<ReceiptObject> {
    let (tx, receipt) = (block.transactions.get(index)?, receipts.get(index)?);
    let before = &receipts[..index];
    let gas_before = before.last().map_or(0, ReceiptEnvelope::cumulative_gas_used);
    let logs_before: usize = before.iter().map(|receipt| receipt.logs().len()).sum();
    let logs = log_numbers(block, index, logs_before);
    Some(TransactionReceipt {
        inner: receipt.clone().map_logs(logs),
        transaction_hash: tx.hash(),
        transaction_index: u64::try_from(index).ok(),
        block_hash: Some(block.hash()),
        block_number: Some(block.number()),
        gas_used: receipt.cumulative_gas_used().saturating_sub(gas_before),
        effective_gas_price: effective_gas_price(&block.header, tx),
        blob_gas_used: None,
        blob_gas_price: None,
        from: tx.sender(),
        to: tx.to(),
        contract_address: contract_address(tx),
    })
}

/// Shows the receipt of the transaction at `index` with what its blobs cost, where it has some.
pub(crate) fn whole_receipt(
    spec: &ChainSpec,
    block: &RecoveredBlock,
    receipts: &[Receipt],
    index: usize,
) -> Option<ReceiptObject> {
    let mut shown = receipt(block, receipts, index)?;
    let (blobs, excess) = (block.transactions.get(index)?.blob_gas_used(), block.header.excess_blob_gas);
    if let (Some(blob_gas_used), Some(excess)) = (blobs, excess) {
        let params = spec.blob_params(spec.fork_of(&block.header), block.header.timestamp);
        shown.blob_gas_used = Some(blob_gas_used);
        shown.blob_gas_price = Some(params.calc_blob_fee(excess));
    }
    Some(shown)
}

/// Returns the contract that a transaction creates.
fn contract_address(tx: &RecoveredTransaction) -> Option<Address> {
    tx.to().is_none().then(|| tx.sender().create(tx.nonce()))
}

/// Numbers a transaction's logs, of which `first` others come before in the block.
fn log_numbers(block: &RecoveredBlock, index: usize, first: usize) -> impl FnMut(alloy_primitives::Log) -> Log + use<> {
    let (block_hash, block_number, timestamp) = (block.hash(), block.number(), block.header.timestamp);
    let transaction_hash = block.transactions.get(index).map(RecoveredTransaction::hash);
    let transaction_index = u64::try_from(index).ok();
    let mut next = (first..).map(|number| u64::try_from(number).ok());
    move |log| Log {
        inner: log,
        block_hash: Some(block_hash),
        block_number: Some(block_number),
        block_timestamp: Some(timestamp),
        transaction_hash,
        transaction_index,
        log_index: next.next().flatten(),
        removed: false,
    }
}

/// Says on which side of a reorganisation a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Branch {
    /// On the canonical chain.
    Canonical,
    /// It left the canonical chain: its logs are marked as removed.
    Dropped,
}

/// Returns those logs of a block that a query asks for.
pub(crate) fn matching_logs(
    block: &RecoveredBlock,
    receipts: &[Receipt],
    query: &LogQuery,
    branch: Branch,
) -> Vec<Log> {
    let mut found = Vec::new();
    let mut first = 0;
    for (index, receipt) in receipts.iter().enumerate() {
        let logs = receipt.logs();
        if logs.iter().any(|log| query.matches(log)) {
            let numbered = logs.iter().cloned().map(log_numbers(block, index, first));
            let marked = numbered.map(|log| Log { removed: branch == Branch::Dropped, ..log });
            found.extend(marked.filter(|log| query.matches(&log.inner)));
        }
        first += logs.len();
    }
    found
}

impl LogQuery {
    /// Tells whether a log has what the query asks for.
    pub(crate) fn matches(&self, log: &alloy_primitives::Log) -> bool {
        let address = self.addresses.is_empty() || self.addresses.contains(&log.address);
        let topics = log.topics();
        let position = |(index, wanted): (usize, &Vec<B256>)| match topics.get(index) {
            Some(topic) => wanted.is_empty() || wanted.contains(topic),
            None => false,
        };
        address && self.topics.iter().enumerate().all(position)
    }

    /// Tells whether a block with this bloom can hold such a log.
    pub(crate) fn may_match(&self, bloom: &alloy_primitives::Bloom) -> bool {
        use alloy_primitives::BloomInput::Raw;
        let address = |address: &Address| bloom.contains_input(Raw(address.as_slice()));
        let topic = |topic: &B256| bloom.contains_input(Raw(topic.as_slice()));
        (self.addresses.is_empty() || self.addresses.iter().any(address))
            && self.topics.iter().all(|wanted| wanted.is_empty() || wanted.iter().any(topic))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use alloy_consensus::{Receipt as PlainReceipt, SignableTransaction, TxEip1559, TxLegacy, TxType};
    use alloy_primitives::{Bytes, Log as RawLog, Signature, TxKind};

    fn log(address: u8, topics: &[u8]) -> RawLog {
        RawLog::new_unchecked(
            Address::repeat_byte(address),
            topics.iter().map(|byte| B256::repeat_byte(*byte)).collect(),
            Bytes::from_static(&[1]),
        )
    }

    fn sample() -> (RecoveredBlock, Vec<Receipt>) {
        let header = consensus::Header { number: 9, timestamp: 77, base_fee_per_gas: Some(100), ..Default::default() };
        let legacy = TxLegacy { chain_id: Some(1), gas_price: 150, gas_limit: 21000, ..Default::default() };
        let dynamic = TxEip1559 {
            chain_id: 1,
            max_fee_per_gas: 300,
            max_priority_fee_per_gas: 7,
            to: TxKind::Call(Address::repeat_byte(3)),
            input: vec![9; 100].into(),
            ..Default::default()
        };
        let transactions = [
            consensus::Transaction::Legacy(legacy.into_signed(Signature::test_signature())),
            consensus::Transaction::Eip1559(dynamic.into_signed(Signature::test_signature())),
        ];
        let sender = Address::repeat_byte(1);
        let block = RecoveredBlock {
            header: SealedHeader::new(header),
            transactions: transactions.into_iter().map(|tx| RecoveredTransaction::with_sender(tx, sender)).collect(),
            ommers: vec![consensus::Header::default()],
            withdrawals: Some(Default::default()),
            witness: None,
        };
        let receipt = |kind: TxType, gas: u64, logs: Vec<RawLog>| {
            let plain = PlainReceipt { status: true.into(), cumulative_gas_used: gas, logs };
            Receipt::from_typed(kind, plain)
        };
        let receipts = vec![
            receipt(TxType::Legacy, 21_000, vec![log(1, &[1]), log(2, &[])]),
            receipt(TxType::Eip1559, 71_000, vec![log(1, &[1, 2])]),
        ];
        (block, receipts)
    }

    #[test]
    fn the_size_is_the_rlp_length() {
        let (mut block, _) = sample();
        assert_eq!(block_size_bytes(&block), consensus::block::block_size_bytes(&block.to_block()));
        block.transactions.clear();
        block.withdrawals = None;
        assert_eq!(block_size_bytes(&block), consensus::block::block_size_bytes(&block.to_block()));
    }

    #[test]
    fn receipts_have_the_fields_that_clients_need() {
        let (block, receipts) = sample();
        let first = serde_json::to_value(receipt(&block, &receipts, 0).unwrap()).unwrap();
        let second = serde_json::to_value(receipt(&block, &receipts, 1).unwrap()).unwrap();
        let created = format!("{:?}", Address::repeat_byte(1).create(0));
        let cases = [
            (&first, "gasUsed", "0x5208".into()),
            (&first, "cumulativeGasUsed", "0x5208".into()),
            (&first, "effectiveGasPrice", "0x96".into()),
            (&first, "type", "0x0".into()),
            (&first, "status", "0x1".into()),
            (&first, "to", serde_json::Value::Null),
            (&first, "contractAddress", created.into()),
            (&second, "gasUsed", "0xc350".into()),
            (&second, "effectiveGasPrice", "0x6b".into()),
            (&second, "type", "0x2".into()),
            (&second, "contractAddress", serde_json::Value::Null),
            (&second, "transactionIndex", "0x1".into()),
            (&second, "blockNumber", "0x9".into()),
        ];
        for (object, field, expected) in cases {
            assert_eq!(object[field], expected, "{field}");
        }
        for field in ["transactionHash", "blockHash", "from", "logsBloom"] {
            assert!(second[field].is_string(), "{field}");
        }
        let log = &second["logs"][0];
        assert_eq!((&log["logIndex"], &log["removed"]), (&"0x2".into(), &false.into()));
        assert_eq!((&log["blockTimestamp"], &log["transactionIndex"]), (&"0x4d".into(), &"0x1".into()));
    }

    #[test]
    fn transactions_have_the_fields_that_clients_need() {
        let (block, _) = sample();
        let mined = serde_json::to_value(mined(&block.header, 1, &block.transactions[1])).unwrap();
        for field in ["hash", "from", "to", "gas", "value", "nonce", "input", "r", "s", "v", "yParity", "chainId"] {
            assert!(mined[field].is_string(), "{field}: {mined}");
        }
        assert_eq!(mined["gasPrice"], "0x6b");
        assert_eq!(mined["maxFeePerGas"], "0x12c");
        assert_eq!(mined["accessList"], serde_json::json!([]));
        assert_eq!((&mined["blockNumber"], &mined["transactionIndex"]), (&"0x9".into(), &"0x1".into()));
        let unmined = serde_json::to_value(unmined(&block.transactions[0])).unwrap();
        for field in ["blockHash", "blockNumber", "transactionIndex", "to"] {
            assert_eq!(unmined.get(field), Some(&serde_json::Value::Null), "{field}");
        }
        assert_eq!((&unmined["gasPrice"], &unmined["type"]), (&"0x96".into(), &"0x0".into()));
    }

    #[test]
    fn logs_match_by_address_and_topics() {
        let (block, receipts) = sample();
        let (address, topic) = (|byte| vec![Address::repeat_byte(byte)], |byte| vec![B256::repeat_byte(byte)]);
        let query =
            |addresses: Vec<Address>, topics: Vec<Vec<B256>>| LogQuery { addresses, topics, ..LogQuery::default() };
        let cases = [
            (query(vec![], vec![]), vec![0, 1, 2]),
            (query(address(1), vec![]), vec![0, 2]),
            (query(address(2), vec![]), vec![1]),
            (query(address(3), vec![]), vec![]),
            (query(vec![], vec![topic(1)]), vec![0, 2]),
            (query(vec![], vec![vec![]]), vec![0, 2]),
            (query(vec![], vec![vec![], topic(2)]), vec![2]),
            (query(vec![], vec![topic(2)]), vec![]),
            (query(vec![], vec![[topic(1), topic(2)].concat()]), vec![0, 2]),
        ];
        let bloom = evm_runtime::receipt::logs_bloom(&receipts);
        for (query, expected) in cases {
            let logs = matching_logs(&block, &receipts, &query, Branch::Dropped);
            let numbers: Vec<_> = logs.iter().filter_map(|log| log.log_index).collect();
            assert_eq!(numbers, expected, "{query:?}");
            assert!(logs.iter().all(|log| log.removed));
            assert!(expected.is_empty() || query.may_match(&bloom));
        }
        assert!(!query(address(3), vec![]).may_match(&bloom));
    }
}
