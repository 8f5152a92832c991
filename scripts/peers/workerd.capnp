using Workerd = import "/workerd/workerd.capnp";

# One worker; scripts/bench-peers says where it listens.
const config :Workerd.Config = (
  services = [(name = "rewriter", worker = .rewriter)],
  sockets = [(name = "http", http = (), service = "rewriter")],
);

const rewriter :Workerd.Worker = (
  modules = [(name = "worker", esModule = embed "rewriter.js")],
  compatibilityDate = "2026-11-01",
);
