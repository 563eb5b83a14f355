//! What operators write and type: configuration, commands, installation, deploys, health checks. One file per promise.

mod access_log;
mod admin;
mod capistrano;
mod check;
mod command_line;
mod commands;
mod config_errors;
mod deploy;
mod deploy_tools;
mod first_run;
mod fleet;
mod gem_install;
mod haproxy_agent;
mod harness;
mod incidents;
mod init_from;
mod machines;
mod migrating;
mod monitoring;
mod network;
mod page;
mod rotation;
mod ruby_api;
mod status;
mod top;
