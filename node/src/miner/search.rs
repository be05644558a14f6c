//! One search on several threads, with a share of the processor and a time limit.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use alloy_primitives::{B64, U256};
use consensus::Header;
use consensus::search::{HASHES_PER_CHECK, SearchJob, search as search_whole, search_batch};
use parking_lot::{Condvar, Mutex};

/// How many hashes are tried before threads are made: what a small difficulty needs is found within them.
const INLINE_BATCHES: u64 = 4;

/// Searches until a nonce is found, the job is cancelled or `limit` has passed.
pub(crate) fn search(job: &SearchJob, threads: usize, cpu_percent: u8, limit: Duration) -> Option<B64> {
    let (start, threads) = (rand::random::<u64>(), u64::try_from(threads.max(1)).unwrap_or(1));
    for batch in 0..INLINE_BATCHES {
        if job.is_cancelled() {
            return None;
        }
        let nonce = start.wrapping_sub(1 + batch.wrapping_mul(HASHES_PER_CHECK).wrapping_add(HASHES_PER_CHECK));
        if let Some(found) = counted_batch(job, nonce, 1) {
            return Some(found);
        }
    }
    let done = (Mutex::new(0u64), Condvar::new());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|index| {
                let done = &done;
                scope.spawn(move || {
                    let found = work(job, start.wrapping_add(index), threads, cpu_percent);
                    *done.0.lock() += 1;
                    done.1.notify_all();
                    found
                })
            })
            .collect();
        let deadline = Instant::now() + limit;
        let mut finished = done.0.lock();
        while *finished < threads && !done.1.wait_until(&mut finished, deadline).timed_out() {}
        drop(finished);
        job.cancel();
        // A worker that panicked has been told by the panic hook; it has found nothing.
        workers.into_iter().filter_map(|worker| worker.join().ok().flatten()).next()
    })
}

/// Returns how many hashes one thread tries in a second, measured for about `time`.
pub(crate) fn measure_hash_rate(time: Duration) -> u64 {
    // No digest meets the target 0.
    let job = SearchJob { target: U256::ZERO, ..SearchJob::new(&Header::default()) };
    let begun = Instant::now();
    let mut tried = 0u64;
    while begun.elapsed() < time {
        search_batch(&job, tried, 1);
        tried += HASHES_PER_CHECK;
    }
    let nanos = begun.elapsed().as_nanos().max(1);
    u64::try_from(u128::from(tried) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}

/// Returns how many hashes the job has tried.
pub(crate) fn hashes(job: &SearchJob) -> u64 {
    job.hashes.load(Ordering::Relaxed)
}

fn counted_batch(job: &SearchJob, nonce: u64, stride: u64) -> Option<B64> {
    let found = search_batch(job, nonce, stride);
    job.hashes.fetch_add(found.map_or(HASHES_PER_CHECK, |(_, tried)| tried), Ordering::Relaxed);
    found.map(|(nonce, _)| nonce)
}

fn work(job: &SearchJob, start: u64, stride: u64, cpu_percent: u8) -> Option<B64> {
    if cpu_percent >= 100 {
        return search_whole(job, start, stride);
    }
    /// Work and rest alternate about this often, so that the share holds within a blink.
    const SLICE: Duration = Duration::from_millis(10);
    let mut nonce = start;
    while !job.is_cancelled() {
        let begun = Instant::now();
        while begun.elapsed() < SLICE && !job.is_cancelled() {
            if let Some(found) = counted_batch(job, nonce, stride) {
                job.cancel();
                return Some(found);
            }
            nonce = nonce.wrapping_add(stride.wrapping_mul(HASHES_PER_CHECK));
        }
        let share = u32::from(cpu_percent.max(1));
        std::thread::sleep(begun.elapsed() * (100 - share) / share);
    }
    None
}
