import mixpanel from 'mixpanel-browser';

const said = (call) => new Promise((resolve, reject) => call((response) => {
  const status = response && typeof response === 'object' ? response.status : response;
  if (status === 1) resolve();
  else reject(new Error(JSON.stringify(response)));
}));

window.run = async ({ mount, key, user }) => {
  mixpanel.init(key, { api_host: mount, batch_requests: false, verbose: true, track_pageview: false });
  mixpanel.identify(user);
  mixpanel.set_group('company', 'acme');
  await said((done) => mixpanel.people.set({ plan: 'trial' }, done));
  await said((done) => mixpanel.get_group('company', 'acme').set({ seats: 5 }, done));
  await said((done) => mixpanel.track('Report Exported', { report: 'r-1' }, done));
};
