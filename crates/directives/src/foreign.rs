//! What the directives of other servers are called here, for users who bring their configuration.

/// What to write instead of a directive of Puma's or Pitchfork's: the server, then the advice.
pub fn foreign(name: &str) -> Option<(&'static str, &'static str)> {
    FOREIGN.iter().find_map(|(server, names, advice)| names.contains(&name).then_some((*server, *advice)))
}

const PUMA: &str = "Puma";
const PITCHFORK: &str = "Pitchfork";

const FOREIGN: &[(&str, &[&str], &str)] = &[
    (PUMA, &["workers"], "write worker_processes"),
    (PUMA, &["threads", "max_threads", "min_threads"], "a worker serves one request at a time: raise worker_processes"),
    (PUMA, &["bind"], "write listen, without tcp:// or unix://"),
    (PUMA, &["port"], "write listen"),
    (PUMA, &["ssl_bind"], "a proxy does TLS"),
    (PUMA, &["preload_app!"], "write preload_app true"),
    (PUMA, &["environment"], "start with -E, or set ENV[\"RACK_ENV\"]"),
    (PUMA, &["rackup"], "name the file on the command line"),
    (PUMA, &["directory"], "write working_directory"),
    (PUMA, &["daemonize"], "start with -D"),
    (PUMA, &["pidfile"], "write pid"),
    (PUMA, &["stdout_redirect"], "write stdout_path and stderr_path"),
    (PUMA, &["worker_timeout"], "write timeout, which is how long a request may last"),
    (PUMA, &["worker_boot_timeout"], "write boot_timeout"),
    (PUMA, &["worker_shutdown_timeout", "force_shutdown_after"], "timeout bounds a graceful stop"),
    (PUMA, &["first_data_timeout"], "write header_timeout"),
    (PUMA, &["persistent_timeout"], "write keepalive_timeout"),
    (PUMA, &["on_worker_boot", "before_worker_boot"], "write after_fork { |server, worker| }"),
    (PUMA, &["on_worker_fork", "before_worker_fork"], "write before_fork { |server, worker| }"),
    (PUMA, &["on_worker_shutdown", "before_worker_shutdown"], "write at_exit in after_fork"),
    (PUMA, &["after_worker_boot"], "write after_worker_ready { |server, worker| }"),
    (PUMA, &["on_restart", "before_restart"], "a reload starts a fresh process: leave it out"),
    (PUMA, &["fork_worker", "nakayoshi_fork"], "leave it out, preload_app true shares memory"),
    (PUMA, &["state_path", "activate_control_app"], "leave it out: licorne status, reload and stop find the server"),
    (PUMA, &["log_requests"], "write access_log :stdout"),
    (PUMA, &["plugin"], "leave it out: restart_file is what tmp_restart does, service what solid_queue does"),
    (
        PUMA,
        &[
            "prune_bundler",
            "extra_runtime_dependencies",
            "tag",
            "quiet",
            "queue_requests",
            "wait_for_less_busy_worker",
            "silence_single_worker_warning",
            "drain_on_shutdown",
            "clean_thread_locals",
        ],
        "leave it out",
    ),
    (PITCHFORK, &["after_worker_fork"], "write after_fork"),
    (PITCHFORK, &["spawn_timeout"], "write boot_timeout"),
    (PITCHFORK, &["after_worker_hard_timeout"], "write after_worker_exit, which is told of the death"),
    (PITCHFORK, &["after_request_complete"], "use rack.response_finished"),
    (
        PITCHFORK,
        &["refork_max_unavailable", "max_consecutive_spawn_errors", "setpgid", "after_monitor_ready"],
        "there is nothing like it here: leave it out",
    ),
    (
        PITCHFORK,
        &["before_service_worker_ready", "after_service_worker_ready"],
        "write service \"NAME\" { |service, server| ...; service.wait }",
    ),
    (PITCHFORK, &["before_service_worker_exit"], "write it behind service.wait in the block of service"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_told_what_to_write_and_none_is_a_directive_here() {
        for (_, names, _) in FOREIGN {
            for name in *names {
                assert!(crate::find(name).is_none(), "{name}");
            }
        }
        assert_eq!(foreign("workers"), Some(("Puma", "write worker_processes")));
        assert_eq!(foreign("setpgid").map(|(server, _)| server), Some("Pitchfork"));
        assert_eq!(foreign("worker_proceses"), None);
    }
}
