//! The limits on what peers send, each with its reason. A decoder checks the length of a message and the number of its items
//! before it allocates for them.

/// The version of the wire messages; peers speak the same one or part. Since 2 gossip bears no signature of who published it: a message
/// proves itself, or names what is fetched and then proves itself; and a long block is announced by its header.
pub const PROTOCOL_VERSION: u64 = 2;

/// The longest gossip message, in bytes: a compact block with [`ANNOUNCED_TRANSACTIONS_MAX`] hashes.
pub const GOSSIP_BYTES_MAX: usize = ANNOUNCED_TRANSACTIONS_MAX * 33 + HEADER_BYTES_MAX + 1024;
/// The longest request, in bytes: a status, or a list of hashes.
pub const REQUEST_BYTES_MAX: usize = 512 * 1024;
/// The longest response, in bytes: a whole body (8 MiB since Osaka, EIP-7934; twice that for blocks of earlier forks).
pub const RESPONSE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The longest status, in bytes: [`RULES_MAX`] rules of the greatest length come to 46 KiB.
pub const STATUS_BYTES_MAX: usize = 64 * 1024;
/// Where a response that may hold more ends, in bytes: two megabytes keep a slow link responsive.
pub const RESPONSE_BYTES_SOFT: usize = 2 * 1024 * 1024;

/// The longest header, in bytes: 23 fields of at most 33 bytes, the bloom's 256 and 32 of extra data come to less than 1 KiB.
pub const HEADER_BYTES_MAX: usize = 1024;
/// The most headers in one response: 512 KiB at the usual 600 bytes.
pub const HEADERS_MAX: usize = 512;
/// The most hashes in a locator: doubling steps reach back 2^32 blocks.
pub const LOCATOR_MAX: usize = 48;
/// The most bodies in one request.
pub const BODIES_MAX: usize = 128;
/// The most transactions of one block: 8 MiB of the least transactions of about 100 bytes come to as many.
pub const BLOCK_TRANSACTIONS_MAX: usize = 83_886;
/// The most transactions that the announcement of a block names: as many transfers take 172 million gas. A block that has more is announced
/// by its header alone, and whoever wants it fetches all of them from who announced it. So gossip, of which each peer may have half a
/// message here, is a tenth as long.
pub const ANNOUNCED_TRANSACTIONS_MAX: usize = 8192;
/// The most transactions in one announcement: 40 bytes each.
pub const NOTICES_MAX: usize = 1024;
/// The most transactions in one request for those that were announced.
pub const TRANSACTIONS_MAX: usize = 256;
/// The most transactions that are named when a peer asks what is in the pool: geth's bounds, 5120 executable and 1024 queued.
pub const POOL_NOTICES_MAX: usize = 6144;
/// The longest transaction that is announced or fetched apart from its block, in bytes: the pool takes no longer one.
pub const TRANSACTION_BYTES_MAX: usize = chain::pool::TRANSACTION_BYTES_MAX;

/// The most rules in a status: a chain file has about forty.
pub const RULES_MAX: usize = 128;
/// The longest name of a rule, in bytes.
pub const RULE_NAME_BYTES_MAX: usize = 96;
/// The longest value of a rule, in bytes; a longer one is told by its digest.
pub const RULE_VALUE_BYTES_MAX: usize = 256;
/// The longest agent version, in bytes.
pub const AGENT_BYTES_MAX: usize = 128;
/// The longest text with which a request is refused, in bytes.
pub const REFUSAL_BYTES_MAX: usize = 256;

/// The most accounts or slots in one chunk of a state snapshot: about 110 bytes each.
pub const STATE_ROWS_MAX: usize = 8192;
/// The longest row of a chunk, in bytes: an account is at most 110.
pub const STATE_ROW_BYTES_MAX: usize = 128;
/// The most codes in one request.
pub const CODES_MAX: usize = 64;
