//! Messages of every kind, drawn at random.

use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256};
use consensus::{Header, Witness, crypto};
use network::message::limits::*;
use network::message::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rlp::RlpStream;

fn hash() -> impl Strategy<Value = B256> {
    any::<[u8; 32]>().prop_map(B256::from)
}

fn hashes(max: usize) -> impl Strategy<Value = Vec<B256>> {
    prop::collection::vec(hash(), 0..max)
}

fn strings(max: usize, bytes_max: usize) -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..bytes_max), 0..max)
}

prop_compose! {
    fn header()(
        words in any::<[[u8; 32]; 6]>(), numbers in any::<[u64; 6]>(), extra in prop::collection::vec(any::<u8>(), 0..=32), fork in 0usize..=4,
    ) -> Header {
        let [a, b, c, d, e, f] = words.map(B256::from);
        Header {
            parent_hash: a,
            ommers_hash: b,
            beneficiary: Address::from_word(c),
            state_root: d,
            transactions_root: e,
            receipts_root: f,
            logs_bloom: Bloom::repeat_byte(words[0][0]),
            difficulty: U256::from_be_bytes(words[1]) >> (numbers[0] % 256),
            number: numbers[0],
            gas_limit: numbers[1],
            gas_used: numbers[2],
            timestamp: numbers[3],
            extra_data: Bytes::from(extra),
            mix_hash: a,
            nonce: B64::from(numbers[4]),
            base_fee_per_gas: (fork >= 1).then_some(numbers[5]),
            withdrawals_root: (fork >= 2).then_some(a),
            blob_gas_used: (fork >= 3).then_some(0),
            excess_blob_gas: (fork >= 3).then_some(0),
            parent_beacon_block_root: (fork >= 3).then_some(b),
            requests_hash: (fork >= 4).then_some(c),
            ..Header::default()
        }
    }
}

fn witness() -> impl Strategy<Value = Option<Witness>> {
    let signed =
        (1u8..=254, hash()).prop_map(|(key, hash)| Witness::sign(&crypto::secret_key([key; 32]).unwrap(), hash));
    prop::option::of(signed)
}

prop_compose! {
    fn status()(
        numbers in any::<[u64; 8]>(), hashes in any::<[[u8; 32]; 4]>(), fork_hash: u32, work in any::<[u8; 32]>(),
        rules in prop::collection::vec(("[a-z.]{0,40}", "\\PC{0,60}"), 0..6), agent in "[ -~]{0,128}",
    ) -> Status {
        let [protocol, chain_id, next, head_number, finalized, clock_ms, history_from, roles] = numbers;
        let [genesis, rules_digest, head, finalized_hash] = hashes.map(B256::from);
        Status {
            protocol, chain_id, genesis, rules_digest,
            rules: rules.into_iter().map(|(name, value)| Rule { name, value }).collect(),
            fork_id: ForkId { hash: fork_hash, next },
            head, head_number,
            total_difficulty: U256::from_be_bytes(work) >> (head_number % 256),
            finalized, finalized_hash, clock_ms, history_from, agent,
            roles: Roles(roles),
        }
    }
}

fn notice() -> impl Strategy<Value = Notice> {
    (hash(), any::<u8>(), any::<u64>()).prop_map(|(hash, kind, size_bytes)| Notice { hash, kind, size_bytes })
}

pub(crate) fn gossip() -> impl Strategy<Value = Gossip> {
    prop_oneof![
        (header(), witness(), hashes(20)).prop_map(|(header, witness, transactions)| {
            Gossip::Block(Box::new(CompactBlock { header, witness, transactions }))
        }),
        (any::<u64>(), prop::collection::vec(notice(), 0..20))
            .prop_map(|(salt, notices)| Gossip::Transactions(Announcement { salt, notices })),
    ]
}

pub(crate) fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        status().prop_map(|status| Request::Status(Box::new(status))),
        (hashes(LOCATOR_MAX), 0..=HEADERS_MAX as u64).prop_map(|(locator, count)| Request::Headers { locator, count }),
        hashes(BODIES_MAX).prop_map(Request::Bodies),
        hashes(30).prop_map(Request::Transactions),
        (hash(), hashes(30)).prop_map(|(block, transactions)| Request::BlockTransactions { block, transactions }),
        Just(Request::Pool),
        (hash(), hash()).prop_map(|(block, from)| Request::Accounts { block, from }),
        (hash(), hash(), hash()).prop_map(|(block, account, from)| Request::Slots { block, account, from }),
        hashes(CODES_MAX).prop_map(Request::Codes),
    ]
}

fn chunk() -> impl Strategy<Value = StateChunk> {
    let rows = prop::collection::vec((hash(), prop::collection::vec(any::<u8>(), 0..STATE_ROW_BYTES_MAX)), 0..10);
    (rows, any::<bool>()).prop_map(|(rows, is_last)| StateChunk { rows, is_last })
}

/// Any one RLP item, as a body is to the message that carries it.
fn item() -> impl Strategy<Value = Vec<u8>> {
    strings(5, 70).prop_map(|strings| {
        let mut out = RlpStream::new_list(strings.len());
        strings.iter().for_each(|string| {
            out.append(string);
        });
        out.out().to_vec()
    })
}

pub(crate) fn response() -> impl Strategy<Value = Response> {
    let witnessed = (header(), witness()).prop_map(|(header, witness)| WitnessedHeader { header, witness });
    prop_oneof![
        status().prop_map(|status| Response::Status(Box::new(status))),
        prop::collection::vec(witnessed, 0..5).prop_map(Response::Headers),
        prop::collection::vec(item(), 0..5).prop_map(Response::Bodies),
        strings(5, 200).prop_map(Response::Transactions),
        strings(5, 200).prop_map(Response::BlockTransactions),
        prop::collection::vec(notice(), 0..20).prop_map(Response::Pool),
        chunk().prop_map(Response::Accounts),
        chunk().prop_map(Response::Slots),
        strings(5, 200).prop_map(Response::Codes),
        "\\PC{0,60}".prop_map(Response::Refused),
    ]
}

/// Draws valid messages, always the same for a seed.
pub(crate) fn corpus(seed: u64, count: usize) -> Vec<Vec<u8>> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    (0..count)
        .flat_map(|_| {
            let runner = &mut runner;
            [
                gossip().new_tree(runner).unwrap().current().encode(),
                request().new_tree(runner).unwrap().current().encode(),
                response().new_tree(runner).unwrap().current().encode(),
            ]
        })
        .collect()
}
