//! Finds the method that a request names, and runs it where it belongs.
//!
//! Every transport comes through [`Door`], a jsonrpsee service that answers all methods from the one table and leaves only
//! subscriptions to the service below it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonrpsee::core::middleware::{Batch, BatchEntry, Notification, Request, RpcServiceT};
use jsonrpsee::server::{BatchResponseBuilder, MethodResponse, ResponsePayload};
use jsonrpsee::types::{ErrorObjectOwned, Id};
use rayon::prelude::*;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use crate::api::{Answer, Api, reply};
use crate::config::RpcLimits;
use crate::dev;
use crate::errors::RpcError;
use crate::eth::send;
use crate::flow::{Asked, Flow};
use crate::lanes::{Lane, Lanes, lane_of};
use crate::methods::{Answering, Handler, METHODS, Method};
use crate::params::{Call, Data};
use crate::services::Services;
use crate::session::{Session, Transport};

/// A batch of so few quick calls is answered on the network's thread.
const QUICK_BATCH: usize = 4;
/// From so many raw transactions in a batch on, their senders are recovered on all cores.
const PARALLEL_FROM: usize = 4;
/// How long costly calls of one batch run before requests of others have their turn.
const COSTLY_TURN: Duration = Duration::from_millis(100);
/// What a request takes beside its parameters, in bytes, about.
const ENTRY_BYTES: usize = 100;
/// The method whose batches are prepared in parallel.
const SEND_RAW: &str = "eth_sendRawTransaction";

/// Holds the table and what the methods work on.
pub(crate) struct Dispatcher {
    methods: HashMap<&'static str, &'static Method>,
    api: Arc<Api>,
    lanes: Lanes,
}

impl Dispatcher {
    /// Makes a dispatcher of all methods that are offered, with threads of its own.
    ///
    /// # Errors
    /// The system gives no threads.
    pub(crate) fn new(api: Arc<Api>) -> std::io::Result<Self> {
        let offered =
            METHODS.iter().filter(|method| api.dev.is_some() || !dev::NAMESPACES.contains(&method.namespace()));
        let methods = offered.map(|method| (method.name, method)).collect();
        let lanes = Lanes::start(&api.limits, &tokio::runtime::Handle::current())?;
        Ok(Self { methods, api, lanes })
    }

    /// Returns what the methods work on.
    pub(crate) fn services(&self) -> &Services {
        &self.api.services
    }

    /// Returns the method with this name, where the transport offers it.
    fn find(&self, name: &str, session: &Session) -> Result<&'static Method, RpcError> {
        let method = self.methods.get(name).copied().filter(|method| session.offers(method.namespace()));
        method.ok_or_else(|| RpcError::method_not_found(name))
    }

    /// Answers one call of a method that is no subscription.
    async fn answer(&self, method: &'static Method, params: Option<&RawValue>, session: &Session) -> Answer {
        match method.handler {
            Handler::Quick(answering) => answering(&self.api, &mut read(method, params, session)?),
            Handler::Slow(answering) => {
                let (params, session) = (params.map(ToOwned::to_owned), session.clone());
                let lane = lane_of(method);
                self.off_thread(lane, move |api| answering(api, &mut read(method, params.as_deref(), &session)?))
                    .await?
            }
            Handler::Waiting(waiting) => {
                let answer = waiting(&self.api, &mut read(method, params, session)?)?;
                answer.await
            }
            Handler::Subscription => Err(RpcError::notifications_not_supported()),
        }
    }

    /// Waits, on a development chain, until the last transaction that these answers are about is mined.
    async fn settle(&self, sending: &[bool], answers: &[(Id<'static>, Answer)]) {
        let last = answers.iter().zip(sending).rev().find(|(_, sends)| **sends);
        if let Some(((_, Ok(sent)), _)) = last
            && self.api.dev.is_some()
        {
            dev::settle(&self.api, sent).await;
        }
    }

    /// Runs work in a lane, when its turn comes.
    async fn off_thread<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce(&Arc<Api>) -> T + Send + 'static,
    ) -> Result<T, RpcError> {
        let api = Arc::clone(&self.api);
        self.lanes.run(lane, move || work(&api)).await
    }
}

/// Splits a call's arguments.
fn read<'a>(method: &Method, params: Option<&'a RawValue>, session: &'a Session) -> Result<Call<'a>, RpcError> {
    Call::new(params, method.arguments.len(), session)
}

/// Answers subscriptions, each transport in its way.
pub(crate) trait Subscribing: Clone + Send + Sync + 'static {
    /// Answers `eth_subscribe` or `eth_unsubscribe`.
    fn subscribe<'a>(self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a;
}

/// The jsonrpsee service that knows how to push over WebSocket.
impl Subscribing for jsonrpsee::server::middleware::rpc::RpcService {
    async fn subscribe<'a>(self, request: Request<'a>) -> MethodResponse {
        self.call(request).await
    }
}

/// HTTP cannot push.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CannotPush;

impl Subscribing for CannotPush {
    async fn subscribe<'a>(self, request: Request<'a>) -> MethodResponse {
        MethodResponse::error(request.id, ErrorObjectOwned::from(RpcError::notifications_not_supported()))
    }
}

/// Where a transport's requests enter.
#[derive(Clone)]
pub(crate) struct Door<S> {
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) session: Session,
    pub(crate) subscribing: S,
    /// How many more requests of the connection may be answered at the same time, where the transport does not keep count.
    pub(crate) places: Option<Arc<Semaphore>>,
    /// Counts the connection's bytes, where it lasts.
    pub(crate) flow: Option<Arc<Flow>>,
}

impl<S: Subscribing> Door<S> {
    async fn enter(self, request: Request<'_>) -> MethodResponse {
        let Ok(_place) = self.places.as_ref().map(|places| places.try_acquire()).transpose() else {
            return MethodResponse::error(request.id, ErrorObjectOwned::from(RpcError::busy()));
        };
        let Ok(_asked) = self.ask(size_bytes(&request)) else {
            return MethodResponse::error(request.id, ErrorObjectOwned::from(RpcError::busy()));
        };
        if let Err(error) = self.session.admit(&request) {
            return MethodResponse::error(request.id, ErrorObjectOwned::from(error));
        }
        let id = self.flow.as_ref().map(|_| request.id.clone().into_owned());
        let response = self.enter_admitted(request).await;
        self.hand_out(response, id.unwrap_or(Id::Null))
    }

    /// Counts a message that has come until it is answered, where the connection counts bytes.
    fn ask(&self, bytes: usize) -> Result<Option<Asked>, ()> {
        self.flow.as_ref().map(|flow| flow.ask(bytes).ok_or(())).transpose()
    }

    /// Counts an answer until it is read. Where there is no room for it, that is said instead.
    fn hand_out(&self, response: MethodResponse, id: Id<'_>) -> MethodResponse {
        // A subscription has sent its own response.
        let is_sent = response.is_method_call() || response.is_batch();
        match &self.flow {
            Some(flow) if is_sent && !flow.answer(response.as_json().get().len()) => {
                MethodResponse::error(id, ErrorObjectOwned::from(RpcError::busy()))
            }
            _ => response,
        }
    }

    async fn enter_admitted(&self, request: Request<'_>) -> MethodResponse {
        let method = match self.dispatcher.find(&request.method, &self.session) {
            Ok(method) => method,
            Err(error) => return MethodResponse::error(request.id, ErrorObjectOwned::from(error)),
        };
        if matches!(method.handler, Handler::Subscription) {
            return self.subscribing.clone().subscribe(request).await;
        }
        let answer = self.dispatcher.answer(method, request.params.as_deref(), &self.session).await;
        if self.dispatcher.api.dev.is_some()
            && dev::SENDING.contains(&method.name)
            && let Ok(sent) = &answer
        {
            dev::settle(&self.dispatcher.api, sent).await;
        }
        respond(request.id, answer, self.dispatcher.api.limits.batch_response_bytes)
    }

    async fn enter_batch(self, batch: Batch<'_>) -> MethodResponse {
        let Ok(_place) = self.places.as_ref().map(|places| places.try_acquire()).transpose() else {
            return MethodResponse::error(Id::Null, ErrorObjectOwned::from(RpcError::busy()));
        };
        let bytes = batch.iter().map(|entry| match entry {
            Ok(BatchEntry::Call(request)) => size_bytes(request),
            _ => ENTRY_BYTES,
        });
        let Ok(_asked) = self.ask(bytes.sum()) else {
            return MethodResponse::error(Id::Null, ErrorObjectOwned::from(RpcError::busy()));
        };
        let limits = &self.dispatcher.api.limits;
        if batch.len() > limits.batch_items {
            return MethodResponse::error(Id::Null, ErrorObjectOwned::from(RpcError::batch_too_large()));
        }
        let mut replies = Replies::new(limits);
        let mut run = Run::default();
        let mut notified = false;
        for entry in batch {
            match entry {
                Ok(BatchEntry::Call(request)) => match self.sort_admitted(request) {
                    Sorted::Refused(id, error) => {
                        self.finish(&mut run, &mut replies).await;
                        replies.push(id, Err(error));
                    }
                    Sorted::Plain(call) => run.calls.push(call),
                    Sorted::Alone(request) => {
                        self.finish(&mut run, &mut replies).await;
                        match replies.is_over() {
                            Some(error) => replies.push(request.id, Err(error)),
                            None => replies.push_response(self.enter_admitted(request).await),
                        }
                    }
                },
                Ok(BatchEntry::Notification(_)) => notified = true,
                Err(invalid) => {
                    self.finish(&mut run, &mut replies).await;
                    let (error, id) = invalid.into_parts();
                    replies.push_response(MethodResponse::error(id, error));
                }
            }
        }
        self.finish(&mut run, &mut replies).await;
        match notified && replies.is_empty() {
            true => MethodResponse::notification(),
            false => self.hand_out(replies.finish(), Id::Null),
        }
    }

    /// Sorts a request that the session's key admits.
    fn sort_admitted<'a>(&self, request: Request<'a>) -> Sorted<'a> {
        match self.session.admit(&request) {
            Ok(()) => self.sort(request),
            Err(error) => Sorted::Refused(request.id, error),
        }
    }

    /// Separates what can run together on one thread from what cannot.
    fn sort<'a>(&self, request: Request<'a>) -> Sorted<'a> {
        let Ok(method) = self.dispatcher.find(&request.method, &self.session) else { return Sorted::Alone(request) };
        let (answering, quick) = match method.handler {
            Handler::Quick(answering) => (answering, true),
            Handler::Slow(answering) => (answering, false),
            Handler::Waiting(_) | Handler::Subscription => return Sorted::Alone(request),
        };
        let params = request.params.map(std::borrow::Cow::into_owned);
        Sorted::Plain(PlainCall { method, answering, quick, params, id: request.id.into_owned() })
    }

    /// Answers the calls that were put together so far.
    async fn finish(&self, run: &mut Run, replies: &mut Replies) {
        let run = std::mem::take(run);
        if run.calls.is_empty() {
            return;
        }
        let mut run = run;
        if run.calls.len() <= QUICK_BATCH && run.calls.iter().all(|call| call.quick) {
            let sending = run.sending();
            let (answers, _) = run.answer(&self.dispatcher.api, &self.session, replies.room, replies.until);
            self.dispatcher.settle(&sending, &answers).await;
            return replies.extend(answers);
        }
        while !run.calls.is_empty() {
            let ids: Vec<_> = run.calls.iter().map(|call| call.id.clone()).collect();
            let sending = run.sending();
            let (session, room, until) = (self.session.clone(), replies.room, replies.until);
            match self.dispatcher.off_thread(run.lane(), move |api| run.answer(api, &session, room, until)).await {
                Ok((answers, rest)) => {
                    self.dispatcher.settle(&sending, &answers).await;
                    replies.extend(answers);
                    run = rest;
                }
                Err(error) => return replies.extend(ids.into_iter().map(|id| (id, Err(error.clone()))).collect()),
            }
        }
    }
}

/// Returns about how many bytes a request has.
fn size_bytes(request: &Request<'_>) -> usize {
    ENTRY_BYTES + request.params.as_ref().map_or(0, |params| params.get().len())
}

/// What a batch's entry is.
enum Sorted<'a> {
    /// It can run with others on one thread.
    Plain(PlainCall),
    /// It waits, subscribes, or is unknown.
    Alone(Request<'a>),
    /// The session's key does not admit it.
    Refused(Id<'a>, RpcError),
}

/// A call that can run on any thread.
struct PlainCall {
    method: &'static Method,
    answering: Answering,
    quick: bool,
    params: Option<Box<RawValue>>,
    id: Id<'static>,
}

/// What calls of a batch were answered with.
type Answers = Vec<(Id<'static>, Answer)>;

/// Calls of a batch that run one after the other on one thread.
#[derive(Default)]
struct Run {
    calls: Vec<PlainCall>,
}

impl Run {
    /// Returns the lane of the call that takes most.
    fn lane(&self) -> Lane {
        self.calls.iter().map(|call| lane_of(call.method)).max().unwrap_or(Lane::Read)
    }

    /// Tells of each call whether it sends a transaction.
    fn sending(&self) -> Vec<bool> {
        self.calls.iter().map(|call| dev::SENDING.contains(&call.method.name)).collect()
    }

    /// Answers the calls in order, until the answers take more than `room` bytes, or the time is up. Costly ones make way for others after
    /// a while: what is left then is returned too.
    fn answer(self, api: &Arc<Api>, session: &Session, room: usize, until: Instant) -> (Answers, Self) {
        let turn = (self.lane() == Lane::Costly).then(|| Instant::now() + COSTLY_TURN);
        let mut prepared = self.recover_senders(api, session).into_iter();
        let mut used = 0_usize;
        let mut answers = Vec::with_capacity(self.calls.len());
        let mut calls = self.calls.into_iter();
        for call in calls.by_ref() {
            let ready = prepared.next().flatten();
            let answer = match ready {
                _ if used > room => Err(RpcError::response_too_large()),
                _ if Instant::now() >= until => Err(RpcError::timed_out()),
                Some(transaction) => transaction.and_then(|tx| reply(&send::submit(api, tx)?)),
                None => read(call.method, call.params.as_deref(), session)
                    .and_then(|mut arguments| (call.answering)(api, &mut arguments)),
            };
            used = used.saturating_add(answer.as_ref().map_or(0, |result| result.get().len()));
            answers.push((call.id, answer));
            if turn.is_some_and(|turn| Instant::now() >= turn) {
                break;
            }
        }
        (answers, Self { calls: calls.collect() })
    }

    /// Decodes raw transactions and recovers their senders on all cores, where there are enough of them to pay for it; they
    /// still enter the pool in order.
    fn recover_senders(
        &self,
        api: &Arc<Api>,
        session: &Session,
    ) -> Vec<Option<Result<consensus::RecoveredTransaction, RpcError>>> {
        let is_raw = |call: &PlainCall| call.method.name == SEND_RAW;
        if self.calls.iter().filter(|call| is_raw(call)).count() < PARALLEL_FROM {
            return Vec::new();
        }
        let recover = |call: &PlainCall| {
            let raw: Data = read(call.method, call.params.as_deref(), session)?.required()?;
            send::read_raw(api, &raw)
        };
        self.calls.par_iter().map(|call| is_raw(call).then(|| recover(call))).collect()
    }
}

/// The answers of a batch, as far as they fit.
struct Replies {
    builder: BatchResponseBuilder,
    /// How many bytes of results still fit.
    room: usize,
    full: bool,
    /// When the time for the batch is up.
    until: Instant,
}

impl Replies {
    fn new(limits: &RpcLimits) -> Self {
        Self {
            builder: BatchResponseBuilder::new_with_limit(usize::MAX),
            room: limits.batch_response_bytes,
            full: false,
            until: Instant::now() + limits.batch_timeout,
        }
    }

    /// Says why nothing more is answered, where it is so.
    fn is_over(&self) -> Option<RpcError> {
        if self.full {
            Some(RpcError::response_too_large())
        } else {
            (Instant::now() >= self.until).then(RpcError::timed_out)
        }
    }

    fn is_empty(&self) -> bool {
        self.builder.is_empty()
    }

    fn extend(&mut self, answers: Answers) {
        for (id, answer) in answers {
            self.push(id, answer);
        }
    }

    fn push(&mut self, id: Id<'_>, answer: Answer) {
        let answer = if self.full { Err(RpcError::response_too_large()) } else { answer };
        self.push_response(respond(id, answer, self.room));
    }

    fn push_response(&mut self, response: MethodResponse) {
        let size = response.as_json().get().len();
        self.full |= size > self.room;
        self.room = self.room.saturating_sub(size);
        // The builder has no limit of its own.
        let _ = self.builder.append(response);
    }

    fn finish(self) -> MethodResponse {
        MethodResponse::from_batch(self.builder.finish())
    }
}

/// Writes the response to one call; a result of more than `bytes_max` is refused.
fn respond(id: Id<'_>, answer: Answer, bytes_max: usize) -> MethodResponse {
    let answer = answer.and_then(|result| match result.get().len() > bytes_max {
        true => Err(RpcError::response_too_large()),
        false => Ok(result),
    });
    match answer {
        Ok(result) => MethodResponse::response(id, ResponsePayload::success_borrowed(&result), usize::MAX),
        Err(error) => MethodResponse::error(id, ErrorObjectOwned::from(error)),
    }
}

impl<S: Subscribing> RpcServiceT for Door<S> {
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.clone().enter(request)
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.clone().enter_batch(batch)
    }

    /// A request without an id wants no answer, and nothing here is worth doing without one.
    fn notification<'a>(&self, _: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        std::future::ready(MethodResponse::notification())
    }
}

/// Puts a [`Door`] before the service of a WebSocket connection.
#[derive(Clone)]
pub(crate) struct DoorLayer {
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) session: Session,
    /// Counts the connection's bytes.
    pub(crate) flow: Option<Arc<Flow>>,
}

impl<S> tower::Layer<S> for DoorLayer {
    type Service = Door<S>;

    fn layer(&self, subscribing: S) -> Door<S> {
        debug_assert!(self.session.transport == Transport::WebSocket, "HTTP and IPC make their doors themselves");
        let places = Arc::new(Semaphore::new(self.dispatcher.api.limits.requests_per_connection));
        Door {
            dispatcher: Arc::clone(&self.dispatcher),
            session: self.session.clone(),
            subscribing,
            places: Some(places),
            flow: self.flow.clone(),
        }
    }
}
