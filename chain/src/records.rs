//! The stored records of blocks, and their keys.

use alloy_primitives::{Address, B256, U256};
use alloy_rlp::{Decodable, Encodable};
use consensus::{BlockBody, Header, RecoveredBlock, RecoveredTransaction, SealedHeader, Transaction, Witness};
use storage::{Reader, Stage, StorageError, Table};

/// Names of rows in `Meta`.
pub(crate) mod meta {
    /// The format of all tables (8 bytes, big-endian).
    pub(crate) const FORMAT: &[u8] = b"format";
    /// The genesis hash.
    pub(crate) const GENESIS: &[u8] = b"genesis";
    /// The chain file, as it was given at initialisation (text).
    pub(crate) const CHAIN_FILE: &[u8] = b"chain file";
    /// The head's hash.
    pub(crate) const HEAD: &[u8] = b"head";
    /// The highest block that ever was final: number (8 bytes) ‖ hash; absent: the genesis block. Written with the head.
    pub(crate) const FINALIZED: &[u8] = b"finalized";
    /// The block whose state a snapshot gave (8 bytes); absent: the chain was executed from its beginning.
    pub(crate) const BASE: &[u8] = b"base";
    /// Present where the state was ever changed by hand.
    pub(crate) const AMENDED: &[u8] = b"amended";
    /// With number ‖ hash ‖ index (4 bytes) behind it: a change of the state by hand after that block (RLP).
    pub(crate) const AMENDMENT: &[u8] = b"amendment ";
    /// The first block whose state can be read (8 bytes); absent: block 0.
    pub(crate) const HISTORY_FLOOR: &[u8] = b"history floor";
    /// What the index of addresses and events covers: on (1) or off (0), the first block (8 bytes), the last block's hash.
    pub(crate) const INDEX: &[u8] = b"index";
}

/// Holds a header with what is known beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderRecord {
    /// The header.
    pub header: Header,
    /// Total difficulty up to and with this block.
    pub total_difficulty: U256,
    /// The beneficiary's signature, where the chain asks for one.
    pub witness: Option<Witness>,
}

/// Returns number ‖ hash: the key of headers, bodies and receipts.
pub(crate) fn block_key(number: u64, hash: B256) -> [u8; 40] {
    let mut key = [0; 40];
    key[..8].copy_from_slice(&number.to_be_bytes());
    key[8..].copy_from_slice(hash.as_slice());
    key
}

fn bad_row(table: Table, problem: impl ToString) -> StorageError {
    StorageError::Row { table, problem: problem.to_string() }
}

impl HeaderRecord {
    fn encode(&self) -> Vec<u8> {
        let mut header = Vec::with_capacity(700);
        self.header.encode(&mut header);
        let witness = self.witness.map(|witness| witness.to_bytes().to_vec()).unwrap_or_default();
        let mut stream = rlp::RlpStream::new_list(3);
        stream.append_raw(&header, 1).append(&self.total_difficulty.to_be_bytes_trimmed_vec()).append(&witness);
        stream.out().to_vec()
    }

    fn decode(row: &[u8]) -> Result<Self, String> {
        let list = rlp::Rlp::new(row);
        let text = |error: rlp::DecoderError| error.to_string();
        let header = list.at(0).map_err(text)?;
        let header = Header::decode(&mut header.as_raw()).map_err(|error| error.to_string())?;
        let difficulty = list.val_at::<Vec<u8>>(1).map_err(text)?;
        let witness = list.val_at::<Vec<u8>>(2).map_err(text)?;
        let witness = match &witness[..] {
            [] => None,
            bytes => Some(Witness::from_bytes(bytes).map_err(|error| error.to_string())?),
        };
        let total_difficulty = U256::try_from_be_slice(&difficulty).ok_or("total difficulty over 32 bytes")?;
        Ok(Self { header, total_difficulty, witness })
    }

    /// Reads a row of `Headers`: the block's hash and its record.
    pub(crate) fn of_row((key, row): (Vec<u8>, Vec<u8>)) -> Result<(B256, Self), StorageError> {
        let hash = key.get(8..).and_then(|hash| B256::try_from(hash).ok());
        let hash = hash.ok_or_else(|| bad_row(Table::Headers, "the key is not 40 bytes"))?;
        Ok((hash, Self::decode(&row).map_err(|problem| bad_row(Table::Headers, problem))?))
    }

    /// Reads the record of a block.
    pub(crate) fn read(reader: &dyn Reader, number: u64, hash: B256) -> Result<Option<Self>, StorageError> {
        let row = reader.get(Table::Headers, &block_key(number, hash))?;
        row.map(|row| Self::decode(&row).map_err(|problem| bad_row(Table::Headers, problem))).transpose()
    }
}

/// Returns the number of a known block.
pub(crate) fn number_of(reader: &dyn Reader, hash: B256) -> Result<Option<u64>, StorageError> {
    let row = reader.get(Table::Numbers, hash.as_slice())?;
    row.map(|row| read_u64(&row).ok_or_else(|| bad_row(Table::Numbers, "not 8 bytes"))).transpose()
}

/// Returns the canonical hash at `number`.
pub(crate) fn canonical_hash(reader: &dyn Reader, number: u64) -> Result<Option<B256>, StorageError> {
    let row = reader.get(Table::Canonical, &number.to_be_bytes())?;
    row.map(|row| B256::try_from(&row[..]).map_err(|_| bad_row(Table::Canonical, "not 32 bytes"))).transpose()
}

/// Reads 8 big-endian bytes.
pub(crate) fn read_u64(row: &[u8]) -> Option<u64> {
    row.try_into().ok().map(u64::from_be_bytes)
}

/// Returns the number of the block whose state a snapshot gave: of those before it only the headers are here. 0: there was none.
pub(crate) fn base_number(reader: &dyn Reader) -> Result<u64, StorageError> {
    let row = reader.get(Table::Meta, meta::BASE)?;
    row.map_or(Ok(0), |row| read_u64(&row).ok_or_else(|| bad_row(Table::Meta, "the base is not 8 bytes")))
}

/// Writes header and number of a block whose body is not here, and makes it canonical.
pub(crate) fn put_bare_canonical(
    stage: &mut Stage,
    header: &SealedHeader,
    witness: Option<Witness>,
    total_difficulty: U256,
) {
    let (number, hash) = (header.number, header.hash());
    let record = HeaderRecord { header: header.clone().into_header(), total_difficulty, witness };
    stage.put(Table::Headers, block_key(number, hash), record.encode());
    stage.put(Table::Numbers, hash.as_slice(), number.to_be_bytes());
    stage.put(Table::Canonical, number.to_be_bytes(), hash.as_slice());
}

/// Writes header, body and number of a block of any branch.
pub(crate) fn put_block(stage: &mut Stage, block: &RecoveredBlock, total_difficulty: U256) {
    let key = block_key(block.number(), block.hash());
    let header = block.header.clone().into_header();
    let record = HeaderRecord { header, total_difficulty, witness: block.witness };
    stage.put(Table::Headers, key, record.encode());
    stage.put(Table::Bodies, key, encode_body(block));
    stage.put(Table::Numbers, block.hash().as_slice(), block.number().to_be_bytes());
}

fn encode_body(block: &RecoveredBlock) -> Vec<u8> {
    let body = block.to_block().body;
    let mut bytes = Vec::with_capacity(body.length());
    body.encode(&mut bytes);
    let senders: Vec<u8> = block.transactions.iter().flat_map(|tx| tx.sender()).collect();
    let mut stream = rlp::RlpStream::new_list(2);
    stream.append_raw(&bytes, 1).append(&senders);
    stream.out().to_vec()
}

/// Reads a whole block of any branch, its senders with it.
pub(crate) fn read_block(reader: &dyn Reader, number: u64, hash: B256) -> Result<Option<RecoveredBlock>, StorageError> {
    let Some(record) = HeaderRecord::read(reader, number, hash)? else { return Ok(None) };
    let Some(row) = reader.get(Table::Bodies, &block_key(number, hash))? else { return Ok(None) };
    let (body, senders) = decode_body(&row).map_err(|problem| bad_row(Table::Bodies, problem))?;
    let transactions = body.transactions.into_iter().zip(senders);
    Ok(Some(RecoveredBlock {
        header: SealedHeader::with_known_hash(record.header, hash),
        transactions: transactions.map(|(tx, sender)| RecoveredTransaction::with_sender(tx, sender)).collect(),
        ommers: body.ommers,
        withdrawals: body.withdrawals,
        witness: record.witness,
    }))
}

/// Returns how many transactions a block has, by its senders; 0 where its body is not here.
pub(crate) fn transaction_count(reader: &dyn Reader, number: u64, hash: B256) -> Result<u64, StorageError> {
    let Some(row) = reader.get(Table::Bodies, &block_key(number, hash))? else { return Ok(0) };
    let senders = rlp::Rlp::new(&row).at(1).and_then(|senders| senders.data().map(<[u8]>::len));
    let senders = senders.map_err(|problem| bad_row(Table::Bodies, problem))?;
    Ok(u64::try_from(senders / Address::len_bytes()).unwrap_or(u64::MAX))
}

/// Reads one transaction of a block of any branch, its sender with it, and decodes no other.
pub(crate) fn read_transaction(
    reader: &dyn Reader,
    number: u64,
    hash: B256,
    index: usize,
) -> Result<Option<RecoveredTransaction>, StorageError> {
    let Some(row) = reader.get(Table::Bodies, &block_key(number, hash))? else { return Ok(None) };
    decode_transaction_of(&row, index).map_err(|problem| bad_row(Table::Bodies, problem))
}

fn decode_transaction_of(row: &[u8], index: usize) -> Result<Option<RecoveredTransaction>, String> {
    let list = rlp::Rlp::new(row);
    let text = |error: rlp::DecoderError| error.to_string();
    let transactions = list.at(0).and_then(|body| body.at(0)).map_err(text)?;
    let senders = list.at(1).map_err(text)?;
    let senders = senders.data().map_err(text)?;
    let Some(sender) = senders.chunks_exact(Address::len_bytes()).nth(index) else { return Ok(None) };
    let transaction = transactions.at(index).map_err(text)?;
    let transaction = Transaction::decode(&mut transaction.as_raw()).map_err(|error| error.to_string())?;
    Ok(Some(RecoveredTransaction::with_sender(transaction, Address::from_slice(sender))))
}

/// Reads the RLP of a block's body.
pub(crate) fn read_body(reader: &dyn Reader, number: u64, hash: B256) -> Result<Option<Vec<u8>>, StorageError> {
    let Some(row) = reader.get(Table::Bodies, &block_key(number, hash))? else { return Ok(None) };
    let body = rlp::Rlp::new(&row).at(0).map_err(|error| bad_row(Table::Bodies, error.to_string()))?;
    Ok(Some(body.as_raw().to_vec()))
}

fn decode_body(row: &[u8]) -> Result<(BlockBody, Vec<Address>), String> {
    let list = rlp::Rlp::new(row);
    let text = |error: rlp::DecoderError| error.to_string();
    let body = list.at(0).map_err(text)?;
    let body = BlockBody::decode(&mut body.as_raw()).map_err(|error| error.to_string())?;
    let senders = list.val_at::<Vec<u8>>(1).map_err(text)?;
    let senders: Vec<Address> = senders.chunks_exact(20).map(Address::from_slice).collect();
    if senders.len() == body.transactions.len() {
        Ok((body, senders))
    } else {
        Err(format!("{} senders for {} transactions", senders.len(), body.transactions.len()))
    }
}

/// Makes a block canonical: its number and its transactions lead to it.
pub(crate) fn put_canonical(stage: &mut Stage, block: &RecoveredBlock) {
    stage.put(Table::Canonical, block.number().to_be_bytes(), block.hash().as_slice());
    for (index, tx) in block.transactions.iter().enumerate() {
        let index = u32::try_from(index).expect("a block's gas limit holds far fewer than 2^32 transactions");
        let place = [&block.number().to_be_bytes()[..], &index.to_be_bytes()].concat();
        stage.put(Table::Transactions, tx.hash().as_slice(), place);
    }
    stage.put(Table::Meta, meta::HEAD, block.hash().as_slice());
}

/// Takes the head off the canonical chain.
pub(crate) fn remove_canonical(stage: &mut Stage, block: &RecoveredBlock) {
    stage.delete(Table::Canonical, block.number().to_be_bytes());
    for tx in &block.transactions {
        stage.delete(Table::Transactions, tx.hash().as_slice());
    }
    stage.put(Table::Meta, meta::HEAD, block.header.parent_hash.as_slice());
}
