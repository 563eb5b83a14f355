//! `licorne config`: the configuration that holds, with where each value is from.

use master::control::{Answer, Request, Setting};
use serde_json::{Value, json};
use sys::text::{printable, printable_json};

use crate::client::Which;
use crate::error::Error;
use crate::usage::Usage;

/// The options of `licorne config`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// the directives to show; without any, those that are not as they are by default
    #[arg(value_name = "DIRECTIVE")]
    names: Vec<String>,
    /// show all directives
    #[arg(long, short)]
    all: bool,
    /// print JSON: all directives, or those that are named
    #[arg(long, short)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

/// What the master tells.
#[derive(Debug)]
struct Told {
    generation: Option<u32>,
    file: Option<String>,
    environment: Option<String>,
    ruby: Option<String>,
    directives: Vec<Setting>,
}

impl Config {
    /// Runs it.
    ///
    /// # Errors
    /// No master, or no such directive.
    pub(crate) fn run(&self) -> Result<u8, Error> {
        if let Some(unknown) = self.names.iter().find(|name| directives::find(name).is_none()) {
            let hint =
                directives::nearest(unknown).map_or_else(String::new, |name| format!(": did you mean `{name}`?"));
            return Err(Usage::NoDirective { word: unknown.clone(), hint }.into());
        }
        let master = match self.which.find("config")? {
            Ok(master) => master,
            Err(status) => return Ok(status),
        };
        let told = master.ask(Request::Configuration, |answer| match answer {
            Answer::Configuration { generation, file, environment, ruby, directives } => {
                Some(Ok(Told { generation, file, environment, ruby, directives }))
            }
            Answer::Failed { reason, .. } => Some(Err(Error::Refused(reason))),
            _ => None,
        })?;
        let mut told = told.unwrap_or(Err(Error::NoAnswer))?;
        let is_wanted = |setting: &Setting| match self.names.is_empty() {
            true => self.all || self.json || setting.from.is_some(),
            false => self.names.contains(&setting.name),
        };
        told.directives.retain(is_wanted);
        match self.json {
            true => sys::stdio::print(&printable_json(&format!("{:#}\n", as_json(&told))))?,
            false => sys::stdio::print(&as_text(&told))?,
        }
        Ok(0)
    }
}

fn as_json(told: &Told) -> Value {
    let Told { generation, file, environment, ruby, directives } = told;
    json!({ "generation": generation, "file": file, "environment": environment, "ruby": ruby, "directives": directives })
}

fn as_text(told: &Told) -> String {
    let file = told.file.as_deref().unwrap_or("no configuration file");
    let parts = [
        Some(printable(file).into_owned()),
        told.generation.map(|generation| format!("generation {generation}")),
        told.environment.as_ref().map(|environment| format!("environment {}", printable(environment))),
        told.ruby.as_ref().map(|ruby| printable(ruby).into_owned()),
    ];
    let mut text = format!("{}\n", parts.into_iter().flatten().collect::<Vec<_>>().join(", "));
    let rows: Vec<[String; 3]> = told.directives.iter().map(row).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).min(WIDEST);
    let (names, values) = (width(0), width(1));
    for [name, value, from] in &rows {
        text.push_str(format!("{name:<names$}  {value:<values$}  {from}").trim_end());
        text.push('\n');
    }
    text
}

/// No column is made wider for its longest text, in characters.
const WIDEST: usize = 48;

fn row(setting: &Setting) -> [String; 3] {
    let unit = setting.unit.as_ref().filter(|_| setting.value.is_number());
    let unit = unit.map_or_else(String::new, |unit| format!(" {unit}"));
    let from = setting.from.as_deref().unwrap_or("default");
    [setting.name.clone(), format!("{}{unit}", shown(&setting.value)), printable(from).into_owned()]
}

/// A value for people.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_string(),
        Value::Bool(true) => "yes".to_string(),
        Value::Bool(false) => "no".to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => printable(text).into_owned(),
        Value::Array(parts) => parts.iter().filter(|part| !part.is_null()).map(shown).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let is_place = |name: &str| matches!(name, "address" | "path");
            let place = fields.iter().filter(|(name, _)| is_place(name)).map(|(_, value)| shown(value));
            let options = fields.iter().filter(|(name, value)| !is_place(name) && !value.is_null());
            let options = options.map(|(name, value)| format!("{name}={}", shown(value)));
            place.chain(options).collect::<Vec<_>>().join(" ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(name: &str, value: Value, unit: Option<&str>, from: Option<&str>) -> Setting {
        Setting { name: name.to_string(), value, unit: unit.map(str::to_string), from: from.map(str::to_string) }
    }

    #[test]
    fn each_value_stands_beside_where_it_is_from() {
        let directives = vec![
            setting("timeout", json!(20), Some("seconds"), Some("config/licorne.rb:3")),
            setting("listen", json!({ "address": "/a\u{1b}[2J", "backlog": 7 }), None, Some("-l")),
            setting("user", json!(["www", null]), None, None),
        ];
        let (file, ruby) = (Some("config/licorne.rb".to_string()), None);
        let told = Told { generation: Some(2), file, environment: Some("production".to_string()), ruby, directives };
        assert_eq!(
            as_text(&told),
            "config/licorne.rb, generation 2, environment production\n\
             timeout  20 seconds           config/licorne.rb:3\n\
             listen   /a\\x1b[2J backlog=7  -l\n\
             user     www                  default\n"
        );
    }
}
