import { createInstance, Identify } from '@amplitude/analytics-browser';

window.run = async ({ mount, key, user }) => {
  const amplitude = createInstance();
  await amplitude.init(key, user, {
    serverUrl: mount + '/2/httpapi', remoteConfig: { serverUrl: mount + '/config' }, autocapture: false, flushIntervalMillis: 10,
  }).promise;
  const sent = [
    amplitude.setGroup('company', 'acme'),
    amplitude.identify(new Identify().set('plan', 'trial')),
    amplitude.groupIdentify('company', 'acme', new Identify().set('seats', 5)),
    amplitude.track('Report Exported', { report: 'r-1' }, { groups: { company: 'acme' } }),
  ];
  for (const { code, message } of await Promise.all(sent.map((s) => s.promise))) {
    if (code !== 200) throw new Error(code + ' ' + message);
  }
};
