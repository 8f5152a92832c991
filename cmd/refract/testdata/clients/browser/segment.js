import { AnalyticsBrowser } from '@segment/analytics-next';

window.run = async ({ mount, key, user }) => {
  const analytics = AnalyticsBrowser.load({ writeKey: key, cdnURL: mount });
  for (const context of [
    await analytics.identify(user, { plan: 'trial' }),
    await analytics.group('acme', { seats: 5 }),
    await analytics.track('Report Exported', { report: 'r-1' }, { groupId: 'acme' }),
  ]) {
    if (context.failedDelivery()) throw new Error(String(context.failedDelivery().reason));
  }
};
