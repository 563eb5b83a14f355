//! HTTP as clients, proxies and applications see it. One file per promise.

mod embedded;
mod handoff;
mod hostile;
mod hurt;
mod launcher;
mod limits;
mod live;
mod proxies;
mod proxy_protocol;
mod rack;
mod rack_handler;
mod rack_spec;
mod rails;
mod rails_live;
mod redmine;
mod room;
mod saturation;
mod slow_clients;
mod streamed_uploads;
mod thruster;
mod timeouts;
mod trusted_proxies;
