//! How RocksDB is set up.

use crate::{Table, TableSet};
use rocksdb::{BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel, Options};

/// Says how a database is opened. The default fits a node of 150 MB resident memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RocksOptions {
    /// The tables that the database has.
    pub tables: TableSet,
    /// Bytes of the block cache that all tables share, indexes and filters included.
    pub cache_bytes: usize,
    /// Bytes that all write buffers take together before they are flushed to table files.
    pub write_buffer_bytes: usize,
    /// Whether a database is made where none is.
    pub create: bool,
    /// Whether the database is opened for reading alone: without its lock, beside a process that may be writing it, at the state of this
    /// moment. Commits then fail.
    pub read_only: bool,
    /// Whether a database is opened though its log was damaged and changes that had reached the disk are gone.
    pub accept_loss: bool,
}

impl Default for RocksOptions {
    fn default() -> Self {
        Self {
            tables: TableSet::Chain,
            cache_bytes: 32 << 20,
            write_buffer_bytes: 32 << 20,
            create: true,
            read_only: false,
            accept_loss: false,
        }
    }
}

/// Background threads for flushes and compactions together.
const THREADS: i32 = 2;
/// Table files kept open, each with a descriptor; under the usual limit of 1024 with room for sockets.
const OPEN_FILES_MAX: i32 = 512;
/// Bytes of a table file. Small files make short compactions.
const FILE_BYTES: u64 = 32 << 20;
/// Bytes of the first sorted level.
const LEVEL_BASE_BYTES: u64 = 128 << 20;
/// Bits of bloom filter for a key: about 1 % false positives.
const BLOOM_BITS: f64 = 10.0;
/// The part of a write buffer that its own bloom filter takes, so that most reads skip the search in it: some 27 bits a row.
const WRITE_BUFFER_BLOOM: f64 = 0.01;
/// Bytes of a block that is read for one row: small, since rows are read one by one.
const ROW_BLOCK_BYTES: usize = 4 << 10;
/// Bytes of a block of tables with large values: compresses better.
const BULK_BLOCK_BYTES: usize = 16 << 10;
/// The size of RocksDB's own LOG file before it is rolled.
const LOG_FILE_BYTES: usize = 4 << 20;

/// Options of the database and what the options of its column families share.
pub(super) struct Tuning {
    pub(super) database: Options,
    cache: Cache,
    write_buffer_bytes: usize,
}

impl Tuning {
    pub(super) fn new(options: &RocksOptions) -> Self {
        let mut database = Options::default();
        database.create_if_missing(options.create);
        database.create_missing_column_families(true);
        database.increase_parallelism(THREADS);
        database.set_max_open_files(OPEN_FILES_MAX);
        database.set_paranoid_checks(true);
        // Not `TolerateCorruptedTailRecords`: it refuses what a power cut may leave, pages on the disk out of order. Not
        // `AbsoluteConsistency`: it refuses a torn tail. What this mode would drop in silence, the mark tells.
        database.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        // A log that is missing or too short as a whole is then known from the manifest.
        database.set_track_and_verify_wals_in_manifest(true);
        database.set_db_write_buffer_size(options.write_buffer_bytes);
        // A table that is seldom written pins the log that holds its last row. This bounds the log, and so the time to reopen.
        database.set_max_total_wal_size(
            u64::try_from(options.write_buffer_bytes).map_or(u64::MAX, |bytes| bytes.saturating_mul(2)),
        );
        database.set_bytes_per_sync(1 << 20);
        database.set_wal_bytes_per_sync(1 << 20);
        database.set_log_level(LogLevel::Warn);
        database.set_max_log_file_size(LOG_FILE_BYTES);
        database.set_keep_log_file_num(2);
        database.set_stats_dump_period_sec(0);
        database.set_stats_persist_period_sec(0);
        Self {
            database,
            cache: Cache::new_hyper_clock_cache(options.cache_bytes, 0),
            write_buffer_bytes: options.write_buffer_bytes,
        }
    }

    /// Returns the options of the column family `name`.
    pub(super) fn family(&self, name: &str) -> Options {
        let known = Table::ALL.iter().chain(&Table::DEVICES).find(|table| table.name() == name);
        let access = known.map_or(Access::Bulk, |table| access(*table));
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&self.cache);
        blocks.set_block_size(if access == Access::Bulk { BULK_BLOCK_BYTES } else { ROW_BLOCK_BYTES });
        blocks.set_bloom_filter(BLOOM_BITS, false);
        blocks.set_whole_key_filtering(true);
        // Indexes and filters are cut into blocks of their own. Whole, each is some hundred kilobytes, and a small cache would read them
        // again and again.
        blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        blocks.set_partition_filters(true);
        blocks.set_metadata_block_size(ROW_BLOCK_BYTES);
        blocks.set_pin_top_level_index_and_filter(true);
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_cache_index_and_filter_blocks_with_high_priority(true);
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
        blocks.set_optimize_filters_for_memory(true);

        let mut options = Options::default();
        options.set_block_based_table_factory(&blocks);
        options.set_write_buffer_size(self.write_buffer_bytes / 2);
        options.set_arena_block_size(256 << 10);
        options.set_max_write_buffer_number(3);
        options.set_target_file_size_base(FILE_BYTES);
        options.set_max_bytes_for_level_base(LEVEL_BASE_BYTES);
        if access == Access::State || access == Access::Trie {
            options.set_memtable_whole_key_filtering(true);
            options.set_memtable_prefix_bloom_ratio(WRITE_BUFFER_BLOOM);
        }
        // A trie node that is asked for is there, so that the last level needs no filter to say that it is not.
        options.set_optimize_filters_for_hits(access == Access::Trie);
        options.set_compression_type(DBCompressionType::Lz4);
        // Hashes hardly compress, and the state is read all the time: there the fast codec stands on the last level too.
        options.set_bottommost_compression_type(match access {
            Access::State | Access::Trie => DBCompressionType::Lz4,
            Access::Rows | Access::Bulk => DBCompressionType::Zstd,
        });
        options
    }
}

/// Says how a table is used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Small rows, read and overwritten at random by each block.
    State,
    /// The same, and a row that is read is there.
    Trie,
    /// Small rows, written once, read now and then.
    Rows,
    /// Large rows, written once.
    Bulk,
}

fn access(table: Table) -> Access {
    match table {
        Table::Accounts | Table::Slots => Access::State,
        Table::AccountTrie | Table::StorageTries => Access::Trie,
        Table::Bodies | Table::Receipts | Table::Code | Table::Changes => Access::Bulk,
        Table::Meta
        | Table::Headers
        | Table::Numbers
        | Table::Canonical
        | Table::Transactions
        | Table::Invalid
        | Table::AccountHistory
        | Table::SlotHistory
        | Table::AddressIndex
        | Table::EventIndex
        | Table::Shadows
        | Table::ShadowChanges
        | Table::Sessions
        | Table::Queued
        | Table::Retained => Access::Rows,
    }
}
