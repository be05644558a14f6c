// AWS's device SDK for JavaScript against the shadow service: its `thingShadow` keeps versions and client tokens by itself. The
// broker and the identity come from the environment (scripts/devices.sh sets them).
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';

const require = createRequire(`${process.env.DEVICE_NODE_MODULES}/`);
const { thingShadow } = require('aws-iot-device-sdk');
const thing = process.env.DEVICE_THING;
const waitMsMax = 20_000;

let client;
// What arrived and was not asked for yet: [event, ...arguments].
const events = [];
let wake = () => {};

async function next(event) {
  const end = Date.now() + waitMsMax;
  for (;;) {
    const place = events.findIndex(([name]) => name === event);
    if (place >= 0) return events.splice(place, 1)[0].slice(1);
    assert.ok(Date.now() < end, `no ${event} within ${waitMsMax} ms`);
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, 200);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

// Runs an operation and returns its status and document.
async function ask(start) {
  const token = start();
  assert.notEqual(token, null, 'an operation is still under way');
  for (;;) {
    const [, status, answered, document] = await next('status');
    if (answered === token) return [status, document];
  }
}

before(async () => {
  client = thingShadow({
    host: process.env.DEVICE_HOST,
    port: Number(process.env.DEVICE_PORT),
    caPath: process.env.DEVICE_CA,
    certPath: process.env.DEVICE_CERT,
    keyPath: process.env.DEVICE_KEY,
    clientId: thing,
    keepalive: 30,
  });
  for (const name of ['connect', 'status', 'delta', 'foreignStateChange', 'timeout', 'error']) {
    client.on(name, (...rest) => {
      events.push([name, ...rest]);
      wake();
    });
  }
  await next('connect');
  await new Promise((resolve, reject) =>
    client.register(thing, { persistentSubscribe: true, enableVersioning: true }, (error, failed) =>
      error || failed?.length > 0 ? reject(error ?? new Error(`not subscribed: ${failed}`)) : resolve(),
    ),
  );
  await ask(() => client.delete(thing));
});

after(() => client.end(true));

test('a shadow that is not there is not found', async () => {
  const [status, document] = await ask(() => client.get(thing));
  assert.equal(status, 'rejected');
  assert.equal(document.code, 404);
  assert.equal(document.message, `No shadow exists with name: '${thing}'`);
});

test('what is updated is got, and the difference is told', async () => {
  let [status] = await ask(() => client.update(thing, { state: { desired: { lock: 'open', light: 'on' } } }));
  assert.equal(status, 'accepted');
  const [, delta] = await next('delta');
  assert.deepEqual(delta.state, { lock: 'open', light: 'on' });
  [status] = await ask(() => client.update(thing, { state: { reported: { lock: 'open' } } }));
  assert.equal(status, 'accepted');
  const [, rest] = await next('delta');
  assert.deepEqual(rest.state, { light: 'on' });
  assert.ok(rest.version > delta.version);
  const [, got] = await ask(() => client.get(thing));
  assert.deepEqual(got.state.desired, { light: 'on', lock: 'open' });
  assert.deepEqual(got.state.reported, { lock: 'open' });
  assert.deepEqual(got.state.delta, { light: 'on' });
});

test('many updates with the versions that the SDK adds are all accepted', async () => {
  for (let count = 1; count <= 20; count += 1) {
    const [status, document] = await ask(() => client.update(thing, { state: { reported: { count } } }));
    assert.equal(status, 'accepted', JSON.stringify(document));
  }
  const [, got] = await ask(() => client.get(thing));
  assert.equal(got.state.reported.count, 20);
});

test('after a deletion the version goes on, and the SDK with it', async () => {
  const [, before] = await ask(() => client.get(thing));
  const [status, deleted] = await ask(() => client.delete(thing));
  assert.equal(status, 'accepted');
  assert.equal(deleted.version, before.version);
});

test('a malformed update is rejected with its code', async () => {
  const [status, document] = await ask(() => client.update(thing, { state: { desired: 'open' } }));
  assert.equal(status, 'rejected');
  assert.deepEqual([document.code, document.message], [400, 'Desired node must be an object']);
});
