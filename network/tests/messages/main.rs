//! Every message comes back from its encoding; any bytes are a message or refused, without a panic and within the limits.
//!
//! `FUZZ` (mutated messages of each kind) and `SEED` choose the size of the long search; `make fuzz N=… SEED=…` sets them.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod arbitrary;
mod fuzz;
mod mutate;

use alloy_primitives::{B256, U256};
use arbitrary::{gossip, request, response};
use consensus::{Header, Witness, crypto};
use network::message::limits::*;
use network::message::*;
use proptest::prelude::*;
use rlp::RlpStream;

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
    block.append_raw(&list_of(&hash, ANNOUNCED_TRANSACTIONS_MAX + 1), 1);
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
fn the_longest_answer_of_each_kind_may_come() {
    let max = |request: Request| Request::response_bytes_max(&request.encode());
    let header = Header {
        difficulty: U256::MAX,
        gas_limit: u64::MAX,
        timestamp: u64::MAX,
        extra_data: vec![1; 450].into(),
        ..Header::default()
    };
    let witness = Some(Witness::sign(&crypto::secret_key([1; 32]).unwrap(), B256::ZERO));
    let rule = Rule { name: "n".repeat(RULE_NAME_BYTES_MAX), value: "v".repeat(RULE_VALUE_BYTES_MAX) };
    let status = Status {
        protocol: u64::MAX,
        chain_id: u64::MAX,
        genesis: B256::ZERO,
        rules_digest: B256::ZERO,
        rules: vec![rule; RULES_MAX],
        fork_id: ForkId { hash: u32::MAX, next: u64::MAX },
        head: B256::ZERO,
        head_number: u64::MAX,
        total_difficulty: U256::MAX,
        finalized: u64::MAX,
        finalized_hash: B256::ZERO,
        clock_ms: u64::MAX,
        history_from: u64::MAX,
        agent: "a".repeat(AGENT_BYTES_MAX),
        roles: Roles(u64::MAX),
    };
    let notice = Notice { hash: B256::ZERO, kind: 255, size_bytes: u64::MAX };
    let rows = vec![(B256::ZERO, vec![1; STATE_ROW_BYTES_MAX]); STATE_ROWS_MAX];
    let chunk = StateChunk { rows, is_last: true };
    let from = B256::ZERO;
    let transactions =
        vec![vec![1; 8_193]; RESPONSE_BYTES_SOFT / 8_193].into_iter().chain([vec![1; TRANSACTION_BYTES_MAX]]).collect();
    let headers = vec![WitnessedHeader { header, witness }; HEADERS_MAX];
    for (request, response) in [
        (Request::Status(Box::new(status.clone())), Response::Status(Box::new(status))),
        (Request::Headers { locator: vec![from], count: 1 }, Response::Headers(headers[..1].to_vec())),
        (Request::Headers { locator: vec![from], count: 64 }, Response::Headers(headers[..64].to_vec())),
        (Request::Headers { locator: vec![from], count: u64::MAX }, Response::Headers(headers)),
        (Request::Transactions(vec![from]), Response::Transactions(transactions)),
        (Request::Pool, Response::Pool(vec![notice; POOL_NOTICES_MAX])),
        (Request::Accounts { block: from, from }, Response::Accounts(chunk.clone())),
        (Request::Slots { block: from, account: from, from }, Response::Slots(chunk)),
    ] {
        let (name, length, max) = (request.name(), response.encode().len(), max(request));
        assert!(length <= max && max < RESPONSE_BYTES_MAX && max < 2 * length, "{name}: {length} of {max}");
        assert_eq!(Response::decode(&response.encode()), Ok(response), "{name}");
    }
    // One body, and one code, may be as long as any message; of what is no request nothing is known.
    let long = [Request::Bodies(vec![from]), Request::Codes(vec![from])].map(|request| request.encode());
    for request in long.into_iter().chain([Vec::new(), vec![0xc0], vec![0xff; 9]]) {
        assert_eq!(Request::response_bytes_max(&request), RESPONSE_BYTES_MAX);
    }
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
