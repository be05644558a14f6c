//! Receipts: Ethereum's typed envelopes.

use alloy_consensus::{ReceiptEnvelope, TxReceipt, proofs};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{B256, Bloom};

/// Names a receipt of any transaction type, with its bloom. Before Byzantium its status holds the state root after the transaction.
pub type Receipt = ReceiptEnvelope;

/// Computes the receipts root of a block (Yellow Paper 4.4.2).
pub fn receipts_root(receipts: &[Receipt]) -> B256 {
    proofs::calculate_receipt_root(receipts)
}

/// Joins the blooms of all receipts.
pub fn logs_bloom(receipts: &[Receipt]) -> Bloom {
    receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | receipt.bloom())
}

/// Encodes receipts for the `Receipts` table: an RLP list of the EIP-2718 encodings as strings.
pub fn encode_receipts(receipts: &[Receipt]) -> Vec<u8> {
    let mut stream = rlp::RlpStream::new_list(receipts.len());
    for receipt in receipts {
        stream.append(&receipt.encoded_2718());
    }
    stream.out().to_vec()
}

/// Decodes what [`encode_receipts`] wrote.
///
/// # Errors
/// Bytes that it did not write.
pub fn decode_receipts(bytes: &[u8]) -> Result<Vec<Receipt>, String> {
    let list = rlp::Rlp::new(bytes);
    if !list.is_list() {
        return Err("receipts are not a list".to_owned());
    }
    list.iter().map(|item| decode_item(&item)).collect()
}

/// Decodes one of the receipts that [`encode_receipts`] wrote; none: there are not so many.
///
/// # Errors
/// Bytes that it did not write.
pub fn decode_receipt(bytes: &[u8], index: usize) -> Result<Option<Receipt>, String> {
    let list = rlp::Rlp::new(bytes);
    if !list.is_list() {
        return Err("receipts are not a list".to_owned());
    }
    list.iter().nth(index).map(|item| decode_item(&item)).transpose()
}

fn decode_item(item: &rlp::Rlp<'_>) -> Result<Receipt, String> {
    let bytes = item.data().map_err(|error| error.to_string())?;
    Receipt::decode_2718(&mut &bytes[..]).map_err(|error| error.to_string())
}
