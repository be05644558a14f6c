//! Seal search and sender recovery.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, U256};
use bench::Failure;
use bench::accounts::{Account, Terms, ether_transfer};
use bench::summary::as_f64;
use consensus::search::{SearchJob, search};
use consensus::transaction::recover_all;
use consensus::{Header, RecoveredTransaction};

/// How long the search runs.
const SEARCH_TIME: Duration = Duration::from_secs(2);
/// How many senders are recovered.
const SENDERS: u64 = 10_000;

pub(crate) fn seal() {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    println!("Seal search, {SEARCH_TIME:?} each");
    let mut counts = vec![1, cores];
    counts.dedup();
    for threads in counts {
        let rate = hashes_per_second(threads) / 1e6;
        println!("  {threads} thread(s)  {rate:6.2} million hashes/s, {:.2} a core", rate / as_f64(threads));
    }
    println!();
}

fn hashes_per_second(threads: usize) -> f64 {
    // No digest meets this difficulty in our time.
    let job = SearchJob::new(&Header { difficulty: U256::MAX, ..Header::default() });
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let stride = u64::try_from(threads).expect("so many threads there are not");
        for start in 0..stride {
            let job = &job;
            scope.spawn(move || search(job, start, stride));
        }
        std::thread::sleep(SEARCH_TIME);
        job.cancel();
    });
    let hashes = usize::try_from(job.hashes.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
    as_f64(hashes) / begun.elapsed().as_secs_f64()
}

pub(crate) fn recover() -> Result<(), Failure> {
    let terms = Terms { chain_id: 1337, fee_per_gas_wei: 1_000_000_000 };
    let mut account = Account::numbered(0, 0);
    let signed: Vec<_> = (0..SENDERS).map(|_| account.sign(&terms, &ether_transfer(Address::ZERO, 1))).collect();
    let begun = Instant::now();
    for transaction in &signed {
        RecoveredTransaction::recover(transaction.clone())?;
    }
    let one = as_f64(signed.len()) / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let count = as_f64(recover_all(signed)?.len());
    let all = count / begun.elapsed().as_secs_f64();
    println!(
        "Sender recovery of {SENDERS} transfers\n  one core    {one:8.0} a second\n  all cores   {all:8.0} a second\n"
    );
    Ok(())
}
