import posthog from 'posthog-js';

window.run = ({ mount, key, user }) => new Promise((resolve) => {
  posthog.init(key, {
    api_host: mount, opt_out_useragent_filter: true, capture_pageview: false, autocapture: false, disable_session_recording: true,
    loaded: () => {
      posthog.identify(user, { plan: 'trial' });
      posthog.group('company', 'acme', { seats: 5 });
      posthog.capture('Report Exported', { report: 'r-1' }, { send_instantly: true });
      resolve();
    },
  });
});
