//! Man pages and completions, printed from the definitions that the command line is parsed by. `man/` and `completions/` are
//! these texts, checked in; the program does not hold them.
//!
//! After a change of an option: `LICORNE_BLESS=1 cargo test -p licorne` writes them anew. `man/licorne.5` is printed by the
//! tests of `directives`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use clap::{Arg, ArgAction, Command, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;
use options::Switch;
use roff::{Roff, roman};

use crate::commands;
use crate::persona::Persona;

const ABOUT: &str = "pre-forking HTTP server for Rack applications";
const DESCRIPTION: &str = "Without a command it serves the application of a rackup file (config.ru), as unicorn(1) does: \
    it has the same options, understands the same configuration and answers the same signals.\n\n\
    Its master loads no application: SIGHUP, or licorne-reload(1), starts a fresh process with new code beside the old one, \
    and replaces the workers one by one when that is ready. SIGUSR2, or licorne-upgrade(1), does so with a new program too. \
    SIGQUIT and SIGTERM, or licorne-stop(1), stop it when the requests that have begun are finished; SIGINT stops it at \
    once.\n\nThe configuration file is described in licorne(5).";
const HERD: &str = "Starts a server with the arguments that follow its own options, and is its stable parent: a supervisor \
    watches this process while servers replace each other. On SIGHUP it starts a new server beside the old one, which leaves \
    when the new one is ready; SIGTERM and SIGQUIT stop the server when the requests that have begun are finished; the herder \
    leaves when the server is gone. Called as unicornherder, it takes that program's command line.\n\nThe variable \
    UNICORNHERDER_LOGLEVEL is DEBUG, INFO, WARN or ERROR.";
// Their arguments are not options of clap's: the completions of zsh would take a command for one.
const USAGE: &str = "licorne [OPTIONS] [RACKUP]\nlicorne COMMAND [OPTIONS]";
const HERD_USAGE: &str = "licorne herd [OPTIONS] [--] [ARGUMENT ...]\nlicorne herd reload [OPTIONS]";

/// The whole command line: what clap parses, and the options that are in other programs' dialects.
fn documented() -> Command {
    let known: Vec<String> = commands::tree().get_subcommands().map(|command| command.get_name().to_string()).collect();
    let own = Persona::Licorne.switches();
    let mut tree = plain(&commands::tree())
        .about(ABOUT)
        .long_about(DESCRIPTION)
        .override_usage(USAGE)
        .args(documented_options(&own))
        .mut_subcommand("herd", |herd| {
            herd.override_usage(HERD_USAGE).long_about(HERD).args(documented_options(&::herd::SWITCHES))
        })
        .mut_subcommand("help", |help| help.mut_arg("command", |command| command.value_parser(known)));
    tree.build();
    tree
}

/// The command without what clap would add to it. One that has subcommands has options of another dialect, `--help` among
/// them.
fn plain(command: &Command) -> Command {
    let shown = |arg: &&Arg| arg.get_id() != "help" || !command.has_subcommands();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let more = command.get_after_help().map(|more| format!("{about}\n\n{more}"));
    Command::new(command.get_name().to_string())
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .long_about(more.unwrap_or_else(|| about.clone()))
        .about(about)
        .args(command.get_arguments().filter(shown).map(with_values))
        .subcommands(command.get_subcommands().map(plain))
}

/// The argument with its possible values in its help: clap_mangen's list of them is not what mandoc(1) likes.
fn with_values(arg: &Arg) -> Arg {
    let values: Vec<String> = arg.get_possible_values().iter().map(|value| value.get_name().to_string()).collect();
    match arg.get_help() {
        Some(help) if !values.is_empty() && arg.is_positional() => {
            arg.clone().help(format!("{help}: {}", values.join(", ")))
        }
        _ => arg.clone(),
    }
}

/// The options of another program's dialect, as clap has options: those that `--help` shows.
fn documented_options(switches: &[Switch]) -> impl Iterator<Item = Arg> {
    switches.iter().filter(|switch| !switch.help.is_empty()).map(documented_option)
}

fn documented_option(switch: &Switch) -> Arg {
    let arg = Arg::new(switch.long).long(switch.long).help(switch.help);
    let arg = switch.short.map_or(arg.clone(), |letter| arg.short(letter));
    match switch.value {
        None => arg.action(ArgAction::SetTrue),
        Some(name) => arg.value_name(name).value_hint(match name {
            "FILE" | "PATH" => ValueHint::FilePath,
            "PROGRAM" => ValueHint::CommandName,
            "HOST" => ValueHint::Hostname,
            _ => ValueHint::Other,
        }),
    }
}

/// The man page of this command, and those of its subcommands, by file name.
fn pages(command: &Command, parent: Option<&str>) -> Vec<(String, String)> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let man = Man::new(command.clone()).source(concat!("Licorne ", env!("CARGO_PKG_VERSION")));
    // roff writes an empty argument as none.
    let man = man.date(r#""""#).manual("Licorne");
    let mut text = Vec::new();
    man.render_title(&mut text).expect("memory takes it");
    man.render_name_section(&mut text).expect("memory takes it");
    man.render_synopsis_section(&mut text).expect("memory takes it");
    man.render_description_section(&mut text).expect("memory takes it");
    man.render_options_section(&mut text).expect("memory takes it");
    let children: Vec<&Command> = command.get_subcommands().collect();
    if !children.is_empty() {
        man.render_subcommands_section(&mut text).expect("memory takes it");
    }
    let mut last = Roff::new();
    last.control("SH", ["EXIT STATUS"]);
    last.text([roman(exit_status(name))]);
    last.control("SH", ["SEE ALSO"]);
    let parent = parent.map(|parent| format!("{parent}(1)"));
    let others =
        parent.into_iter().chain(children.iter().filter_map(|child| Some(format!("{}(1)", child.get_display_name()?))));
    last.text([roman(others.chain(["licorne(5)".to_string()]).collect::<Vec<_>>().join(", "))]);
    last.to_writer(&mut text).expect("memory takes it");
    let text = String::from_utf8(text).expect("it is made of text");
    let own = (format!("man/{name}.1"), text);
    std::iter::once(own).chain(children.into_iter().flat_map(|child| pages(child, Some(name)))).collect()
}

fn exit_status(name: &str) -> &'static str {
    match name {
        "licorne" => "0: it was told to stop, and has. 1: it could not start, and standard error says why.",
        "licorne-herd" => {
            "0: the server was told to stop, and has. 1: it did not boot, or died. 2: the command line is wrong. 126, 127: \
             there is no such server program."
        }
        "licorne-init" | "licorne-switch" | "licorne-help" => "0: done. 1: it failed, and standard error says why.",
        _ => {
            "0: done. 1: it failed, and standard error says why. 2: it is not clear which process is meant; those that could \
             be are listed on standard error."
        }
    }
}

/// The completions, by file name.
fn completions(tree: &Command) -> Vec<(String, String)> {
    let shells = [(Shell::Bash, "licorne.bash"), (Shell::Zsh, "_licorne"), (Shell::Fish, "licorne.fish")];
    let script = |(shell, file): (Shell, &str)| {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut tree.clone(), "licorne", &mut text);
        (format!("completions/{file}"), String::from_utf8(text).expect("it is made of text"))
    };
    shells.map(script).to_vec()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn checked_in_man_pages_and_completions_are_what_the_definitions_print() {
    let tree = documented();
    let printed: Vec<(String, String)> = pages(&tree, None).into_iter().chain(completions(&tree)).collect();
    for (name, text) in &printed {
        let path = repository().join(name);
        if std::env::var_os("LICORNE_BLESS").is_some() {
            std::fs::create_dir_all(path.parent().expect("a directory")).expect("it can be made");
            std::fs::write(&path, text).expect("it can be written");
        }
        let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(checked_in == *text, "{name} differs: run LICORNE_BLESS=1 cargo test -p licorne");
    }
    for directory in ["man", "completions"] {
        for entry in std::fs::read_dir(repository().join(directory)).expect("it is there").flatten() {
            let name = format!("{directory}/{}", entry.file_name().to_string_lossy());
            let known = name == "man/licorne.5" || printed.iter().any(|(printed, _)| *printed == name);
            assert!(known, "{name} is of no command any more: delete it");
        }
    }
}

#[test]
fn man_pages_render_without_warnings() {
    let configuration = std::fs::read_to_string(repository().join("man/licorne.5")).expect("it is there");
    for (name, text) in pages(&documented(), None).into_iter().chain([("man/licorne.5".into(), configuration)]) {
        let mut man = Process::new("man");
        man.args(["--warnings", "--encoding=UTF-8", "--local-file", "-"])
            .env("MANWIDTH", "80")
            .env("LC_ALL", "C.UTF-8");
        man.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut man = man.spawn().expect("bin/setup installs man");
        man.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
        let shown = man.wait_with_output().expect("it ends");
        let (text, warnings) = (String::from_utf8_lossy(&shown.stdout), String::from_utf8_lossy(&shown.stderr));
        assert!(shown.status.success() && text.contains("NAME") && warnings.is_empty(), "{name}: {warnings}");
    }
}

#[test]
fn bash_completes_commands_options_and_what_init_prints() {
    let scripts = completions(&documented());
    for (typed, want) in [
        ("licorne re", "reload"),
        ("licorne --conf", "--config-file"),
        ("licorne upgrade --", "--in-place --two-masters --wait"),
        ("licorne herd reload --w", "--wait"),
        ("licorne herd --over", "--overlap"),
        ("licorne init system", "systemd systemd-socket systemd-two-masters systemd-two-masters-socket"),
        ("licorne help st", "stop status"),
    ] {
        let asked = "COMP_WORDS=($0); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); \
                      _licorne licorne \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; \
                      echo \"${COMPREPLY[@]}\"";
        let script = format!("{}\n{asked}", scripts[0].1);
        let answer = Process::new("bash").args(["-c", &script, typed]).output().expect("bash is there");
        let found = String::from_utf8_lossy(&answer.stdout).into_owned();
        let found: Vec<&str> = found.split_whitespace().collect();
        assert!(want.split(' ').all(|word| found.contains(&word)), "{typed}: {answer:?}");
    }
}
