use alloc::vec;
use alloc::vec::Vec;

use alloy_primitives::{Address, B64, B256, Bytes, U256, keccak256};
use alloy_trie::proof::ProofRetainer;
use alloy_trie::{HashBuilder, Nibbles};
use consensus::crypto::{address_of, secret_key};
use consensus::{Header, Witness, seal};
use proptest::prelude::*;

use crate::*;

const DIFFICULTY: u64 = 16;

fn recover(hash: B256, signature: &[u8; 65]) -> Option<Address> {
    Witness::from_bytes(signature).ok()?.recover(hash).ok()
}

fn open_rules() -> Rules<'static> {
    Rules { difficulty_min: U256::from(DIFFICULTY), authorized_miners: &[], recover }
}

fn mine(header: &mut Header) {
    let nonce = (0_u64..).find(|nonce| {
        header.nonce = B64::from(*nonce);
        seal::is_valid(header)
    });
    assert!(nonce.is_some());
}

/// Headers that follow each other, the first one being the anchor's.
fn chain(count: u64, change: impl Fn(u64, &mut Header)) -> Vec<Header> {
    let mut headers: Vec<Header> = Vec::new();
    for number in 0..count {
        let mut header = Header {
            number,
            difficulty: U256::from(DIFFICULTY),
            timestamp: 1_000 + number,
            state_root: B256::repeat_byte(9),
            beneficiary: address_of(&secret_key([3; 32]).unwrap()),
            base_fee_per_gas: Some(7),
            ..Header::default()
        };
        if let Some(parent) = headers.last() {
            header.parent_hash = parent.hash_slow();
            header.mix_hash = seal::next_mix_hash(parent);
        }
        change(number, &mut header);
        mine(&mut header);
        headers.push(header);
    }
    headers
}

fn encode(headers: &[Header]) -> Vec<Bytes> {
    headers.iter().map(|header| alloy_rlp::encode(header).into()).collect()
}

fn verify(headers: &[Header], rules: &Rules<'_>, witnesses: &[Bytes]) -> Result<Vec<Checked>, ProofError> {
    let anchor = Anchor { number: headers[0].number, hash: headers[0].hash_slow() };
    verify_segment(&anchor, rules, &Segment { headers: &encode(headers), witnesses })
}

#[test]
fn a_chain_of_sealed_headers_is_verified_to_its_head() {
    let headers = chain(6, |_, _| {});
    let verified = verify(&headers, &open_rules(), &[]).unwrap();
    assert_eq!(verified.len(), 6);
    let head = verified.last().unwrap();
    assert_eq!((head.number, head.hash, head.timestamp), (5, headers[5].hash_slow(), 1_005));
    assert_eq!(head.state_root, B256::repeat_byte(9));
}

#[test]
fn headers_that_do_not_follow_are_refused() {
    let parent = chain(3, |number, header| {
        if number == 2 {
            header.parent_hash = B256::ZERO
        }
    });
    assert_eq!(verify(&parent, &open_rules(), &[]), Err(ProofError::Link { number: 2 }));
    let number = chain(3, |number, header| {
        if number == 2 {
            header.number = 3
        }
    });
    assert_eq!(verify(&number, &open_rules(), &[]), Err(ProofError::Link { number: 3 }));
    let time = chain(3, |number, header| {
        if number == 2 {
            header.timestamp = 1
        }
    });
    assert_eq!(verify(&time, &open_rules(), &[]), Err(ProofError::Link { number: 2 }));
    let mix = chain(3, |number, header| {
        if number == 2 {
            header.mix_hash = B256::ZERO
        }
    });
    assert_eq!(verify(&mix, &open_rules(), &[]), Err(ProofError::Link { number: 2 }));
}

#[test]
fn too_little_work_is_refused() {
    let easy = chain(3, |number, header| {
        if number == 2 {
            header.difficulty = U256::from(DIFFICULTY - 1)
        }
    });
    let expected = ProofError::Difficulty { number: 2, actual: U256::from(DIFFICULTY - 1) };
    assert_eq!(verify(&easy, &open_rules(), &[]), Err(expected));
    let falling = chain(3, |number, header| {
        if number < 2 {
            header.difficulty = U256::from(64)
        }
    });
    let expected = ProofError::Difficulty { number: 2, actual: U256::from(DIFFICULTY) };
    assert_eq!(verify(&falling, &open_rules(), &[]), Err(expected), "by more than half");
    let mut unsealed = chain(3, |_, _| {});
    unsealed[2].nonce = (0_u64..)
        .map(B64::from)
        .find(|nonce| !seal::is_valid(&Header { nonce: *nonce, ..unsealed[2].clone() }))
        .unwrap();
    assert_eq!(verify(&unsealed, &open_rules(), &[]), Err(ProofError::Seal { number: 2 }));
}

#[test]
fn another_anchor_no_header_and_no_header_at_all_are_refused() {
    let headers = encode(&chain(2, |_, _| {}));
    let anchor = Anchor { number: 0, hash: B256::repeat_byte(1) };
    let of = |headers: &[Bytes]| verify_segment(&anchor, &open_rules(), &Segment { headers, witnesses: &[] });
    assert!(matches!(of(&headers), Err(ProofError::Anchor { .. })));
    assert_eq!(of(&[]), Err(ProofError::Empty));
    assert_eq!(of(&[Bytes::from_static(&[0xc0])]), Err(ProofError::Header { index: 0 }));
}

#[test]
fn where_miners_are_authorized_only_theirs_count() {
    let (miner, other) = (secret_key([3; 32]).unwrap(), secret_key([4; 32]).unwrap());
    let headers = chain(3, |_, _| {});
    let authorized = [address_of(&miner)];
    let rules = Rules { authorized_miners: &authorized, ..open_rules() };
    let witnesses = |key: &consensus::crypto::SecretKey| -> Vec<Bytes> {
        headers.iter().map(|header| Witness::sign(key, header.hash_slow()).to_bytes().into()).collect()
    };
    assert!(verify(&headers, &rules, &witnesses(&miner)).is_ok());
    for wrong in [vec![], witnesses(&other), vec![Bytes::new(); 3]] {
        assert_eq!(verify(&headers, &rules, &wrong), Err(ProofError::Witness { number: 1 }));
    }
    let strangers = [address_of(&other)];
    let rules = Rules { authorized_miners: &strangers, ..open_rules() };
    assert_eq!(verify(&headers, &rules, &witnesses(&miner)), Err(ProofError::Witness { number: 1 }));
}

/// Builds a trie of these leaves, and returns its root with the proof of one key.
fn trie(leaves: &[(B256, Vec<u8>)], key: B256) -> (B256, Vec<Bytes>) {
    let mut leaves = leaves.to_vec();
    leaves.sort();
    let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(vec![Nibbles::unpack(key)]));
    for (key, value) in &leaves {
        builder.add_leaf(Nibbles::unpack(*key), value);
    }
    let root = builder.root();
    let nodes = builder.take_proof_nodes().into_nodes_sorted().into_iter().map(|(_, node)| node).collect();
    (root, nodes)
}

fn slot_key(slot: U256) -> B256 {
    keccak256(slot.to_be_bytes::<32>())
}

/// A state with an order and its registry, beside other accounts, and the proof of the order.
fn state(buyer: Address, job: B256, created: bool) -> (B256, OrderProof) {
    let packed = (U256::from(1_700_u64) << 160) | (U256::from(1_800_u64) << 200) | U256::from(5);
    let values = [U256::from_be_bytes(buyer.into_word().0), U256::from_be_bytes(job.0), packed];
    let storage = |entries: &[(U256, U256)]| -> Vec<(B256, Vec<u8>)> {
        let noise = (100_u64..140).map(|slot| (U256::from(slot), U256::from(slot)));
        let all = entries.iter().copied().chain(noise).filter(|(_, value)| !value.is_zero());
        all.map(|(slot, value)| (slot_key(slot), alloy_rlp::encode(value))).collect()
    };
    let prove = |leaves: &[(B256, Vec<u8>)], slot: U256, value: U256| SlotProof {
        slot,
        value,
        nodes: trie(leaves, slot_key(slot)).1,
    };
    let order_leaves = storage(&slots().into_iter().zip(values).collect::<Vec<_>>());
    let mark = U256::from(u8::from(created));
    let registry_leaves = storage(&[(registry_slot(ORDER), mark)]);
    let account = |leaves: &[(B256, Vec<u8>)]| Account {
        nonce: 1,
        balance: U256::ZERO,
        storage_root: trie(leaves, B256::ZERO).0,
        code_hash: B256::repeat_byte(8),
    };
    let mut accounts: Vec<(B256, Vec<u8>)> =
        (0_u8..50).map(|n| (keccak256(Address::repeat_byte(n)), alloy_rlp::encode(account(&[])))).collect();
    let (order, registry) = (alloy_rlp::encode(account(&order_leaves)), alloy_rlp::encode(account(&registry_leaves)));
    accounts.push((keccak256(ORDER), order.clone()));
    accounts.push((keccak256(REGISTRY), registry.clone()));
    let (root, order_nodes) = trie(&accounts, keccak256(ORDER));
    let (_, registry_nodes) = trie(&accounts, keccak256(REGISTRY));
    let slots = slots().into_iter().zip(values).map(|(slot, value)| prove(&order_leaves, slot, value)).collect();
    let mark = prove(&registry_leaves, registry_slot(ORDER), mark);
    let proof = OrderProof {
        order: AccountProof { account: order.into(), nodes: order_nodes, slots },
        registry: AccountProof { account: registry.into(), nodes: registry_nodes, slots: vec![mark] },
    };
    (root, proof)
}

const ORDER: Address = Address::repeat_byte(0xaa);
const REGISTRY: Address = Address::repeat_byte(0xbb);
const BUYER: Address = Address::repeat_byte(0xcc);

#[test]
fn an_order_is_proven_with_buyer_release_and_registry() {
    let (root, proof) = state(BUYER, B256::repeat_byte(7), true);
    let expected = Ownership {
        known: true,
        code_hash: B256::repeat_byte(8),
        buyer: BUYER,
        job: B256::repeat_byte(7),
        released_at: 1_700,
        opened_at: 1_800,
    };
    assert_eq!(verify_order(root, REGISTRY, ORDER, &proof), Ok(expected));
    let (root, proof) = state(Address::ZERO, B256::ZERO, false);
    let proven = verify_order(root, REGISTRY, ORDER, &proof).unwrap();
    assert_eq!((proven.known, proven.buyer, proven.job), (false, Address::ZERO, B256::ZERO), "absence is proven too");
}

#[test]
fn another_root_order_registry_value_or_node_is_refused() {
    let (root, proof) = state(BUYER, B256::repeat_byte(7), true);
    let refused = |change: &dyn Fn(&mut OrderProof)| {
        let mut changed = proof.clone();
        change(&mut changed);
        verify_order(root, REGISTRY, ORDER, &changed).is_err()
    };
    assert!(verify_order(B256::ZERO, REGISTRY, ORDER, &proof).is_err());
    assert!(verify_order(root, ORDER, ORDER, &proof).is_err());
    assert!(verify_order(root, REGISTRY, REGISTRY, &proof).is_err());
    assert!(refused(&|p| p.order.slots[0].value = U256::from_be_bytes(Address::repeat_byte(0xdd).into_word().0)));
    assert!(refused(&|p| p.order.slots[0].value = U256::ZERO));
    assert!(refused(&|p| p.order.slots.truncate(2)));
    assert!(refused(&|p| p.order.slots.swap(0, 1)));
    assert!(refused(&|p| p.registry.slots.clear()));
    assert!(refused(&|p| p.order.account = Bytes::new()));
    assert!(refused(&|p| p.registry.account = p.order.account.clone()));
    assert!(refused(&|p| p.order.nodes.clear()));
    let (_, lie) = state(BUYER, B256::repeat_byte(7), false);
    assert!(refused(&|p| p.registry = lie.registry.clone()));
}

proptest! {
    #[test]
    fn any_bytes_are_verified_or_refused(headers in prop::collection::vec(any::<Vec<u8>>(), 0..4), node: Vec<u8>, account: Vec<u8>) {
        let headers: Vec<Bytes> = headers.into_iter().map(Bytes::from).collect();
        let anchor = Anchor { number: 0, hash: B256::ZERO };
        let segment = Segment { headers: &headers, witnesses: &[] };
        prop_assert!(verify_segment(&anchor, &open_rules(), &segment).is_err());
        let proof = AccountProof { account: account.into(), nodes: vec![node.into()], slots: vec![] };
        let _ = verify_account(B256::ZERO, ORDER, &proof);
    }

    #[test]
    fn a_changed_byte_of_a_header_is_noticed(place in 0_usize..500, with: u8) {
        let headers = chain(3, |_, _| {});
        let anchor = Anchor { number: 0, hash: headers[0].hash_slow() };
        let mut encoded = encode(&headers);
        let mut changed = encoded[1].to_vec();
        let place = place % changed.len();
        prop_assume!(changed[place] != with);
        changed[place] = with;
        encoded[1] = changed.into();
        let segment = Segment { headers: &encoded, witnesses: &[] };
        prop_assert!(verify_segment(&anchor, &open_rules(), &segment).is_err());
    }

    #[test]
    fn a_changed_byte_of_a_node_is_noticed(which in 0_usize..6, place: usize, with: u8) {
        let (root, mut proof) = state(BUYER, B256::repeat_byte(7), true);
        let nodes = match which {
            0 => &mut proof.order.nodes,
            1 => &mut proof.registry.nodes,
            2 => &mut proof.registry.slots[0].nodes,
            slot => &mut proof.order.slots[slot - 3].nodes,
        };
        let index = place % nodes.len();
        let mut changed = nodes[index].to_vec();
        let at = place % changed.len();
        prop_assume!(changed[at] != with);
        changed[at] = with;
        nodes[index] = changed.into();
        prop_assert!(verify_order(root, REGISTRY, ORDER, &proof).is_err());
    }
}
