// The vendors' server SDKs: each says who a user is, to which account they
// belong, and that they exported a report. Prints, for each, what the SDK said.
import { createRequire } from 'node:module';

process.on('unhandledRejection', () => {}); // what an SDK says is looked at after all is sent

const require = createRequire(import.meta.url);
const { mounts, keys, users } = JSON.parse(process.argv[2]);

async function segment() {
  const { Analytics } = await import('@segment/analytics-node');
  const { origin, pathname } = new URL(mounts.segment); // a host with a path loses the path
  const client = new Analytics({ writeKey: keys.segment, host: origin, path: pathname + '/v1/batch' });
  const userId = users.segment;
  const sent = [];
  const said = (resolve, reject) => (err) => (err ? reject(err) : resolve());
  const send = (call, message) => sent.push(new Promise((resolve, reject) => client[call](message, said(resolve, reject))));
  send('identify', { userId, anonymousId: 'anonymous-' + userId, traits: { plan: 'trial' } });
  send('group', { userId, groupId: 'acme', traits: { seats: 5 } });
  send('track', { userId, event: 'Report Exported', properties: { report: 'r-1' } });
  await client.closeAndFlush();
  await Promise.all(sent);
}

async function rudderstack() {
  const RudderAnalytics = require('@rudderstack/rudder-sdk-node');
  const client = new RudderAnalytics(keys.rudderstack, { dataPlaneUrl: mounts.rudderstack, logLevel: 'error' });
  const userId = users.rudderstack;
  const sent = [];
  const send = (call, message) => sent.push(new Promise((resolve, reject) => client[call](message, (err) => (err ? reject(err) : resolve()))));
  send('identify', { userId, anonymousId: 'anonymous-' + userId, traits: { plan: 'trial' } });
  send('group', { userId, groupId: 'acme', traits: { seats: 5 } });
  send('track', { userId, event: 'Report Exported', properties: { report: 'r-1' } });
  await client.flush();
  await Promise.all(sent);
}

async function posthog(mode) {
  const { PostHog } = await import('posthog-node');
  process.env.POSTHOG_CAPTURE_MODE = mode || 'v0'; // v1 is the newer endpoint
  const client = new PostHog(keys.posthog, { host: mounts.posthog, flushAt: 100, flushInterval: 0 });
  const distinctId = users[mode ? 'posthog-' + mode : 'posthog'];
  const failed = [];
  client.on('error', (err) => failed.push(err));
  client.alias({ distinctId, alias: 'anonymous-' + distinctId });
  client.identify({ distinctId, properties: { plan: 'trial' } });
  client.groupIdentify({ groupType: 'company', groupKey: 'acme', properties: { seats: 5 }, distinctId });
  client.capture({ distinctId, event: 'Report Exported', properties: { report: 'r-1' }, groups: { company: 'acme' } });
  await client.shutdown();
  if (failed.length) throw failed[0];
}

async function mixpanel() {
  const Mixpanel = require('mixpanel');
  const url = new URL(mounts.mixpanel);
  const distinct_id = users.mixpanel;
  for (const verbose of [false, true]) {
    const client = Mixpanel.init(keys.mixpanel, { host: url.host, protocol: 'http', path: url.pathname, verbose });
    const send = (call) => new Promise((resolve, reject) => call((err) => (err ? reject(err) : resolve())));
    if (verbose) {
      await send((done) => client.track('Report Exported', { distinct_id, company: 'acme', report: 'r-1', $insert_id: 'one' }, done));
    } else {
      await send((done) => client.alias('anonymous-' + distinct_id, distinct_id, done));
      await send((done) => client.people.set(distinct_id, { plan: 'trial' }, done));
      await send((done) => client.groups.set('company', 'acme', { seats: 5 }, done));
    }
  }
}

async function amplitude() {
  const { createInstance, Identify } = await import('@amplitude/analytics-node');
  const client = createInstance();
  await client.init(keys.amplitude, { serverUrl: mounts.amplitude + '/2/httpapi', logLevel: 0 }).promise;
  const who = { user_id: users.amplitude, device_id: 'anonymous-' + users.amplitude };
  const sent = [
    client.identify(new Identify().set('plan', 'trial'), who),
    client.setGroup('company', 'acme', who),
    client.groupIdentify('company', 'acme', new Identify().set('seats', 5), who),
    client.track('Report Exported', { report: 'r-1' }, { ...who, groups: { company: 'acme' } }),
  ];
  await client.flush().promise;
  for (const { code, message } of await Promise.all(sent.map((s) => s.promise))) {
    if (code !== 200) throw new Error(code + ' ' + message);
  }
}

const said = {};
for (const [name, run] of Object.entries({ segment, rudderstack, posthog: () => posthog(), 'posthog-v1': () => posthog('v1'), mixpanel, amplitude })) {
  try {
    await run();
    said[name] = 'success';
  } catch (err) {
    said[name] = String((err && err.message) || err);
  }
}
console.log(JSON.stringify(said));
process.exit(0); // not when the last timer of an SDK is over
