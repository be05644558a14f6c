//! Peers that mean harm: what they send is bounded, and they are cut off. Those that merely lack something are not.

use alloy_primitives::{B256, U256};
use network::machine::limits::*;
use network::machine::*;
use network::message::*;

use crate::bench::*;

/// What the machine may hold of foreign data in all: the sum of its limits, far below what is thrown at it.
const HELD_MAX: usize = 64 * 1024 * 1024;

#[test]
fn malformed_bytes_cut_a_peer_off_at_once() {
    for (case, topic) in [("block", Topic::Blocks), ("transactions", Topic::Transactions)] {
        let mut bench = Bench::new(MachineConfig::default());
        bench.welcome_equal(1);
        let actions = bench.gossip(1, topic, vec![0xff; 100]);
        assert_eq!(verdicts(&actions), [Verdict::Reject], "{case}");
        assert!(parted(&actions, 1).unwrap().starts_with("gossip: "), "{case}");
    }
    let mut bench = Bench::new(MachineConfig::default());
    bench.welcome_equal(1);
    let actions = bench.ask_bytes(1, vec![0xc0]);
    assert!(parted(&actions, 1).unwrap().starts_with("request: "));
    let actions = bench.welcome_equal(2);
    let (request, _) = sent(&actions, 2)[0].clone();
    let actions = bench.tell(Event::Response { peer: PeerId(2), request, result: Ok(vec![1].into()) });
    assert!(parted(&actions, 2).unwrap().starts_with("response: "));
}

#[test]
fn who_was_cut_off_stays_out_for_a_while() {
    let mut bench = Bench::new(MachineConfig::default());
    bench.welcome_equal(1);
    bench.ask_bytes(1, vec![0xc0]);
    let actions = bench.connect(1);
    assert!(parted(&actions, 1).unwrap().starts_with("cut off before, and out for 600 s more"));
    bench.now_ms += BAN_MS;
    assert_eq!(parted(&bench.connect(1), 1), None);
}

#[test]
fn who_is_pardoned_comes_in_at_once_and_is_blamed_for_nothing() {
    let mut bench = Bench::new(MachineConfig::default());
    bench.welcome_equal(1);
    bench.ask_bytes(1, vec![0xc0]);
    assert!(parted(&bench.connect(1), 1).is_some());
    assert_eq!(bench.tell(Event::Pardoned { peer: PeerId(1) }).len(), 0);
    assert_eq!(parted(&bench.connect(1), 1), None);
    assert_eq!(bench.machine.points(PeerId(1), bench.now_ms), 0);
}

#[test]
fn a_bad_seal_cuts_off_and_ten_thousand_of_them_take_less_than_a_second() {
    let mut bench = Bench::new(MachineConfig::default());
    let head = mine(&bench.ledger, 1, "a")[0].header.clone();
    let started = std::time::Instant::now();
    for peer in 0..100u64 {
        bench.welcome_equal(peer);
        for index in 0..100u64 {
            let mut header = head.clone().into_header();
            header.parent_hash = head.hash();
            (header.number, header.difficulty) = (2, U256::MAX - U256::from(peer * 100 + index));
            let actions = bench.gossip(peer, Topic::Blocks, announce(&header));
            let expected = if index == 0 { Verdict::Reject } else { Verdict::Ignore };
            assert_eq!(verdicts(&actions), [expected]);
            assert_eq!(parted(&actions, peer).is_some(), index == 0);
        }
    }
    println!("10,000 headers with bad seals took {:?}", started.elapsed());
    assert!(started.elapsed().as_secs_f64() < 1.0, "{:?}", started.elapsed());
    assert_eq!(bench.ledger.view().head().number, 1);
}

#[test]
fn floods_of_sealed_orphans_are_bounded_and_blame_nobody() {
    let mut bench = Bench::new(MachineConfig { peers_max: 100, ..MachineConfig::default() });
    let head = mine(&bench.ledger, 1, "a")[0].header.clone();
    let transactions: Vec<B256> = (0..8_000u64).map(|n| B256::from(U256::from(n))).collect();
    let mut thrown = 0;
    for peer in 0..64u64 {
        bench.welcome_equal(peer);
        for index in 0..4u64 {
            let header = sealed(head.clone().into_header(), |header| {
                header.parent_hash = B256::from(U256::from(peer * 1000 + index));
                header.number = 2;
            });
            let block =
                CompactBlock { header: header.into_header(), witness: None, transactions: transactions.clone() };
            let data = Gossip::Block(Box::new(block)).encode();
            thrown += data.len();
            let actions = bench.gossip(peer, Topic::Blocks, data);
            assert_eq!((verdicts(&actions), parted(&actions, peer)), (vec![Verdict::Ignore], None));
            assert!(bench.machine.held_bytes() <= ORPHAN_BYTES_MAX + RECENT_BYTES_MAX);
        }
    }
    assert!(thrown > 64 * 1024 * 1024, "{thrown} bytes were thrown");
    assert!(bench.machine.held_bytes() > ORPHAN_BYTES_MAX / 2, "the limit was reached");
    assert!(bench.machine.held_bytes() < HELD_MAX);
}

#[test]
fn two_hundred_sybils_leave_room_for_reserved_peers() {
    let mut bench = Bench::new(MachineConfig { peers_max: 25, ..MachineConfig::default() });
    let refused: Vec<_> = (0..200).filter_map(|peer| parted(&bench.connect(peer), peer)).collect();
    assert_eq!(refused.len(), 175);
    assert!(refused.iter().all(|reason| reason == "too many peers, at most 25 (--maxpeers)"));
    let actions = bench.tell(Event::Connected { peer: PeerId(1000), is_reserved: true });
    assert_eq!(parted(&actions, 1000), None);
    // Those that got in and say nothing do not keep their places.
    let actions = bench.pass(HANDSHAKE_MS + TICK_MS);
    assert!(parted(&actions, 0).unwrap().starts_with("no status within 10 s"));
    assert_eq!(parted(&bench.connect(201), 201), None);
}

#[test]
fn who_asks_without_end_is_cut_off() {
    let mut bench = Bench::new(MachineConfig::default());
    bench.welcome_equal(1);
    let mut asked = 0u64;
    let reason = loop {
        asked += 1;
        if let Some(reason) = parted(&bench.ask(1, &Request::Pool), 1) {
            break reason;
        }
        assert!(asked < 10_000);
    };
    assert_eq!(reason, "requests beyond its share");
    // Its greeting was a request too.
    assert_eq!(asked + 1, REQUEST_BURST + REFUSALS_MAX);
}

#[test]
fn who_announces_without_end_is_cut_off() {
    let mut bench = Bench::new(MachineConfig::default());
    bench.welcome_equal(1);
    let mut told = 0u64;
    let reason = loop {
        let data = Gossip::Transactions(Announcement { salt: told, notices: Vec::new() }).encode();
        let actions = bench.gossip(1, Topic::Transactions, data);
        assert_eq!(verdicts(&actions), [Verdict::Ignore]);
        told += 1;
        if let Some(reason) = parted(&actions, 1) {
            break reason;
        }
        assert!(told < 10_000);
    };
    assert_eq!(reason, "announcements beyond its share");
    assert!(told >= ANNOUNCEMENT_BURST + REFUSALS_MAX);
    // As many as a node makes are always read.
    bench.welcome_equal(2);
    for tenth in 0..10_000 {
        let data = Gossip::Transactions(Announcement { salt: tenth, notices: Vec::new() }).encode();
        bench.now_ms += 100;
        assert_eq!(parted(&bench.gossip(2, Topic::Transactions, data), 2), None);
    }
}

#[test]
fn announcements_of_what_nobody_has_are_bounded_and_blame_nobody() {
    let mut bench = Bench::new(MachineConfig::default());
    let count = u64::try_from(WANTED_PER_PEER).unwrap();
    for peer in 0..8u64 {
        bench.welcome_equal(peer);
        for batch in 0..16u64 {
            let notice = |index: u64| Notice {
                hash: B256::from(U256::from(peer * 1_000_000 + batch * 1000 + index + 1)),
                kind: 2,
                size_bytes: 100,
            };
            let notices: Vec<_> = (0..1000).map(notice).collect();
            let data = Gossip::Transactions(Announcement { salt: batch, notices }).encode();
            let actions = bench.gossip(peer, Topic::Transactions, data);
            assert_eq!((verdicts(&actions), parted(&actions, peer)), (vec![Verdict::Ignore], None));
        }
    }
    assert!(count * 8 > u64::try_from(WANTED_MAX).unwrap(), "the limit was reached");
    // An entry counts as 256 bytes, and so does each of the few open requests.
    let held = bench.machine.held_bytes() / 256;
    assert!((WANTED_MAX..WANTED_MAX + 1000).contains(&held), "{held}");
    // What an honest peer announces now is asked for all the same.
    bench.welcome_equal(8);
    let notice =
        |index: u64| Notice { hash: B256::repeat_byte(0x77) ^ B256::from(U256::from(index)), kind: 2, size_bytes: 100 };
    let notices: Vec<_> = (0..50).map(notice).collect();
    let data = Gossip::Transactions(Announcement { salt: 0, notices: notices.clone() }).encode();
    let actions = bench.gossip(8, Topic::Transactions, data);
    let expected = Request::Transactions(notices.iter().map(|notice| notice.hash).collect());
    assert!(sent(&actions, 8).iter().any(|(_, request)| *request == expected));
    // Each asks for a share only, and having nothing is no offence.
    let actions = bench.tell(Event::Tick);
    assert!(actions.iter().all(|action| !matches!(action, Action::Punish { .. })));
}

#[test]
fn transactions_that_were_not_asked_for_or_are_none_are_blamed() {
    let mut bench = Bench::new(MachineConfig::default());
    bench.welcome_equal(1);
    let bogus = vec![2u8; 50];
    let hash = alloy_primitives::keccak256(&bogus);
    let notice = Notice { hash, kind: 2, size_bytes: 50 };
    let told = |bench: &mut Bench, salt| {
        let data = Gossip::Transactions(Announcement { salt, notices: vec![notice] }).encode();
        let actions = bench.gossip(1, Topic::Transactions, data);
        sent(&actions, 1)[0].clone()
    };
    let (request, message) = told(&mut bench, 1);
    assert_eq!(message, Request::Transactions(vec![hash]));
    let blame = |actions: &[Action]| {
        actions.iter().find_map(|action| match action {
            Action::Punish { offence, .. } => Some(*offence),
            _ => None,
        })
    };
    let actions = bench.answer(1, request, &Response::Transactions(vec![vec![3; 10]]));
    assert_eq!(blame(&actions), Some(Offence::WrongResponse));
    let (request, _) = told(&mut bench, 2);
    let actions = bench.answer(1, request, &Response::Transactions(vec![bogus]));
    assert_eq!(blame(&actions), Some(Offence::InvalidTransaction));
    // Together that is enough.
    assert!(parted(&actions, 1).unwrap().contains("malformed transaction"));
}

#[test]
fn a_claim_of_work_that_headers_do_not_bear_out_is_blamed() {
    let mut bench = Bench::new(MachineConfig::default());
    mine(&bench.ledger, 3, "a");
    let status = bench.status(B256::repeat_byte(9), 1000, 1_000_000);
    let actions = bench.welcome(1, status);
    let (request, _) = sent(&actions, 1).into_iter().find(|(_, sent)| matches!(sent, Request::Headers { .. })).unwrap();
    let actions = bench.answer(1, request, &Response::Headers(Vec::new()));
    assert!(actions.iter().any(|action| matches!(action, Action::Punish { offence: Offence::FalseClaim, .. })));
    // It is not asked again for the same claim.
    assert!(sent(&actions, 1).iter().all(|(_, sent)| !matches!(sent, Request::Headers { .. })));
}

#[test]
fn blocks_that_wait_for_their_transactions_are_bounded() {
    let mut bench = Bench::new(MachineConfig::default());
    let head = mine(&bench.ledger, 1, "a")[0].header.clone();
    let announced = |salt: u64| {
        let header = sealed(head.clone().into_header(), |header| {
            header.parent_hash = head.hash();
            header.mix_hash = consensus::seal::next_mix_hash(&head);
            header.base_fee_per_gas =
                Some(consensus::fees::next_base_fee(&genesis().spec, &head, head.timestamp).unwrap());
            (header.number, header.gas_used) = (2, salt);
        });
        let transactions = vec![B256::from(U256::from(salt))];
        Gossip::Block(Box::new(CompactBlock { header: header.into_header(), witness: None, transactions })).encode()
    };
    let mut asked = 0;
    for peer in 0..8u64 {
        bench.welcome_equal(peer);
        for index in 0..20 {
            let actions = bench.gossip(peer, Topic::Blocks, announced(21_000 + peer * 100 + index));
            assert!(actions.iter().all(|action| !matches!(action, Action::Punish { .. })));
            asked += sent(&actions, peer).len();
        }
        assert_eq!(asked, REBUILDS_MAX.min((usize::try_from(peer).unwrap() + 1) * REBUILDS_PER_PEER));
    }
    // What does not come is given up without blame, and makes room again.
    let asked = u64::try_from(BLOCK_TRANSACTIONS_ASKED_MAX).unwrap();
    let actions = bench.pass(asked * (BLOCK_TRANSACTIONS_MS + TICK_MS));
    assert_eq!(verdicts(&actions).len(), REBUILDS_MAX);
    assert!(actions.iter().all(|action| !matches!(action, Action::Punish { .. })));
}

#[test]
fn who_claims_most_and_keeps_silent_is_asked_after_the_others() {
    let mut bench = Bench::new(MachineConfig::default());
    mine(&bench.ledger, 3, "a");
    let is_headers = |sent: &(RequestId, Request)| matches!(sent.1, Request::Headers { .. });
    let claim = |bench: &Bench, work: u64| bench.status(B256::with_last_byte(9), 1000, work);
    let status = claim(&bench, 2_000_000);
    assert!(sent(&bench.welcome(1, status), 1).iter().any(is_headers));
    let status = claim(&bench, 1_000_000);
    assert!(!sent(&bench.welcome(2, status), 2).iter().any(is_headers), "one at a time");
    // The other one is next, although it claims less.
    let actions = bench.pass(HEADERS_MS + TICK_MS);
    assert!(sent(&actions, 2).iter().any(is_headers) && parted(&actions, 1).is_none());
    // Both have kept silent now, and the one that claims more comes first.
    let actions = bench.pass(HEADERS_MS + TICK_MS);
    assert!(sent(&actions, 1).iter().any(is_headers) && !sent(&actions, 2).iter().any(is_headers));
    // Who has kept nobody waiting comes before both.
    let status = claim(&bench, 500_000);
    bench.welcome(3, status);
    let actions = bench.pass(HEADERS_MS + TICK_MS);
    assert!(sent(&actions, 3).iter().any(is_headers) && !sent(&actions, 2).iter().any(is_headers));
}
