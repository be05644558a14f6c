//! A node for tests: a ledger in memory, a miner that mines when told to, a keystore without files, and clients.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use alloy_consensus::{SignableTransaction, TxEip1559, TxLegacy};
use alloy_primitives::{Address, B64, B256, Bytes, Signature, TxKind, U256, hex};
use chain::pool::TransactionOrder;
use chain::{BuildRequest, Ledger, LedgerConfig, LedgerHandle, Need, PoolConfig, SnapshotBuilder};
use consensus::crypto::{self, SecretKey};
use consensus::search::{SearchJob, search};
use consensus::transaction::encode_transaction;
use consensus::{Genesis, Transaction};
use evm_runtime::state::StateSource;
use rpc::{
    DevChain, DevMiner, DevPace, DevTerms, HttpConfig, MinerControl, MinerError, RpcConfig, RpcHandle, Services,
    Signer, SignerError, WalletView, Work, WsConfig, serve,
};
use serde_json::{Value, json};
use std::sync::Mutex;
use storage::MemoryStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The first two keys of the well-known test mnemonic.
const KEYS: [&str; 2] = [
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
];
/// The chain id of the dev chain.
pub(crate) const CHAIN_ID: u64 = 1337;
/// All namespaces.
pub(crate) const ALL: [&str; 18] = [
    "eth",
    "ethash",
    "net",
    "web3",
    "drawbridge",
    "txpool",
    "miner",
    "personal",
    "admin",
    "device",
    "perm",
    "debug",
    "trace",
    "ots",
    "erigon",
    "evm",
    "hardhat",
    "anvil",
];

/// A key of the test mnemonic.
pub(crate) fn key(index: usize) -> SecretKey {
    let bytes: [u8; 32] = hex::decode(KEYS[index]).unwrap().try_into().unwrap();
    crypto::secret_key(bytes).unwrap()
}

/// Its account, which has 100 ether.
pub(crate) fn account(index: usize) -> Address {
    crypto::address_of(&key(index))
}

/// Keys with passwords, in memory.
#[derive(Default)]
pub(crate) struct TestKeys(Mutex<BTreeMap<Address, TestKey>>);

struct TestKey {
    key: SecretKey,
    password: String,
    unlocked: bool,
}

impl TestKeys {
    fn add(&self, key: SecretKey, password: &str, unlocked: bool) -> Result<Address, SignerError> {
        let address = crypto::address_of(&key);
        let mut keys = self.0.lock().unwrap();
        if keys.contains_key(&address) {
            return Err(SignerError::AlreadyExists);
        }
        keys.insert(address, TestKey { key, password: password.to_owned(), unlocked });
        Ok(address)
    }

    fn with<T>(
        &self,
        address: Address,
        act: impl FnOnce(&mut TestKey) -> Result<T, SignerError>,
    ) -> Result<T, SignerError> {
        act(self.0.lock().unwrap().get_mut(&address).ok_or(SignerError::UnknownAccount)?)
    }
}

fn open<'a>(key: &'a TestKey, password: &str) -> Result<&'a SecretKey, SignerError> {
    if key.password == password { Ok(&key.key) } else { Err(SignerError::WrongPassword) }
}

impl Signer for TestKeys {
    fn accounts(&self) -> Vec<Address> {
        self.0.lock().unwrap().keys().copied().collect()
    }
    fn sign_hash(&self, address: Address, digest: B256) -> Result<Signature, SignerError> {
        self.with(
            address,
            |key| if key.unlocked { Ok(crypto::sign(&key.key, digest)) } else { Err(SignerError::Locked) },
        )
    }
    fn sign_with_password(&self, address: Address, password: &str, digest: B256) -> Result<Signature, SignerError> {
        self.with(address, |key| Ok(crypto::sign(open(key, password)?, digest)))
    }
    fn new_account(&self, password: &str) -> Result<Address, SignerError> {
        let count = u8::try_from(self.0.lock().unwrap().len()).unwrap();
        self.add(crypto::secret_key([count + 1; 32]).unwrap(), password, false)
    }
    fn import(&self, key: B256, password: &str) -> Result<Address, SignerError> {
        self.add(crypto::secret_key(key.0).map_err(|_| SignerError::InvalidKey)?, password, false)
    }
    fn unlock(&self, address: Address, password: &str, _: Option<Duration>) -> Result<(), SignerError> {
        self.with(address, |key| {
            open(key, password)?;
            key.unlocked = true;
            Ok(())
        })
    }
    fn lock(&self, address: Address) -> bool {
        self.with(address, |key| {
            key.unlocked = false;
            Ok(())
        })
        .is_ok()
    }
    fn wallets(&self) -> Vec<WalletView> {
        let keys = self.0.lock().unwrap();
        keys.iter()
            .map(|(address, key)| WalletView { address: *address, file: None, is_unlocked: key.unlocked })
            .collect()
    }
}

/// What the switch gives to miners elsewhere.
pub(crate) const WORK: Work = Work { seal_hash: B256::repeat_byte(1), target: B256::repeat_byte(2), number: 16 };

/// A switch that only remembers.
#[derive(Default)]
pub(crate) struct TestMiner {
    mining: Mutex<bool>,
    etherbase: Mutex<Option<Address>>,
    reported: Mutex<BTreeMap<B256, u64>>,
}

impl MinerControl for TestMiner {
    fn start(&self, _: Option<usize>) -> Result<(), MinerError> {
        self.etherbase().ok_or(MinerError::NoEtherbase)?;
        *self.mining.lock().unwrap() = true;
        Ok(())
    }
    fn stop(&self) {
        *self.mining.lock().unwrap() = false;
    }
    fn is_mining(&self) -> bool {
        *self.mining.lock().unwrap()
    }
    fn hash_rate(&self) -> u64 {
        1000 + self.reported.lock().unwrap().values().sum::<u64>()
    }
    fn work(&self) -> Result<Work, MinerError> {
        self.etherbase().ok_or(MinerError::NoEtherbase)?;
        Ok(WORK)
    }
    fn submit_work(&self, seal_hash: B256, nonce: B64) -> bool {
        seal_hash == WORK.seal_hash && nonce == B64::repeat_byte(7)
    }
    fn report_hash_rate(&self, id: B256, hashes_per_second: u64) {
        self.reported.lock().unwrap().insert(id, hashes_per_second);
    }
    fn etherbase(&self) -> Option<Address> {
        *self.etherbase.lock().unwrap()
    }
    fn set_etherbase(&self, address: Address) -> Result<(), MinerError> {
        *self.etherbase.lock().unwrap() = Some(address);
        Ok(())
    }
    fn set_extra(&self, extra: Bytes) -> Result<(), MinerError> {
        if extra.len() > 32 { Err(MinerError::ExtraTooLong { actual: extra.len() }) } else { Ok(()) }
    }
    fn set_gas_price(&self, _: u128) {}
    fn set_gas_limit(&self, _: u64) {}
    fn set_recommit(&self, _: Duration) {}
}

/// Mines when told to, as the terms say.
struct TestDevMiner {
    ledger: LedgerHandle,
    terms: Arc<DevTerms>,
    pace: Mutex<DevPace>,
    switch: Arc<TestMiner>,
}

impl DevMiner for TestDevMiner {
    fn mine(&self) -> Result<(), MinerError> {
        let next = self.terms.next_block(self.ledger.view().head());
        let beneficiary = self.switch.etherbase().unwrap_or(Address::repeat_byte(0xee));
        let request = BuildRequest { timestamp: next.timestamp, ..request(beneficiary) };
        let candidate = self.ledger.build_departing(&request, next.departures).unwrap();
        let header = candidate.header().clone();
        let nonce = search(&SearchJob::new(&header), NONCES.fetch_add(1 << 20, Ordering::Relaxed), 1).unwrap();
        self.ledger.import_mined(candidate, nonce, None, next.timestamp).unwrap();
        self.terms.mined(&header);
        Ok(())
    }
    fn pace(&self) -> DevPace {
        *self.pace.lock().unwrap()
    }
    fn set_pace(&self, pace: DevPace) {
        *self.pace.lock().unwrap() = pace;
    }
}

/// Where the next search begins, so that a block that is mined again is another one.
static NONCES: AtomicU64 = AtomicU64::new(0);

fn request(beneficiary: Address) -> BuildRequest {
    BuildRequest {
        beneficiary,
        timestamp: 0,
        extra_data: Bytes::new(),
        gas_limit: 36_000_000,
        order: TransactionOrder::Arrival,
        min_tip_wei: 0,
    }
}

/// A ledger that mines when told to.
pub(crate) struct Chain {
    pub(crate) ledger: LedgerHandle,
    clock: Arc<AtomicU64>,
}

impl Chain {
    /// Opens a dev chain in memory.
    pub(crate) fn open() -> Self {
        Self::open_with(LedgerConfig::default())
    }

    /// Opens one with an index of addresses and events.
    pub(crate) fn indexed() -> Self {
        Self::open_with(LedgerConfig { index: Some(true), ..LedgerConfig::default() })
    }

    fn open_with(config: LedgerConfig) -> Self {
        let (genesis, _) = Genesis::parse(consensus::genesis::DEV).unwrap();
        let ledger = Ledger::open(Arc::new(MemoryStore::new()), &genesis, consensus::genesis::DEV, config).unwrap();
        Self { ledger, clock: Arc::new(AtomicU64::new(genesis.header.timestamp + 10)) }
    }

    /// Opens one that begins with the state at another's head: of the blocks before it has the headers alone.
    pub(crate) fn begun_from(other: &Self) -> Self {
        let (view, goes_on) = (other.ledger.view(), AtomicBool::new(false));
        let (state, head) = (view.head_state(), view.head().number);
        let header = |number| (view.header_by_number(number).unwrap().unwrap(), None);
        let mut builder = SnapshotBuilder::new((1..=head).map(header).collect()).unwrap();
        let accounts = state.accounts_from(B256::ZERO, usize::MAX, &goes_on).unwrap().entries;
        let rows = accounts.into_iter().map(|(key, account)| (key, alloy_rlp::encode(account)));
        builder.add_accounts((rows.collect(), true)).unwrap();
        loop {
            match builder.need() {
                Need::Slots(account, first) => {
                    let slots = state.slots_from(account, first, usize::MAX, &goes_on).unwrap().entries;
                    let rows = slots.into_iter().map(|(key, value)| (key, value.to_be_bytes_trimmed_vec()));
                    builder.add_slots((rows.collect(), true)).unwrap();
                }
                Need::Codes(hashes) => {
                    let codes = hashes.into_iter().map(|hash| state.code_by_hash(hash).unwrap().to_vec());
                    builder.add_codes(codes.collect()).unwrap();
                }
                Need::Block => builder.add_block((*view.block_by_number(head).unwrap().unwrap()).clone()).unwrap(),
                Need::Accounts(_) => unreachable!("all of them were added"),
                Need::Nothing => break,
            }
        }
        let chain = Self::open();
        let now = other.clock.load(Ordering::Relaxed);
        chain.ledger.adopt(builder.finish().unwrap(), now).unwrap();
        chain.clock.store(now, Ordering::Relaxed);
        chain
    }

    /// Mines one block of what is in the pool, for a beneficiary.
    pub(crate) fn mine_for(&self, beneficiary: Address) -> B256 {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        let request = BuildRequest { timestamp: now, ..request(beneficiary) };
        let candidate = self.ledger.build(&request).unwrap();
        let nonce = search(&SearchJob::new(candidate.header()), 0, 1).unwrap();
        self.ledger.import_mined(candidate, nonce, None, now).unwrap();
        self.ledger.view().head().hash()
    }

    /// Mines one block.
    pub(crate) fn mine(&self) -> B256 {
        self.mine_for(Address::repeat_byte(0xee))
    }

    /// Imports another chain's blocks.
    pub(crate) fn import_from(&self, other: &Self) {
        let view = other.ledger.view();
        for number in 1..=view.head().number {
            let block = view.block_by_number(number).unwrap().unwrap();
            self.ledger.import((*block).clone(), view.head().timestamp).unwrap();
        }
    }
}

/// A running server on a chain.
pub(crate) struct Node {
    pub(crate) chain: Chain,
    pub(crate) keys: Arc<TestKeys>,
    pub(crate) server: RpcHandle,
}

/// HTTP and WebSocket on one free port, all namespaces.
pub(crate) fn config() -> RpcConfig {
    let api: Vec<String> = ALL.map(str::to_owned).to_vec();
    RpcConfig {
        http: Some(HttpConfig { port: 0, api: api.clone(), ..HttpConfig::default() }),
        ws: Some(WsConfig { port: 0, api, ..WsConfig::default() }),
        allow_insecure_unlock: true,
        ..RpcConfig::default()
    }
}

impl Node {
    /// Starts a node with account 0 unlocked.
    pub(crate) async fn start(config: RpcConfig) -> Self {
        Self::try_start(config).await.unwrap()
    }

    /// Starts a node, or says why the server does not start.
    pub(crate) async fn try_start(config: RpcConfig) -> Result<Self, rpc::ServeError> {
        Self::start_on(Chain::open(), config, |_, _| None).await
    }

    /// Starts a node without an index, and one with it: what they answer must not differ.
    pub(crate) async fn without_and_with_index() -> [Self; 2] {
        [Self::usual().await, Self::start_on(Chain::indexed(), config(), |_, _| None).await.unwrap()]
    }

    /// Starts a node on a chain that is there.
    pub(crate) async fn on(chain: Chain) -> Self {
        Self::start_on(chain, config(), |_, _| None).await.unwrap()
    }

    /// Starts a development chain, which mines on order alone.
    pub(crate) async fn dev() -> Self {
        Self::dev_with(config()).await
    }

    /// The same, served as `config` says.
    pub(crate) async fn dev_with(config: RpcConfig) -> Self {
        let pool = PoolConfig { takes_impersonated: true, ..PoolConfig::default() };
        let chain = Chain::open_with(LedgerConfig { pool, ..LedgerConfig::default() });
        let dev = |chain: &Chain, switch: &Arc<TestMiner>| {
            let clock = Arc::clone(&chain.clock);
            let head = chain.ledger.view().head().timestamp;
            let terms = Arc::new(DevTerms::new(Arc::new(move || clock.load(Ordering::Relaxed)), head));
            let pace = Mutex::new(DevPace { automine: false, interval: None });
            let (ledger, switch) = (chain.ledger.clone(), Arc::clone(switch));
            let miner = Arc::new(TestDevMiner { ledger, terms: Arc::clone(&terms), pace, switch });
            Some(DevChain { terms, miner })
        };
        Self::start_on(chain, config, dev).await.unwrap()
    }

    async fn start_on(
        chain: Chain,
        config: RpcConfig,
        dev: impl FnOnce(&Chain, &Arc<TestMiner>) -> Option<DevChain>,
    ) -> Result<Self, rpc::ServeError> {
        let keys = Arc::new(TestKeys::default());
        keys.add(key(0), "password", true).unwrap();
        let clock = Arc::clone(&chain.clock);
        let miner = Arc::new(TestMiner::default());
        let dev = dev(&chain, &miner);
        let now: rpc::Clock = match &dev {
            Some(dev) => {
                let terms = Arc::clone(&dev.terms);
                Arc::new(move || terms.now())
            }
            None => Arc::new(move || clock.load(Ordering::Relaxed)),
        };
        let services = Services {
            ledger: chain.ledger.clone(),
            signer: keys.clone(),
            miner,
            clock: now,
            client_version: "Drawbridge/test".to_owned(),
            network_id: 4242,
            operation: rpc::Operation::alone("/nowhere".into()),
            dev,
        };
        let server = serve(config, services).await?;
        Ok(Self { chain, keys, server })
    }

    /// Starts a node with the usual configuration.
    pub(crate) async fn usual() -> Self {
        Self::start(config()).await
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.http_addr.unwrap()
    }

    /// Posts a body and returns the answer's.
    pub(crate) async fn post(&self, body: &str) -> String {
        exchange(self.addr(), &http_request("POST", "localhost", "", body)).await.1
    }

    /// Calls a method; a JSON-RPC error is returned as it is.
    pub(crate) async fn try_call(&self, method: &str, params: Value) -> Result<Value, Value> {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string();
        result_of(serde_json::from_str(&self.post(&body).await).unwrap())
    }

    /// Calls a method that must succeed.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Value {
        self.try_call(method, params).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Calls a method that must fail, and returns code and words.
    pub(crate) async fn refusal(&self, method: &str, params: Value) -> (i64, String) {
        let error = self.try_call(method, params).await.expect_err(method);
        (error["code"].as_i64().unwrap(), error["message"].as_str().unwrap().to_owned())
    }

    /// Deploys a contract by account 0, mines it, and returns its address.
    pub(crate) async fn deploy(&self, runtime: &str) -> Address {
        let code = hex::decode(runtime).unwrap();
        // PUSH1 length, DUP1, PUSH1 offset, PUSH0, CODECOPY, PUSH0, RETURN
        let length = u8::try_from(code.len()).unwrap();
        let init = [&[0x60, length, 0x80, 0x60, 9, 0x5f, 0x39, 0x5f, 0xf3][..], &code].concat();
        let request = json!([{ "from": account(0), "data": hex::encode_prefixed(init) }]);
        let hash = self.call("eth_sendTransaction", request).await;
        self.chain.mine();
        let receipt = self.call("eth_getTransactionReceipt", json!([hash])).await;
        assert_eq!(receipt["status"], "0x1");
        receipt["contractAddress"].as_str().unwrap().parse().unwrap()
    }
}

/// Splits a response into result and error.
pub(crate) fn result_of(mut response: Value) -> Result<Value, Value> {
    assert_eq!(response["jsonrpc"], "2.0", "{response}");
    match response.get_mut("error") {
        Some(error) => Err(error.take()),
        None => Ok(response["result"].take()),
    }
}

/// Writes an HTTP request; `headers` end with a line break each.
pub(crate) fn http_request(method: &str, host: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} / HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
}

/// Sends bytes, and returns the answer's head and body.
pub(crate) async fn exchange(addr: SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    // A server that refuses early may close before it has read everything.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.to_owned(), body.to_owned())
}

/// A transfer of 1 wei, signed and encoded.
pub(crate) fn transfer(from: usize, nonce: u64) -> Bytes {
    let tx = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(Address::repeat_byte(0x77)),
        value: U256::from(1),
        ..TxEip1559::default()
    };
    let signature = crypto::sign(&key(from), tx.signature_hash());
    encode_transaction(&Transaction::Eip1559(tx.into_signed(signature)))
}

/// A legacy transfer with or without a chain id.
pub(crate) fn legacy_transfer(chain_id: Option<u64>, gas_price: u128) -> Bytes {
    let to = TxKind::Call(Address::repeat_byte(0x77));
    let tx = TxLegacy { chain_id, gas_price, gas_limit: 21_000, to, ..TxLegacy::default() };
    let signature = crypto::sign(&key(0), tx.signature_hash());
    encode_transaction(&Transaction::Legacy(tx.into_signed(signature)))
}
