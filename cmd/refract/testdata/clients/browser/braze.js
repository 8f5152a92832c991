import * as braze from '@braze/web-sdk';

// Braze's own server answers the SDK: here, the app does. Only the cookies
// matter.
window.run = async ({ origin, key, user }) => {
  braze.initialize(key, { baseUrl: origin, enableLogging: false, allowUserSuppliedJavascript: false });
  braze.changeUser(user);
  braze.openSession();
};
