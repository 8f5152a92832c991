import { RudderAnalytics } from '@rudderstack/analytics-js/bundled';

window.run = ({ mount, key, user }) => new Promise((resolve, reject) => {
  const analytics = new RudderAnalytics();
  setTimeout(() => reject(new Error('the SDK said nothing')), 60_000);
  analytics.load(key, mount, { configUrl: mount, logLevel: 'ERROR', storage: { type: 'cookieStorage' } });
  analytics.ready(() => {
    analytics.identify(user, { plan: 'trial' }, () =>
      analytics.group('acme', { seats: 5 }, () =>
        analytics.track('Report Exported', { report: 'r-1' }, { groupId: 'acme' }, () => resolve())));
  });
});
