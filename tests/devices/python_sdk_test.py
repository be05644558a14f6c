"""AWS's device SDK for Python against the shadow service: requests with answers over MQTT 5 and 3.1.1, and the older
publish-and-subscribe client. The broker and the identity come from the environment (scripts/devices.sh sets them)."""

import os
import queue
import threading
import unittest

import awsiot
from awscrt import mqtt, mqtt5, mqtt_request_response
from awsiot import iotshadow, mqtt5_client_builder, mqtt_connection_builder

THING = os.environ["DEVICE_THING"]
SECONDS = 20


def settings():
    return dict(
        endpoint=os.environ["DEVICE_HOST"],
        port=int(os.environ["DEVICE_PORT"]),
        cert_filepath=os.environ["DEVICE_CERT"],
        pri_key_filepath=os.environ["DEVICE_KEY"],
        ca_filepath=os.environ["DEVICE_CA"],
        client_id=THING,
    )


class Mqtt311:
    """A connection over MQTT 3.1.1."""

    def __init__(self):
        self.client = mqtt_connection_builder.mtls_from_path(**settings(), clean_session=True, keep_alive_secs=30)
        self.client.connect().result(SECONDS)

    def close(self):
        self.client.disconnect().result(SECONDS)


class Mqtt5:
    """A connection over MQTT 5."""

    def __init__(self):
        connected, self.stopped = threading.Event(), threading.Event()
        self.client = mqtt5_client_builder.mtls_from_path(
            **settings(),
            on_lifecycle_connection_success=lambda _: connected.set(),
            on_lifecycle_stopped=lambda _: self.stopped.set(),
        )
        self.client.start()
        assert connected.wait(SECONDS), "no connection"

    def close(self):
        self.client.stop()
        assert self.stopped.wait(SECONDS), "the client does not stop"


def state(desired=None, reported=None):
    return iotshadow.ShadowState(desired=desired, reported=reported)


class Requests:
    """Get, update, delete, versions, conflicts, deltas and documents, on a classic and on a named shadow."""

    connection = None
    shadow_name = None

    def setUp(self):
        self.link = self.connection()
        options = mqtt_request_response.ClientOptions(
            max_request_response_subscriptions=6, max_streaming_subscriptions=4, operation_timeout_in_seconds=SECONDS
        )
        self.client = iotshadow.IotShadowClientV2(self.link.client, options)
        try:
            self.delete()
        except awsiot.V2ServiceException as error:
            self.assertEqual(error.modeled_error.code, 404)

    def tearDown(self):
        self.client = None
        self.link.close()

    def request(self, kind, **fields):
        named = self.shadow_name is not None
        name = f"{kind}{'Named' if named else ''}ShadowRequest"
        call = f"{kind.lower()}_{'named_' if named else ''}shadow"
        if named:
            fields["shadow_name"] = self.shadow_name
        request = getattr(iotshadow, name)(thing_name=THING, **fields)
        return getattr(self.client, call)(request).result(SECONDS)

    def get(self):
        return self.request("Get")

    def delete(self):
        return self.request("Delete")

    def update(self, desired=None, reported=None, version=None):
        return self.request("Update", state=state(desired, reported), version=version)

    def stream(self, kind):
        """Opens a stream of deltas or documents; returns its queue when it is subscribed."""
        events, subscribed = queue.Queue(), threading.Event()

        def status(event):
            if event.type == mqtt_request_response.SubscriptionStatusEventType.SUBSCRIPTION_ESTABLISHED:
                subscribed.set()

        named = self.shadow_name is not None
        request = getattr(iotshadow, f"{'Named' if named else ''}Shadow{kind}SubscriptionRequest")
        fields = {"shadow_name": self.shadow_name} if named else {}
        create = {"DeltaUpdated": "delta_updated", "Updated": "updated"}[kind]
        create = getattr(self.client, f"create_{'named_' if named else ''}shadow_{create}_stream")
        options = awsiot.ServiceStreamOptions(incoming_event_listener=events.put, subscription_status_listener=status)
        operation = create(request(thing_name=THING, **fields), options)
        operation.open()
        self.assertTrue(subscribed.wait(SECONDS), "the stream is not subscribed")
        self.addCleanup(lambda: operation)
        return events

    def refused(self, code, call, *arguments, **named):
        with self.assertRaises(awsiot.V2ServiceException) as caught:
            call(*arguments, **named)
        self.assertIsNotNone(caught.exception.modeled_error, caught.exception.inner_error)
        self.assertEqual(caught.exception.modeled_error.code, code)
        return caught.exception.modeled_error

    def test_what_is_updated_is_got(self):
        first = self.update(desired={"lock": "open"})
        self.assertEqual(first.state.desired, {"lock": "open"})
        second = self.update(reported={"lock": "closed", "light": [1, 2]})
        self.assertEqual(second.version, first.version + 1)
        got = self.get()
        self.assertEqual(got.version, second.version)
        self.assertEqual(got.state.desired, {"lock": "open"})
        self.assertEqual(got.state.reported, {"lock": "closed", "light": [1, 2]})
        self.assertEqual(got.state.delta, {"lock": "open"})
        self.assertIn("timestamp", got.metadata.desired["lock"])

    def test_keys_are_merged_and_null_deletes(self):
        self.update(reported={"a": 1, "b": {"c": 1, "d": 2}})
        self.update(reported={"a": None, "b": {"c": 3}})
        self.assertEqual(self.get().state.reported, {"b": {"c": 3, "d": 2}})

    def test_a_stale_version_is_a_conflict(self):
        version = self.update(reported={"n": 1}).version
        self.assertEqual(self.update(reported={"n": 2}, version=version).version, version + 1)
        refused = self.refused(409, self.update, reported={"n": 3}, version=version)
        self.assertEqual(refused.message, "Version conflict")
        self.assertEqual(self.get().state.reported, {"n": 2})

    def test_what_is_deleted_is_gone_and_its_version_goes_on(self):
        version = self.update(reported={"n": 1}).version
        self.assertEqual(self.delete().version, version)
        missing = self.refused(404, self.get)
        self.assertEqual(missing.message, f"No shadow exists with name: '{self.shadow_name or THING}'")
        self.refused(404, self.delete)
        self.assertGreater(self.update(reported={"n": 2}).version, version)

    def test_a_document_that_is_too_large_is_refused(self):
        refused = self.refused(413, self.update, reported={"text": "x" * 9000})
        self.assertEqual(refused.message, "The payload exceeds the maximum size allowed")

    def test_deltas_and_documents_are_told(self):
        deltas, documents = self.stream("DeltaUpdated"), self.stream("Updated")
        version = self.update(desired={"lock": "open", "light": "on"}).version
        delta = deltas.get(timeout=SECONDS)
        self.assertEqual((delta.state, delta.version), ({"lock": "open", "light": "on"}, version))
        self.assertEqual(documents.get(timeout=SECONDS).current.version, version)
        version = self.update(reported={"light": "on"}).version
        delta = deltas.get(timeout=SECONDS)
        self.assertEqual((delta.state, delta.version), ({"lock": "open"}, version))
        told = documents.get(timeout=SECONDS)
        self.assertEqual((told.previous.version, told.current.version), (version - 1, version))
        version = self.update(reported={"lock": "open"}).version
        self.assertEqual(documents.get(timeout=SECONDS).current.version, version)
        self.assertTrue(deltas.empty())


class ClassicOver5(Requests, unittest.TestCase):
    connection = Mqtt5


class NamedOver5(Requests, unittest.TestCase):
    connection = Mqtt5
    shadow_name = "config"


class ClassicOver311(Requests, unittest.TestCase):
    connection = Mqtt311


class NamedOver311(Requests, unittest.TestCase):
    connection = Mqtt311
    shadow_name = "lock"


class PublishAndSubscribe(unittest.TestCase):
    """The SDK's first shadow client: answers come to whoever is subscribed."""

    def test_get_update_and_delete(self):
        link = Mqtt311()
        self.addCleanup(link.close)
        client = iotshadow.IotShadowClient(link.client)
        answers = queue.Queue()
        for name, request in [
            ("update_shadow_accepted", iotshadow.UpdateShadowSubscriptionRequest),
            ("update_shadow_rejected", iotshadow.UpdateShadowSubscriptionRequest),
            ("get_shadow_accepted", iotshadow.GetShadowSubscriptionRequest),
            ("get_shadow_rejected", iotshadow.GetShadowSubscriptionRequest),
            ("delete_shadow_accepted", iotshadow.DeleteShadowSubscriptionRequest),
            ("delete_shadow_rejected", iotshadow.DeleteShadowSubscriptionRequest),
        ]:
            subscribe = getattr(client, f"subscribe_to_{name}")
            told = lambda answer, name=name: answers.put((name, answer))
            future, _ = subscribe(request(thing_name=THING), mqtt.QoS.AT_LEAST_ONCE, told)
            future.result(SECONDS)

        def ask(publish, request):
            publish(request, mqtt.QoS.AT_LEAST_ONCE).result(SECONDS)
            return answers.get(timeout=SECONDS)

        ask(client.publish_delete_shadow, iotshadow.DeleteShadowRequest(thing_name=THING))
        name, refused = ask(client.publish_get_shadow, iotshadow.GetShadowRequest(thing_name=THING))
        self.assertEqual((name, refused.code), ("get_shadow_rejected", 404))
        request = iotshadow.UpdateShadowRequest(thing_name=THING, state=state({"a": 1}, {"a": 1}), client_token="mine")
        name, accepted = ask(client.publish_update_shadow, request)
        self.assertEqual((name, accepted.client_token), ("update_shadow_accepted", "mine"))
        name, got = ask(client.publish_get_shadow, iotshadow.GetShadowRequest(thing_name=THING))
        self.assertEqual((name, got.state.reported, got.state.delta), ("get_shadow_accepted", {"a": 1}, None))
        name, _ = ask(client.publish_delete_shadow, iotshadow.DeleteShadowRequest(thing_name=THING))
        self.assertEqual(name, "delete_shadow_accepted")


if __name__ == "__main__":
    unittest.main(verbosity=2)
