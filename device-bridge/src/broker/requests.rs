//! What an accepted client may ask for: publish, subscribe, unsubscribe. Each is checked against its policy first.

use mqtt_protocol_core::mqtt::result_code::DisconnectReasonCode;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Duration, Instant, sleep_until};

use super::connection::{Connection, End};
use super::limits::{
    FILTERS_PER_PACKET_MAX, PAYLOAD_BYTES_MAX, PUBLISH_PER_SECOND_MAX, SERVICE_PUBLISH_PER_SECOND_MAX,
};
use super::message::{Message, Quality};
use super::packet::{Filter, Granted, Publish, Retained};
use super::router::Subscribed;
use super::topic::{is_filter, is_reserved, is_shared, is_topic};
use crate::policy::Action;
use crate::registry::Role;
use crate::shadow::{Job, Operation, ShadowError, ShadowName, now_seconds, parse_request_topic, refuse};

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) async fn published(&mut self, publish: Publish) -> Result<(), End> {
        self.slow_down().await?;
        let (quality, request) = self.may_publish(&publish).map_err(End::Violation)?;
        let client = self.client.as_ref().ok_or(End::Gone)?;
        let payload = publish.payload.clone();
        let packet_id = publish.packet_id;
        let now = now_seconds();
        self.shared.router.publish(Message {
            topic: publish.topic,
            payload: publish.payload,
            quality,
            retain: publish.retain,
            expires_at: publish.expiry_seconds.map(|seconds| now.saturating_add(seconds.into())),
            properties: publish.properties,
            publisher: Some(client.attachment.session.client.clone()),
        });
        if let Some((name, operation)) = request {
            self.ask_shadow(name, operation, &payload).await?;
        }
        match packet_id {
            Some(packet_id) => {
                let packet = self.writer().acknowledgement(packet_id).map_err(End::Protocol)?;
                self.send(packet)
            }
            None => Ok(()),
        }
    }

    /// Waits until the client's next message is due: it is read no faster than it may publish.
    async fn slow_down(&mut self) -> Result<(), End> {
        let most = match self.thing().role {
            Role::Service => SERVICE_PUBLISH_PER_SECOND_MAX,
            Role::Device | Role::Custom(_) => PUBLISH_PER_SECOND_MAX,
        };
        let client = self.client.as_mut().ok_or(End::Gone)?;
        let now = Instant::now();
        // A second's worth may come at once.
        let earliest = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
        client.next_publish = client.next_publish.max(earliest) + Duration::from_secs(1) / most;
        if client.next_publish > now {
            sleep_until(client.next_publish).await;
        }
        Ok(())
    }

    /// Checks a message before it goes anywhere; returns what it asks of a shadow, if it does.
    fn may_publish(
        &self,
        publish: &Publish,
    ) -> Result<(Quality, Option<(ShadowName, Operation)>), DisconnectReasonCode> {
        let grants = &self.client.as_ref().ok_or(DisconnectReasonCode::ProtocolError)?.grants;
        let quality = publish.quality.ok_or(DisconnectReasonCode::QosNotSupported)?;
        if !is_topic(&publish.topic) {
            return Err(DisconnectReasonCode::TopicNameInvalid);
        }
        if publish.payload.len() > PAYLOAD_BYTES_MAX {
            return Err(DisconnectReasonCode::PacketTooLarge);
        }
        let is_reserved = is_reserved(&publish.topic);
        if is_reserved && publish.retain {
            return Err(DisconnectReasonCode::RetainNotSupported);
        }
        if !grants.allows(Action::Publish, &publish.topic)
            || publish.retain && !grants.allows(Action::RetainPublish, &publish.topic)
        {
            return Err(DisconnectReasonCode::NotAuthorized);
        }
        let request = parse_request_topic(&publish.topic);
        // What the services answer on reserved topics comes from them alone.
        if is_reserved && request.is_none() {
            return Err(DisconnectReasonCode::TopicNameInvalid);
        }
        Ok((quality, request))
    }

    async fn ask_shadow(&self, name: ShadowName, operation: Operation, payload: &[u8]) -> Result<(), End> {
        let client = self.client.as_ref().ok_or(End::Gone)?;
        let Ok(place) = client.shadow_places.clone().try_acquire_owned() else {
            let refused = refuse(&name, operation, payload, ShadowError::TooManyRequests, now_seconds());
            self.shared.send_messages(refused.messages);
            return Ok(());
        };
        let job = Job {
            name,
            operation,
            payload: payload.to_vec(),
            writes: self.thing().writes,
            reply: None,
            place: Some(place),
        };
        self.shared.shadows.send(job).await.map_err(|_| End::Gone)
    }

    pub(super) fn subscribe(&mut self, packet_id: u16, filters: Vec<Filter>) -> Result<(), End> {
        if filters.len() > FILTERS_PER_PACKET_MAX {
            return Err(End::Violation(DisconnectReasonCode::QuotaExceeded));
        }
        let client = self.client.as_ref().ok_or(End::Gone)?;
        let session = client.attachment.session.clone();
        let mut codes = Vec::with_capacity(filters.len());
        let mut with_retained = Vec::new();
        for wanted in filters {
            // As with AWS IoT: the connection ends.
            let subscription = wanted.subscription.ok_or(End::Violation(DisconnectReasonCode::QosNotSupported))?;
            codes.push(if is_shared(&wanted.filter) {
                Granted::Shared
            } else if !is_filter(&wanted.filter) {
                Granted::Malformed
            } else if !client.grants.allows(Action::Subscribe, &wanted.filter) {
                Granted::NotAuthorized
            } else {
                match (self.shared.router.subscribe(&session, &wanted.filter, subscription), wanted.retained) {
                    (Subscribed::TooMany, _) => Granted::TooMany,
                    (Subscribed::New, Retained::IfNew) | (Subscribed::New | Subscribed::Again, Retained::Always) => {
                        with_retained.push((wanted.filter, subscription));
                        Granted::With(subscription.quality())
                    }
                    (Subscribed::Again, Retained::IfNew) | (Subscribed::New | Subscribed::Again, Retained::Never) => {
                        Granted::With(subscription.quality())
                    }
                }
            });
        }
        let packet = self.writer().subscribed(packet_id, &codes).map_err(End::Protocol)?;
        self.send(packet)?;
        for (filter, subscription) in with_retained {
            self.shared.router.send_retained(&session, &filter, subscription, now_seconds());
        }
        Ok(())
    }

    pub(super) fn unsubscribe(&mut self, packet_id: u16, filters: &[String]) -> Result<(), End> {
        if filters.len() > FILTERS_PER_PACKET_MAX {
            return Err(End::Violation(DisconnectReasonCode::QuotaExceeded));
        }
        let session = self.client.as_ref().ok_or(End::Gone)?.attachment.session.clone();
        let existed: Vec<bool> =
            filters.iter().map(|filter| self.shared.router.unsubscribe(&session, filter)).collect();
        let packet = self.writer().unsubscribed(packet_id, &existed).map_err(End::Protocol)?;
        self.send(packet)
    }
}
