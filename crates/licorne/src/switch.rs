//! `licorne switch`: from one of two masters behind the same systemd sockets to the other, without a gap.
//!
//! It asks systemctl(1) for what a person would ask: start the other one, which returns when that serves, then stop the
//! first one, which finishes what it has begun. When the new one does not start, the old one has not been touched.

use std::process::{Command, Stdio};

use crate::error::Error;
use crate::usage::Usage;

/// The options of `licorne switch`.
#[derive(Debug, clap::Args)]
pub(crate) struct Switch {
    /// the two instances
    #[arg(long, short, value_name = "A,B", default_value = "1,2")]
    instances: String,
    /// the template unit
    #[arg(default_value = TEMPLATE)]
    unit: String,
}

/// The template of `deploy/systemd/two-masters`.
const TEMPLATE: &str = "licorne";

impl Switch {
    /// Runs it.
    ///
    /// # Errors
    /// The arguments are wrong, systemctl is missing, or the new master does not start.
    pub(crate) fn run(&self) -> Result<u8, Error> {
        switch(&units(&self.unit, &self.instances)?)
    }
}

fn switch(units: &[String; 2]) -> Result<u8, Error> {
    let (old, new) = choose(units, [since(&units[0])?, since(&units[1])?]);
    if !systemctl(&["start", new])? {
        let why = property(new, "StatusText")?;
        // It would be tried again and again, beside the one that serves.
        systemctl(&["stop", "--quiet", new])?;
        let serves_on = old.map(|old| format!("; {old} serves on")).unwrap_or_default();
        let whose = if sys::process::own_uid() == 0 { "" } else { " --user (the system's units are root's to switch)" };
        return Err(Error::NotStarted { new: new.to_string(), serves_on, why, whose });
    }
    let Some(old) = old else {
        sys::stdio::print(&format!("{new} serves\n"))?;
        return Ok(0);
    };
    // Quietly: that the sockets can still start it is what they are for.
    if !systemctl(&["stop", "--quiet", old])? {
        return Err(Error::NotLeft { new: new.to_string(), old: old.to_string() });
    }
    sys::stdio::print(&format!("{new} serves, {old} has left\n"))?;
    Ok(0)
}

/// The two units.
fn units(unit: &str, instances: &str) -> Result<[String; 2], Usage> {
    let template = unit.trim_end_matches(".service").trim_end_matches('@');
    if template.is_empty() || template.contains('@') {
        return Err(Usage::Template { unit: unit.to_string() });
    }
    match instances.split(',').collect::<Vec<_>>().as_slice() {
        [a, b] if !a.is_empty() && !b.is_empty() && a != b => {
            Ok([a, b].map(|name| format!("{template}@{name}.service")))
        }
        // Of one and the same the new one would be stopped as the old one.
        _ => Err(Usage::Instances(instances.to_string())),
    }
}

/// Which unit is to leave, if any, and which is to serve, by the moments since when they are active. When both are, an
/// earlier switch was interrupted: the younger one is the new one.
fn choose(units: &[String; 2], since: [Option<u64>; 2]) -> (Option<&str>, &str) {
    let [a, b] = units;
    match since {
        [None, None] => (None, a),
        [Some(_), None] => (Some(a), b),
        [None, Some(_)] => (Some(b), a),
        [Some(first), Some(second)] if first <= second => (Some(a), b),
        [Some(_), Some(_)] => (Some(b), a),
    }
}

/// Since when a unit is active, in microseconds after the machine's start; `None` when it is not.
fn since(unit: &str) -> Result<Option<u64>, Error> {
    let active = matches!(property(unit, "ActiveState")?.as_str(), "active" | "reloading");
    let moment = property(unit, "ActiveEnterTimestampMonotonic")?.parse().unwrap_or(0);
    Ok(active.then_some(moment))
}

fn property(unit: &str, name: &str) -> Result<String, Error> {
    let output = command()
        .args(["show", unit, "--value", "-p", name])
        .stdin(Stdio::null())
        .output()
        .map_err(Error::Systemctl)?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
}

/// Whether it succeeded. What it prints, the user sees.
fn systemctl(arguments: &[&str]) -> Result<bool, Error> {
    command().args(arguments).stdin(Stdio::null()).status().map(|status| status.success()).map_err(Error::Systemctl)
}

fn command() -> Command {
    let mut command = Command::new("systemctl");
    // As an ordinary user one means the user's own units.
    if sys::process::own_uid() != 0 {
        command.arg("--user");
    }
    command.arg("--no-pager");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_and_two_different_instances_are_meant() {
        let want = ["shop@a.service".to_string(), "shop@b.service".to_string()];
        for unit in ["shop", "shop@", "shop@.service"] {
            assert_eq!(units(unit, "a,b").ok().as_ref(), Some(&want));
        }
        for (unit, instances) in [
            ("shop@a", "a,b"),
            ("shop@a.service", "a,b"),
            ("", "a,b"),
            ("x", "1,1"),
            ("x", "1,2,3"),
            ("x", "1,"),
            ("x", "1"),
        ] {
            assert!(units(unit, instances).is_err(), "{unit} {instances}");
        }
    }

    #[test]
    fn the_one_that_does_not_serve_is_next_and_of_two_the_younger_stays() {
        let units = ["x@1.service".to_string(), "x@2.service".to_string()];
        let (a, b) = (units[0].as_str(), units[1].as_str());
        for (since, want) in [
            ([None, None], (None, a)),
            ([Some(5), None], (Some(a), b)),
            ([None, Some(5)], (Some(b), a)),
            ([Some(5), Some(7)], (Some(a), b)),
            ([Some(7), Some(5)], (Some(b), a)),
        ] {
            assert_eq!(choose(&units, since), want);
        }
    }
}
