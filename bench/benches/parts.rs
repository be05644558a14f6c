//! The parts by themselves: seal search, sender recovery, decoding, state root and flat read on a state of 10,000 accounts.

use std::time::Duration;

use alloy_primitives::{Address, U256};
use bench::accounts::{Account, Terms, ether_transfer};
use bench::grown::GrownState;
use consensus::transaction::{decode_transaction, encode_transaction};
use consensus::{RecoveredTransaction, seal, search};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn seal_search(criterion: &mut Criterion) {
    let header = consensus::Header { difficulty: U256::MAX, ..Default::default() };
    let job = search::SearchJob::new(&header);
    let mut group = criterion.benchmark_group("seal");
    group.throughput(Throughput::Elements(search::HASHES_PER_CHECK));
    let mut start = 0u64;
    group.bench_function("search on one core", |bencher| {
        bencher.iter(|| {
            start = start.wrapping_add(search::HASHES_PER_CHECK);
            search::search_batch(&job, start, 1)
        });
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("verify", |bencher| bencher.iter(|| seal::verify(&header)));
    group.finish();
}

fn transactions(criterion: &mut Criterion) {
    evm_runtime::install_crypto();
    let terms = Terms { chain_id: 1337, fee_per_gas_wei: 1_000_000_000 };
    let transaction = Account::numbered(0, 0).sign(&terms, &ether_transfer(Address::ZERO, 1));
    let encoded = encode_transaction(&transaction);
    let mut group = criterion.benchmark_group("transaction");
    group.bench_function("recover the sender", |bencher| {
        bencher.iter(|| RecoveredTransaction::recover(transaction.clone()));
    });
    group.bench_function("decode", |bencher| bencher.iter(|| decode_transaction(&encoded)));
    group.finish();
}

fn small_state(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut grown = GrownState::new(folder.path()).expect("a fresh store");
    grown.grow(10_000).expect("the store takes it");
    let mut group = criterion.benchmark_group("state of 10,000 accounts");
    group.bench_function("root of 1,000 changed accounts", |bencher| {
        bencher.iter_custom(|rounds| {
            let times = (0..rounds).map(|_| grown.change(1_000).expect("the store takes it").root);
            times.sum::<Duration>()
        });
    });
    group.bench_function("flat read", |bencher| {
        bencher.iter_custom(|rounds| {
            let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
            grown.read(rounds).expect("the store reads") * rounds
        });
    });
    group.finish();
}

criterion_group! {
    name = parts;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = seal_search, transactions, small_state
}
criterion_main!(parts);
