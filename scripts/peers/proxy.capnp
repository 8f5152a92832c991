using Workerd = import "/workerd/workerd.capnp";

# The worker in front of an origin; who starts it says where both are, and what
# goes into the regions.
const config :Workerd.Config = (
  services = [
    (name = "proxy", worker = .proxy),
    (name = "origin", external = (http = ())),
  ],
  sockets = [(name = "http", http = (), service = "proxy")],
);

const proxy :Workerd.Worker = (
  modules = [(name = "worker", esModule = embed "proxy.js")],
  bindings = [
    (name = "ORIGIN", service = "origin"),
    (name = "TOP", fromEnvironment = "TOP"),
    (name = "MIDDLE", fromEnvironment = "MIDDLE"),
    (name = "END", fromEnvironment = "END"),
  ],
  compatibilityDate = "2026-11-01",
);
