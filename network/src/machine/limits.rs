//! The machine's limits: how much of foreign data is held, how much is asked at once, and how long it waits. Each has its reason.

/// How often the shell lets the machine look at the clock, in milliseconds.
pub const TICK_MS: u64 = 500;
/// At so many points a peer is cut off.
pub const SCORE_MAX: u32 = 100;
/// A peer loses one point of blame in so many milliseconds: an honest one's mishaps are forgotten within minutes.
pub const SCORE_DECAY_MS: u64 = 2_000;
/// For how long a peer that was cut off stays out, in milliseconds.
pub const BAN_MS: u64 = 10 * 60 * 1000;
/// For how long a peer that does not match stays out, in milliseconds: an operator may correct it.
pub const MISMATCH_BAN_MS: u64 = 30 * 1000;

/// How long a peer may take to introduce itself, in milliseconds.
pub const HANDSHAKE_MS: u64 = 10_000;
/// How much gossip a peer may pass on before it has introduced itself: its status may be on the way still.
pub const STRANGER_GOSSIP_MAX: u32 = 256;
/// How long the machine waits for a response, in milliseconds.
pub const RESPONSE_MS: u64 = 15_000;
/// How long it waits for headers, in milliseconds: half a megabyte at the most, and as long as one peer keeps us waiting for them no other
/// peer is asked.
pub const HEADERS_MS: u64 = 5_000;
/// How long it waits for the transactions of a block that is being put together, in milliseconds; then another peer is asked.
pub const BLOCK_TRANSACTIONS_MS: u64 = 2_000;
/// How many peers are asked for them.
pub const BLOCK_TRANSACTIONS_ASKED_MAX: usize = 3;
/// How many requests in a row a peer may leave unanswered before we part; nobody is to blame for a bad line.
pub const UNANSWERED_MAX: u32 = 4;
/// How often each peer is asked for its status anew, in milliseconds: what gossip lost comes to light.
pub const STATUS_MS: u64 = 10_000;
/// How often some peer is asked what is in its pool, in milliseconds; each in its turn.
pub const POOL_MS: u64 = 10_000;
/// How far a peer's clock may be off, in milliseconds: its blocks would be held as too far ahead (`FUTURE_BLOCK_SECONDS_MAX`).
pub const CLOCK_OFFSET_MS_MAX: u64 = 15_000;
/// From which median offset on the operator is warned, in milliseconds.
pub const CLOCK_WARN_MS: u64 = 5_000;

/// How many requests of one peer are answered in a burst.
pub const REQUEST_BURST: u64 = 256;
/// How many requests a second of one peer are answered in the long run.
pub const REQUESTS_PER_SECOND: u64 = 64;
/// How many requests of one peer may be refused, beyond as many as are granted meanwhile, before it counts as an offence; or announcements
/// not be read in a row.
pub const REFUSALS_MAX: u64 = 64;
/// How many announcements of transactions of one peer are read in a burst.
pub const ANNOUNCEMENT_BURST: u64 = 256;
/// How many of them are read in a second in the long run: a node makes ten, and one more for each thousand transactions. Each leaves its
/// name with gossip for half a minute.
pub const ANNOUNCEMENTS_PER_SECOND: u64 = 64;
/// How many announcements of blocks that are known, final, or of the far future a peer may make in a burst: their seals were paid for once, and
/// one header makes as many announcements as one likes.
pub const OLD_BLOCK_BURST: u64 = 512;
/// How many of them in a second in the long run: a chain for tests may have as many blocks, and who catches up hears of them late. Each leaves its
/// name with gossip as well.
pub const OLD_BLOCKS_PER_SECOND: u64 = 128;
/// How many requests are with one peer at a time.
pub const REQUESTS_PER_PEER_MAX: usize = 4;

/// How many blocks' hashes are remembered as already told.
pub const SEEN_BLOCKS_MAX: usize = 4096;
/// Room for blocks that were checked and passed on and are not imported yet, in bytes.
pub const RECENT_BYTES_MAX: usize = 24 * 1024 * 1024;
/// Room for compact blocks that wait for their parent or their time, in bytes.
pub const ORPHAN_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Room for one peer's share of them, in bytes.
pub const ORPHAN_BYTES_PER_PEER: usize = 1024 * 1024;
/// How far above the head a gossiped block may be for being kept as an orphan.
pub const ORPHAN_DISTANCE_MAX: u64 = 256;
/// How long an orphan is kept, in milliseconds.
pub const ORPHAN_MS: u64 = 120_000;
/// Room for side branches that came by gossip and are not finalized away yet, in bytes.
pub const SIDE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How many blocks are being rebuilt at a time, over all peers.
pub const REBUILDS_MAX: usize = 32;
/// How many blocks of one peer are being rebuilt at a time.
pub const REBUILDS_PER_PEER: usize = 8;

/// How many announced transactions wait to be fetched: four times what a pool holds.
pub const WANTED_MAX: usize = 16_384;
/// How many of them one peer may have announced alone.
pub const WANTED_PER_PEER: usize = 4096;
/// How many of them each peer may have announced, whatever others have: of whoever has announced most the last one goes for it.
pub const WANTED_GRANTED: usize = 128;
/// How many peers are remembered as holders of a wanted transaction.
pub const HOLDERS_MAX: usize = 4;
/// How long transactions are gathered for one announcement, in milliseconds.
pub const GATHER_MS: u64 = 100;
/// How many hashes of refused transactions are remembered, so that they are not fetched again from everyone.
pub const REFUSED_MAX: usize = 8192;
/// How many jobs with transactions run at a time.
pub const TRANSACTION_JOBS_MAX: usize = 4;

/// How many headers a peer is asked for first: they are decoded before the first of them can be judged.
pub const HEADERS_FIRST: usize = 64;
/// How many verified headers wait for their bodies, or for the proof of the work that was claimed.
pub const HEADERS_AHEAD_MAX: usize = 8_192;
/// Room for bodies that were fetched and wait for their turn, in bytes.
pub const BODIES_AHEAD_BYTES_MAX: usize = 24 * 1024 * 1024;
/// How many blocks are ahead of the import with their bodies fetched or on the way.
pub const BODIES_AHEAD_MAX: usize = 1024;
/// How many blocks at the front are fetched even where there is no room: the import waits for them.
pub const BODIES_FRONT: usize = 4;
/// How many bodies are asked for at once, where they are expected to fit in one response.
pub const BODIES_PER_REQUEST: usize = 64;
/// How many imports are on their way to the ledger.
pub const IMPORTS_AHEAD_MAX: usize = 64;
/// How many jobs of the sync run at a time.
pub const SYNC_JOBS_MAX: usize = 4;
/// How often what is asked of a peer at once is halved at the most, whose answers do not come in time.
pub const CAUTION_MAX: u32 = 5;
/// How often in a row a peer's lack of headers is borne in one sync before another peer is taken.
pub const STALLS_MAX: u32 = 3;

/// How many heads are remembered about which the operator was alarmed.
pub const ALARMS_MAX: usize = 256;

/// How many blocks below the finalized one the state is served of: a start from a snapshot, which takes its time, goes on meanwhile. To
/// walk the state of an older block takes longer, the more was added since.
pub const STATE_SERVED: u64 = 1_024;
/// How many blocks must be final for a start from a snapshot, where the operator says nothing: fewer are executed in a moment.
pub const SNAPSHOT_DISTANCE_MIN: u64 = 256;
/// After how many attempts of one peer that fail a node does without a snapshot; those of others have failed as often then.
pub const SNAPSHOT_ATTEMPTS_MAX: u32 = 4;
/// How long the machine waits for a piece of a snapshot, in milliseconds: two megabytes at the most. Each time it does not come
/// the next wait is twice as long.
pub const SNAPSHOT_PIECE_MS: u64 = 3_000;
/// How many answers in a row may fail to come in one attempt; then another peer is tried, as long as there is one.
pub const SNAPSHOT_LOST_MAX: u32 = 3;
/// How long nothing is asked after that, in milliseconds: meanwhile a peer that was asked too often has a share again.
pub const SNAPSHOT_REST_MS: u64 = 1_000;
/// Room for a snapshot before it is verified, in bytes, where a machine is not told otherwise; a larger one is not taken.
pub const SNAPSHOT_BYTES_MAX: usize = 1024 * 1024 * 1024;
