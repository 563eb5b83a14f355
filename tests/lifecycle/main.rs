//! A server from its first boot to its last exit: reloads, upgrades, deaths, and what its user and its workers may do to it. One file per promise.

mod backtraces;
mod boot;
mod canary;
mod causes;
mod counts;
mod daemon;
mod deaths;
mod fault_drill;
mod in_place;
mod leaks;
mod log_readers;
mod lying_worker;
mod notify;
mod placed_paths;
mod probe;
mod recipes;
mod releases;
mod reload;
mod reload_failures;
mod reload_series;
mod rollback;
mod scale;
mod services;
mod signals;
mod storm;
mod upgrade;
