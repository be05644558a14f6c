"""Kills the shadow service while it is being updated, and checks that every update it accepted is there afterwards.

The program and a data directory with an authority and the device come from the environment (scripts/devices.sh sets them)."""

import os
import random
import re
import signal
import subprocess
import threading
import unittest

from awscrt import mqtt_request_response
from awsiot import iotshadow, mqtt_connection_builder

THING = os.environ["DEVICE_THING"]
KILLS = int(os.environ.get("DEVICE_KILLS", "5"))
SECONDS = 20


class Service:
    """`drawbridge device serve` on free ports."""

    def __init__(self):
        command = [os.environ["DRAWBRIDGE_BIN"], "device", "serve", "--datadir", os.environ["DEVICE_DATADIR"]]
        command += ["--mqtt.port", "0", "--mqtt.https=false"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for line in self.process.stderr:
            found = re.search(r"addr=\S*?127\.0\.0\.1:(\d+)", re.sub(r"\x1b\[[0-9;]*m", "", line))
            if found:
                self.port = int(found.group(1))
                break
        else:
            raise AssertionError("the service did not start")
        self.reader = threading.Thread(target=self.process.stderr.read, daemon=True)
        self.reader.start()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.reader.join()
        self.process.stderr.close()


def connect(port):
    connection = mqtt_connection_builder.mtls_from_path(
        endpoint="localhost",
        port=port,
        cert_filepath=os.environ["DEVICE_CERT"],
        pri_key_filepath=os.environ["DEVICE_KEY"],
        ca_filepath=os.environ["DEVICE_CA"],
        client_id=THING,
        clean_session=True,
        keep_alive_secs=30,
    )
    connection.connect().result(SECONDS)
    options = mqtt_request_response.ClientOptions(
        max_request_response_subscriptions=4, max_streaming_subscriptions=2, operation_timeout_in_seconds=3
    )
    return connection, iotshadow.IotShadowClientV2(connection, options)


class Kill(unittest.TestCase):
    def test_accepted_updates_survive(self):
        seed = int(os.environ.get("SEED", "1"))
        dice = random.Random(seed)
        print(f"seed {seed}, {KILLS} kills")
        accepted, count = None, 0
        for kill in range(KILLS + 1):
            service = Service()
            connection, client = connect(service.port)
            if accepted is not None:
                request = iotshadow.GetShadowRequest(thing_name=THING)
                got = client.get_shadow(request).result(SECONDS)
                self.assertGreaterEqual(got.version, accepted[0])
                # An update whose answer was lost may be there too; never less than what was answered.
                self.assertGreaterEqual(got.state.reported["count"], accepted[1])
            if kill < KILLS:
                timer = threading.Timer(dice.uniform(0.2, 1.5), service.kill)
                timer.start()
                try:
                    while True:
                        count += 1
                        state = iotshadow.ShadowState(reported={"count": count})
                        request = iotshadow.UpdateShadowRequest(thing_name=THING, state=state)
                        accepted = (client.update_shadow(request).result(5).version, count)
                except Exception as error:  # the connection broke
                    self.assertIsNotNone(accepted, error)
                timer.join()
            else:
                service.kill()
            client = None
            connection.disconnect()
        print(f"{accepted[1]} updates, version {accepted[0]}")
        self.assertGreater(accepted[1], KILLS)


if __name__ == "__main__":
    unittest.main(verbosity=2)
