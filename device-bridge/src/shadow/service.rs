//! The service that keeps shadows: one thread owns them, applies requests in order, commits a group of them to the disk at
//! once, and only then sends the answers. What is answered `accepted` survives a killed process and a power cut.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;

use storage::{Batch, Durability, Reader, StorageError, Store, Table};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tracing::{error, info};

use super::change::{self, ShadowChange};
use super::document::refuse;
use super::{Applied, Message, Operation, Request, Shadow, ShadowError, ShadowName, Writes};

/// The most requests that one commit to the disk carries.
const GROUP_REQUESTS_MAX: usize = 256;
/// The most requests that wait for the service; whoever sends more waits.
const QUEUED_REQUESTS_MAX: usize = 1024;
/// The most named shadows of one thing, so that a device cannot fill the disk.
pub const SHADOWS_PER_THING_MAX: usize = 256;

/// Sends a message to whoever is subscribed; called on the service's thread, in order.
pub type Publish = Box<dyn Fn(Message) + Send>;

/// Is told of each change of a shadow, on the service's thread, in order, once it is stored; must not block.
pub type Observe = Box<dyn Fn(ShadowChange) + Send>;

/// The answer's document, or why the request was refused.
pub type Answer = Result<Vec<u8>, ShadowError>;

/// One request on its way to the service.
#[derive(Debug)]
pub struct Job {
    /// Which shadow.
    pub name: ShadowName,
    /// What is asked.
    pub operation: Operation,
    /// The document that came with it.
    pub payload: Vec<u8>,
    /// What the sender may write.
    pub writes: Writes,
    /// Gets the answer too, beside those who are subscribed to it.
    pub reply: Option<oneshot::Sender<Answer>>,
    /// The sender's place among the requests that it may have under way; given back with the answer.
    pub place: Option<OwnedSemaphorePermit>,
}

/// A page of the names of a thing's shadows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedShadows {
    /// Names, sorted.
    pub names: Vec<String>,
    /// Where the next page begins; none: this was the last one.
    pub next: Option<String>,
}

/// Sends requests to the service. Clones share it; the service ends with the last one.
#[derive(Clone)]
pub struct ShadowHandle {
    jobs: mpsc::Sender<Job>,
    store: Arc<dyn Store>,
}

/// The running service.
pub struct ShadowService {
    thread: thread::JoinHandle<()>,
}

impl ShadowService {
    /// Starts the service over a store with the tables of the devices.
    ///
    /// # Errors
    /// The store failed, or there is no thread.
    pub fn spawn(store: Arc<dyn Store>, publish: Publish) -> Result<(Self, ShadowHandle), StorageError> {
        Self::spawn_observed(store, publish, Box::new(drop))
    }

    /// The same, and `observe` is told of each change.
    ///
    /// # Errors
    /// The store failed, or there is no thread.
    pub fn spawn_observed(
        store: Arc<dyn Store>,
        publish: Publish,
        observe: Observe,
    ) -> Result<(Self, ShadowHandle), StorageError> {
        let forgotten = forget_deleted(&*store, now_seconds())?;
        info!(forgotten, "shadows are open");
        let (jobs, receiver) = mpsc::channel(QUEUED_REQUESTS_MAX);
        let worker = Worker { store: store.clone(), publish, observe };
        let thread = thread::Builder::new()
            .name("shadows".into())
            .spawn(move || worker.run(receiver))
            .map_err(|error| StorageError::Io(format!("no thread for the shadow service: {error}")))?;
        Ok((Self { thread }, ShadowHandle { jobs, store }))
    }

    /// Waits until the service has answered everything; it ends when all handles are dropped.
    pub fn join(self) {
        // A panic there has ended the program already.
        let _ = self.thread.join();
    }
}

impl ShadowHandle {
    /// Hands a request over, and waits while too many are queued.
    ///
    /// # Errors
    /// The service has ended.
    pub async fn send(&self, job: Job) -> Result<(), ShadowError> {
        self.jobs.send(job).await.map_err(|_| ShadowError::Internal)
    }

    /// Asks and waits for the answer, which those who are subscribed get too.
    ///
    /// # Errors
    /// The request was refused, or the service has ended.
    pub async fn ask(&self, name: ShadowName, operation: Operation, payload: Vec<u8>, writes: Writes) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.send(Job { name, operation, payload, writes, reply: Some(reply), place: None }).await?;
        answer.await.map_err(|_| ShadowError::Internal)?
    }

    /// Lists a thing's named shadows, at most `page_size` of them, from the name `from` on.
    ///
    /// # Errors
    /// The store failed.
    pub fn list(&self, thing: &str, from: Option<&str>, page_size: usize) -> Result<NamedShadows, ShadowError> {
        let failed = |problem: StorageError| {
            error!(%problem, "the shadow store failed");
            ShadowError::Internal
        };
        let prefix = ShadowName::prefix(thing);
        let mut names = Vec::new();
        for row in self.store.iterate_prefix(Table::Shadows, &prefix) {
            let (key, value) = row.map_err(failed)?;
            let name = String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
            let shadow = decode(&value).map_err(failed)?;
            if name.is_empty() || !shadow.exists() || from.is_some_and(|from| name.as_str() < from) {
                continue;
            }
            if names.len() == page_size {
                return Ok(NamedShadows { names, next: Some(name) });
            }
            names.push(name);
        }
        Ok(NamedShadows { names, next: None })
    }
}

impl ShadowHandle {
    /// Returns up to `most` changes of a shadow before the version `before`, the newest first. The newest
    /// [`CHANGES_KEPT`](super::CHANGES_KEPT) are kept.
    ///
    /// # Errors
    /// The store failed.
    pub fn changes(&self, name: &ShadowName, before: u64, most: usize) -> Result<Vec<ShadowChange>, ShadowError> {
        change::read(&*self.store, name, before, most).map_err(|problem| {
            error!(%problem, "the shadow store failed");
            ShadowError::Internal
        })
    }
}

impl std::fmt::Debug for ShadowHandle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ShadowHandle").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ShadowService {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ShadowService").finish_non_exhaustive()
    }
}

struct Worker {
    store: Arc<dyn Store>,
    publish: Publish,
    observe: Observe,
}

impl Worker {
    fn run(self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.blocking_recv() {
            let mut group = vec![first];
            while group.len() < GROUP_REQUESTS_MAX
                && let Ok(job) = jobs.try_recv()
            {
                group.push(job);
            }
            self.serve(group, now_seconds());
        }
    }

    /// Applies a group in order, commits what changed, and sends the answers.
    fn serve(&self, group: Vec<Job>, now: u64) {
        // What earlier requests of this group changed, not yet committed.
        let mut changed: HashMap<ShadowName, Shadow> = HashMap::new();
        let mut applied = Vec::with_capacity(group.len());
        let (mut changes, mut batch) = (Vec::new(), Batch::default());
        for job in &group {
            let done = self.apply(job, &mut changed, now).and_then(|(done, change)| {
                if let Some(change) = change {
                    change.keep(&*self.store, &mut batch)?;
                    changes.push(change);
                }
                Ok(done)
            });
            applied.push(done.unwrap_or_else(|problem| failed(job, &problem, now)));
        }
        for (name, shadow) in &changed {
            let row = serde_json::to_vec(shadow).expect("a shadow is always written as JSON");
            batch.put(Table::Shadows, name.key(), row);
        }
        if !batch.is_empty()
            && let Err(problem) = self.store.commit(batch, Durability::Disk)
        {
            // Nothing of the group is stored, so nothing of it may be told.
            applied = group.iter().map(|job| failed(job, &problem, now)).collect();
            changes.clear();
        }
        changes.into_iter().for_each(&self.observe);
        for (job, applied) in group.into_iter().zip(applied) {
            applied.messages.into_iter().for_each(&self.publish);
            if let Some(reply) = job.reply {
                // Whoever asked may have gone.
                let _ = reply.send(applied.answer);
            }
        }
    }

    fn apply(
        &self,
        job: &Job,
        changed: &mut HashMap<ShadowName, Shadow>,
        now: u64,
    ) -> Result<(Applied, Option<ShadowChange>), StorageError> {
        let shadow = match changed.get(&job.name) {
            Some(shadow) => shadow.clone(),
            None => match self.store.get(Table::Shadows, &job.name.key())? {
                Some(row) => decode(&row)?,
                None => Shadow::default(),
            },
        };
        let request = Request { name: &job.name, operation: job.operation, payload: &job.payload, writes: job.writes };
        if shadow.version() == 0 && job.operation == Operation::Update && self.is_full(job.name.thing(), changed)? {
            return Ok((refuse(&job.name, job.operation, &job.payload, ShadowError::TooLarge, now), None));
        }
        let mut applied = shadow.apply(&request, now);
        let change = applied.document.take().map(|next| {
            let change = next.as_change(&job.name, now);
            changed.insert(job.name.clone(), next);
            change
        });
        Ok((applied, change))
    }

    /// Tells whether a thing has as many shadows as it may have.
    fn is_full(&self, thing: &str, changed: &HashMap<ShadowName, Shadow>) -> Result<bool, StorageError> {
        let prefix = ShadowName::prefix(thing);
        let stored = self.store.iterate_prefix(Table::Shadows, &prefix).take(SHADOWS_PER_THING_MAX);
        let stored = stored.collect::<Result<Vec<_>, _>>()?.len();
        let new = changed.keys().filter(|name| name.thing() == thing).count();
        Ok(stored.saturating_add(new) >= SHADOWS_PER_THING_MAX)
    }
}

fn failed(job: &Job, problem: &StorageError, now: u64) -> Applied {
    error!(%problem, shadow = %job.name, "the shadow store failed");
    refuse(&job.name, job.operation, &job.payload, ShadowError::Internal, now)
}

fn decode(row: &[u8]) -> Result<Shadow, StorageError> {
    serde_json::from_slice(row).map_err(|error| StorageError::Corrupt(format!("a shadow cannot be read: {error}")))
}

/// Deletes the rows of shadows that were deleted so long ago that their version is forgotten; returns how many.
fn forget_deleted(store: &dyn Store, now: u64) -> Result<usize, StorageError> {
    let mut batch = Batch::default();
    for row in store.iterate(Table::Shadows, &[]) {
        let (key, value) = row?;
        if decode(&value)?.is_forgotten(now) {
            batch.delete(Table::Shadows, key);
        }
    }
    let count = batch.writes().len();
    store.commit(batch, Durability::Process)?;
    Ok(count)
}

/// Returns the clock: seconds since 1970.
pub(crate) fn now_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
