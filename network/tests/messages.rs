//! Every message comes back from its encoding; any bytes are a message or refused, without a panic and within the limits.
#![allow(clippy::unwrap_used)]

use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256};
use consensus::{Header, Witness, crypto};
use network::message::limits::*;
use network::message::*;
use proptest::prelude::*;
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

fn gossip() -> impl Strategy<Value = Gossip> {
    prop_oneof![
        (header(), witness(), hashes(20)).prop_map(|(header, witness, transactions)| {
            Gossip::Block(Box::new(CompactBlock { header, witness, transactions }))
        }),
        (any::<u64>(), prop::collection::vec(notice(), 0..20))
            .prop_map(|(salt, notices)| Gossip::Transactions(Announcement { salt, notices })),
    ]
}

fn request() -> impl Strategy<Value = Request> {
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

fn response() -> impl Strategy<Value = Response> {
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

/// Decodes bytes as every kind of message; what is taken must be what its encoding says.
fn decode_all(bytes: &[u8]) {
    for topic in Topic::ALL {
        if let Ok(message) = Gossip::decode(topic, bytes) {
            assert_eq!(message.encode(), bytes);
        }
    }
    if let Ok(message) = Request::decode(bytes) {
        assert_eq!(message.encode(), bytes);
    }
    if let Ok(message) = Response::decode(bytes) {
        assert_eq!(message.encode(), bytes);
    }
}

/// Decodes an encoding with a byte changed, with its end cut off and with something behind.
fn disturb(encoded: &[u8], at: &prop::sample::Index, with: u8) {
    decode_all(&encoded[..at.index(encoded.len())]);
    decode_all(&[encoded, &[with]].concat());
    let mut changed = encoded.to_vec();
    changed[at.index(encoded.len())] = with;
    decode_all(&changed);
}

proptest! {
    #[test]
    fn gossip_comes_back(message in gossip(), at: prop::sample::Index, with: u8) {
        let encoded = message.encode();
        prop_assert_eq!(Gossip::decode(message.topic(), &encoded), Ok(message));
        disturb(&encoded, &at, with);
    }

    #[test]
    fn requests_come_back(message in request(), at: prop::sample::Index, with: u8) {
        let encoded = message.encode();
        prop_assert_eq!(Request::decode(&encoded), Ok(message));
        disturb(&encoded, &at, with);
    }

    #[test]
    fn responses_come_back(message in response(), at: prop::sample::Index, with: u8) {
        let encoded = message.encode();
        prop_assert_eq!(Response::decode(&encoded), Ok(message));
        disturb(&encoded, &at, with);
    }

    #[test]
    fn any_bytes_are_a_message_or_refused(bytes: Vec<u8>, kind in 0u8..12) {
        decode_all(&bytes);
        // The same behind a head that leads further in.
        let mut out = RlpStream::new_list(2);
        out.append(&kind).append(&bytes);
        decode_all(&out.out());
        let mut out = RlpStream::new_list(2);
        out.append(&kind).begin_list(1).append(&bytes);
        decode_all(&out.out());
    }
}

/// A request or response of this kind around a raw item.
fn around(kind: u64, raw: &[u8]) -> Vec<u8> {
    let mut out = RlpStream::new_list(2);
    out.append(&kind).append_raw(raw, 1);
    out.out().to_vec()
}

/// A list of so many of the same raw item.
fn list_of(raw: &[u8], count: usize) -> Vec<u8> {
    let mut out = RlpStream::new_list(count);
    (0..count).for_each(|_| {
        out.append_raw(raw, 1);
    });
    out.out().to_vec()
}

fn is_too_many<T: std::fmt::Debug>(result: &Result<T, DecodeError>) -> bool {
    matches!(result, Err(DecodeError::TooMany { .. }))
}

#[test]
fn every_list_has_its_limit() {
    let hash = alloy_rlp::encode(B256::ZERO);
    for (kind, max) in [(2, BODIES_MAX), (3, TRANSACTIONS_MAX), (8, CODES_MAX)] {
        assert!(Request::decode(&around(kind, &list_of(&hash, max))).is_ok(), "request {kind}");
        assert!(is_too_many(&Request::decode(&around(kind, &list_of(&hash, max + 1)))), "request {kind}");
    }
    let locator = |count| {
        around(
            1,
            &[&[0xf9][..], &{
                let list = list_of(&hash, count);
                let mut payload = list;
                payload.push(1);
                [&u16::try_from(payload.len()).unwrap().to_be_bytes()[..], &payload].concat()
            }]
            .concat(),
        )
    };
    assert!(Request::decode(&locator(LOCATOR_MAX)).is_ok());
    assert!(is_too_many(&Request::decode(&locator(LOCATOR_MAX + 1))));
    let empty = [0x80];
    for (kind, max) in [(2, BODIES_MAX), (3, BLOCK_TRANSACTIONS_MAX), (4, BLOCK_TRANSACTIONS_MAX), (8, CODES_MAX)] {
        assert!(Response::decode(&around(kind, &list_of(&empty, max))).is_ok(), "response {kind}");
        assert!(is_too_many(&Response::decode(&around(kind, &list_of(&empty, max + 1)))), "response {kind}");
    }
    for (kind, max) in [(1, HEADERS_MAX), (5, POOL_NOTICES_MAX)] {
        assert!(is_too_many(&Response::decode(&around(kind, &list_of(&empty, max + 1)))), "response {kind}");
    }
    let rows = [&list_of(&empty, STATE_ROWS_MAX + 1)[..], &[0x80]].concat();
    let mut chunk = RlpStream::new_list(2);
    chunk.append_raw(&rows, 2);
    assert!(is_too_many(&Response::decode(&around(6, &chunk.out()))));
    let mut announcement = RlpStream::new_list(2);
    announcement.append(&1u8).append_raw(&list_of(&empty, NOTICES_MAX + 1), 1);
    assert!(is_too_many(&Gossip::decode(Topic::Transactions, &announcement.out())));
    let mut block = RlpStream::new_list(3);
    block.append_raw(&alloy_rlp::encode(Header::default()), 1).append_empty_data();
    block.append_raw(&list_of(&hash, BLOCK_TRANSACTIONS_MAX + 1), 1);
    let block = block.out();
    assert!(block.len() <= GOSSIP_BYTES_MAX, "the limit of hashes is reached before that of bytes");
    assert!(is_too_many(&Gossip::decode(Topic::Blocks, &block)));
}

#[test]
fn every_message_has_its_length() {
    let long = |max: usize| vec![0x80; max + 1];
    fn too_long<T>(max: usize) -> Result<T, DecodeError> {
        Err(DecodeError::TooLong { max, actual: max + 1 })
    }
    assert_eq!(Gossip::decode(Topic::Blocks, &long(GOSSIP_BYTES_MAX)), too_long(GOSSIP_BYTES_MAX));
    assert_eq!(Gossip::decode(Topic::Transactions, &long(GOSSIP_BYTES_MAX)), too_long(GOSSIP_BYTES_MAX));
    assert_eq!(Request::decode(&long(REQUEST_BYTES_MAX)), too_long(REQUEST_BYTES_MAX));
    assert_eq!(Response::decode(&long(RESPONSE_BYTES_MAX)), too_long(RESPONSE_BYTES_MAX));
    let header = Header { extra_data: vec![1; HEADER_BYTES_MAX].into(), ..Header::default() };
    let block = CompactBlock { header, witness: None, transactions: Vec::new() };
    let refused = Gossip::decode(Topic::Blocks, &Gossip::Block(Box::new(block)).encode());
    assert!(matches!(refused, Err(DecodeError::TooLarge { what: "header", .. })), "{refused:?}");
}

#[test]
fn bombs_are_refused_at_once() {
    // Prefixes that promise 2^64 bytes, lists within lists a million deep, a million empty lists, a million zero bytes.
    let promise = [&[0xff][..], &[0xff; 8]].concat();
    let depth = vec![0xc1; 1_000_000];
    let mut wide = vec![0xfa, 0x0f, 0x42, 0x40];
    wide.resize(4 + 1_000_000, 0xc0);
    let zeros = vec![0; 1_000_000];
    let started = std::time::Instant::now();
    for bomb in [&promise, &depth, &wide, &zeros] {
        for topic in Topic::ALL {
            assert!(Gossip::decode(topic, bomb).is_err());
        }
        assert!(Request::decode(bomb).is_err());
        assert!(Response::decode(bomb).is_err());
        for kind in 0..12 {
            decode_all(&around(kind, bomb.get(..100_000).unwrap_or(bomb)));
        }
    }
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

#[test]
fn a_block_announced_twice_is_one_message_and_another_witness_makes_another() {
    let block = CompactBlock { header: Header::default(), witness: None, transactions: Vec::new() };
    let witness = Some(Witness::sign(&crypto::secret_key([1; 32]).unwrap(), B256::ZERO));
    let signed = CompactBlock { witness, ..block.clone() };
    let id = |block: CompactBlock| GossipId::of(Topic::Blocks, &Gossip::Block(Box::new(block)).encode());
    assert_eq!(id(block.clone()), id(block.clone()));
    assert_ne!(id(block), id(signed));
    assert_ne!(GossipId::of(Topic::Blocks, &[1]), GossipId::of(Topic::Transactions, &[1]));
}
