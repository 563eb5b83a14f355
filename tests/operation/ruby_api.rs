//! Promise: the extension asks nothing of Ruby that Ruby's headers do not declare, or declare as deprecated, nor what a
//! later Ruby has taken away.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use tempfile::TempDir;
use testkit::process::run;
use testkit::{patience, program};

/// What Ruby 4.0 has removed or deprecated of its C interface (its NEWS), and no Ruby of these tests has.
const GONE_IN_4_0: [&str; 2] = ["rb_path_check", "rb_thread_fd_close"];

/// The names of Ruby's that the extension needs when it is loaded. See nm(1).
fn needed() -> Vec<String> {
    let extension = program::path().with_file_name("rubylib").join("licorne/licorne_ext.so");
    let finished = run(Command::new("nm").args(["-D", "--undefined-only"]).arg(&extension), patience());
    assert_eq!(finished.code(), 0, "{finished:#?}");
    let names = finished.stdout.lines().filter_map(|line| line.split_whitespace().last());
    let are_rubys = |name: &&str| ["rb_", "ruby_", "st_", "onig"].iter().any(|prefix| name.starts_with(prefix));
    names.filter(are_rubys).map(str::to_owned).collect()
}

/// Compiles a program that mentions these names, with what is deprecated taken for an error. Returns what the compiler
/// says.
fn compile(names: &[String]) -> String {
    let mut text = String::new();
    for header in ["ruby.h", "ruby/encoding.h", "ruby/io.h", "ruby/st.h", "ruby/thread.h"] {
        let _ = writeln!(text, "#include <{header}>");
    }
    for (number, name) in names.iter().enumerate() {
        let _ = writeln!(text, "const void *needed_{number}(void) {{ return (const void *)&{name}; }}");
    }
    let place = TempDir::with_prefix("licorne-api-").expect("a temporary directory");
    let path = place.path().join("needed.c");
    fs::write(&path, text).expect("it can be written");
    let script = "puts RbConfig::CONFIG.values_at('rubyhdrdir', 'rubyarchhdrdir')";
    let directories = run(Command::new("ruby").args(["-rrbconfig", "-e", script]), patience()).stdout;
    let mut gcc = Command::new("gcc");
    gcc.args(["-fsyntax-only", "-Wdeprecated-declarations", "-Werror", "-Wno-unused-parameter"]).arg(&path);
    gcc.args(directories.lines().map(|line| format!("-I{line}")));
    let finished = run(&mut gcc, patience());
    if finished.status.success() { String::new() } else { finished.stderr }
}

#[test]
fn the_extension_needs_nothing_that_is_private_deprecated_or_gone() {
    let needed = needed();
    // Otherwise it was not the extension that was looked at.
    assert!(needed.iter().any(|name| name == "rb_protect"), "{needed:?}");
    let gone: Vec<&String> = needed.iter().filter(|name| GONE_IN_4_0.contains(&name.as_str())).collect();
    assert!(gone.is_empty(), "{gone:?}");
    let said = compile(&needed);
    assert!(said.is_empty(), "{said}");
}

#[test]
fn the_compiler_would_say_so() {
    let names = |name: &str| [name.to_owned()];
    assert!(compile(&names("rb_private_to_ruby")).contains("undeclared"));
    // Each Ruby here still has it.
    assert!(compile(&names("rb_gc_force_recycle")).contains("deprecated"));
}
