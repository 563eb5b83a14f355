//! Servers that something else keeps running: systemd, supervisord, runit, s6, and our own herder. One file per promise.

mod herd;
mod herd_supervised;
mod services;
mod supervisord;
mod systemd;
