//! The headings of `docs/differences.md`: each difference that a table names is described there, and the other way round.

use std::collections::BTreeSet;

use crate::compare::Listed;

const TABLES: &[&[Listed]] = &[
    crate::changes_known::RELOAD,
    crate::changes_known::UPGRADE,
    crate::command_line_known::KNOWN,
    crate::directives_known::KNOWN,
    crate::env_known::KNOWN,
    crate::libraries::KNOWN,
    crate::malformed_known::KNOWN,
    crate::responses_known::KNOWN,
    crate::signals_known::KNOWN,
    crate::signals_known::TIMEOUT,
    crate::sockets::KNOWN,
];

/// Differences that need time, load or patience: the heading, and the test that shows it.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("Requests are buffered", "rack", "slow_clients_keep_nobody_waiting"),
    ("A harder signal hastens a stop", "signals", "a_repeated_stop_is_the_same_stop_and_a_harder_one_is_harder"),
    ("USR2 keeps the pid under a supervisor", "in_place", "the_way_is_chosen_by_who_watches"),
    (
        "Workers that die while booting are started with growing delays",
        "deaths",
        "workers_that_die_while_booting_are_not_forked_without_pause",
    ),
    ("A daemon's exit status is the truth", "daemon", "a_daemon_that_cannot_boot_says_so_and_fails"),
    ("A first boot that fails ends the server", "deaths", "a_first_boot_that_fails_ends_the_server_with_the_backtrace"),
    ("A directive with an equals sign is refused", "config_errors", "each_mistake_in_the_configuration_is_told"),
    (
        "A rackup file that only the configuration leads to is read late",
        "command_line",
        "a_rackup_file_that_the_working_directory_leads_to_may_ask_for_the_background",
    ),
    (
        "A boot that fails is told once",
        "config_errors",
        "a_failed_boot_is_explained_once_and_without_frames_of_the_server",
    ),
    ("The log waits for nothing", "log_readers", "a_log_that_is_not_read_stops_no_master_and_the_lost_lines_are_told"),
    (
        "Files in directories of the application's user are opened as that user",
        "placed_paths",
        "a_log_that_became_a_link_to_a_file_of_roots_is_left_alone",
    ),
    (
        "What the application starts inherits nothing",
        "leaks",
        "a_program_that_the_application_starts_inherits_nothing_of_ours",
    ),
    ("Code that does not boot changes nothing", "reload_failures", "new_code_that_raises_changes_nothing"),
    ("process_client gets no client", "recipes", "a_wrapped_process_client_is_called_around_each_request"),
    ("The master's methods are no Ruby", "recipes", "methods_of_a_master_in_ruby_are_redefined_in_vain"),
    (
        "What a hook starts is started again by a reload",
        "recipes",
        "a_program_that_a_hook_starts_belongs_to_the_generation",
    ),
    ("Rackup files are read as files", "command_line", "a_rackup_file_is_read_as_a_file"),
    ("Ports end at 65535", "command_line", "a_mistake_in_the_command_line_is_explained_and_fails"),
    (
        "The environment is heard where the configuration is silent",
        "command_line",
        "the_environment_is_heard_where_the_configuration_is_silent",
    ),
    (
        "A program that starts the server becomes it",
        "embedded",
        "an_application_that_a_program_has_made_is_served_and_reloaded",
    ),
    ("unicorn_rails wants a rackup file", "command_line", "a_mistake_in_the_command_line_is_explained_and_fails"),
];

#[test]
fn each_difference_is_described_and_each_description_is_tested() {
    let read = |name: String| std::fs::read_to_string(testkit::program::repository().join(name)).expect("it is there");
    let text = read("docs/differences.md".to_owned());
    let described: BTreeSet<&str> = text.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let mut tested: BTreeSet<&str> =
        TABLES.iter().flat_map(|table| table.iter()).map(|listed| listed.heading).collect();
    let suites = ["http", "lifecycle", "operation", "supervision"];
    for (heading, file, function) in ELSEWHERE {
        let paths = suites.map(|suite| format!("tests/{suite}/{file}.rs"));
        let path = paths.into_iter().find(|path| testkit::program::repository().join(path).exists());
        let path = path.unwrap_or_else(|| panic!("there is no {file}.rs"));
        assert!(read(path).contains(&format!("fn {function}()")), "{file}: {function}");
        tested.insert(heading);
    }
    let missing: Vec<_> = tested.difference(&described).collect();
    let idle: Vec<_> = described.difference(&tested).collect();
    assert!(missing.is_empty() && idle.is_empty(), "not described: {missing:#?}\nin no table: {idle:#?}");
    for listed in TABLES.iter().flat_map(|table| table.iter()) {
        assert!(!listed.rows.is_empty(), "{} has no row", listed.heading);
    }
}
