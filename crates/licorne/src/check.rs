//! `licorne check`: whether a server would start with a command line, without starting one.

use master::{Finding, Level};
use sys::text::{printable, printable_json, printable_lines};

use crate::error::Error;
use crate::persona::Persona;
use crate::serve;

/// The options of `licorne check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// print JSON
    #[arg(long)]
    json: bool,
    /// the options and the rackup file, as the server is started with them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    server: Vec<String>,
}

impl Check {
    /// Runs it. The exit status is 1 when no server would start.
    ///
    /// # Errors
    /// The command line is none of a server.
    pub(crate) fn run(mut self) -> Result<u8, Error> {
        let before = self.server.len();
        self.server.retain(|argument| argument != "--json");
        let (options, runtime) = serve::would_be(Persona::Licorne, &self.server)?;
        let found = master::check(options, runtime);
        match self.json || self.server.len() < before {
            true => sys::stdio::print(&printable_json(&format!("{:#}\n", serde_json::json!({ "findings": found }))))?,
            false => sys::stdio::print(&found.iter().map(line).collect::<String>())?,
        }
        Ok(u8::from(found.iter().any(|finding| finding.level == Level::Error)))
    }
}

/// A finding for people; a backtrace stands below its message.
fn line(finding: &Finding) -> String {
    let level = match finding.level {
        Level::Fine => "ok",
        Level::Warning => "warning",
        Level::Error => "error",
    };
    let mut lines = finding.text.lines();
    let first = printable(lines.next().unwrap_or_default());
    let rest: String = lines.map(|line| format!("           {}\n", printable_lines(line))).collect();
    format!("{level:<8} {}: {first}\n{rest}", finding.about)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backtrace_stands_below_its_message() {
        let finding =
            Finding { level: Level::Error, about: "application", text: "no (RuntimeError)\na.rb:1".to_string() };
        assert_eq!(line(&finding), "error    application: no (RuntimeError)\n           a.rb:1\n");
    }
}
