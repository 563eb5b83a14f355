//! The configuration that holds, as `licorne config` is told of it: each directive with its value and where that is from.

use directives::{Kind, TABLE};
use serde_json::{Map, Value};

use crate::config::owner::Config;
use crate::control::protocol::{Answer, Setting};

impl Config {
    /// What holds now; `workers` and the generation are those of now. The number is `None` where it follows the load.
    pub(crate) fn shown(&self, generation: Option<u32>, workers: Option<u32>) -> Answer {
        let told = self.settings.as_ref().and_then(|settings| serde_json::from_str::<Value>(&settings.told).ok());
        let (Some(settings), Some(told)) = (&self.settings, told) else {
            let reason = "no configuration holds yet: the first one is being evaluated".to_string();
            return Answer::Failed { reason, backtrace: None };
        };
        let mut directives = of_told(&told);
        for setting in &mut directives {
            match setting.name.as_str() {
                "worker_processes" => {
                    if let Some(count) = workers.filter(|count| setting.value != *count) {
                        setting.value = count.into();
                        setting.from = Some("SIGTTIN, SIGTTOU".to_string());
                    }
                }
                "control" => {
                    setting.value = self.control_path(settings).0.to_string_lossy().into();
                    if self.options.control.is_some() {
                        setting.from = Some("--control".to_string());
                    }
                }
                _ => {}
            }
        }
        let text = |name: &str| told[name].as_str().map(str::to_string);
        Answer::Configuration {
            generation,
            file: self.options.config_file.clone(),
            environment: text("rack_env"),
            ruby: text("ruby"),
            directives,
        }
    }
}

/// The directives in the order of the reference, from what a mold has told. One of a program before this one has not told
/// where they are from.
fn of_told(told: &Value) -> Vec<Setting> {
    let from = |name: &str| match told["sources"].as_object() {
        Some(sources) => sources.get(name).and_then(Value::as_str).map(str::to_string),
        None => Some("unknown".to_string()),
    };
    let mut all = Vec::new();
    for directive in TABLE {
        let setting = |value: Value| {
            let unit = directive.unit.map(str::to_string);
            Setting { name: directive.name.to_string(), value, unit, from: from(directive.name) }
        };
        match directive.kind {
            Kind::Listen => {
                let listeners = told["listeners"].as_array().into_iter().flatten().filter_map(Value::as_object);
                all.extend(listeners.map(|listener| {
                    let address = listener.get("address").and_then(Value::as_str).unwrap_or_default();
                    let from = from(&format!("listen {address}"));
                    Setting { from, ..setting(given_options(listener)) }
                }));
            }
            Kind::Logger => all.push(setting(told["custom_logger"].clone())),
            _ => all.push(setting(told[directive.name].clone())),
        }
    }
    all
}

/// A listener with the options that are not as they are of one without any.
fn given_options(listener: &Map<String, Value>) -> Value {
    let silent = directives::complete_options(&[]);
    let is_silent = |name: &str, value: &Value| {
        silent
            .iter()
            .any(|(known, default)| *known == name && crate::config::older_settings::to_json(default) == *value)
    };
    let shown = listener.iter().filter(|(name, value)| {
        !matches!(name.as_str(), "place" | "unresolved") && !value.is_null() && !is_silent(name, value)
    });
    Value::Object(shown.map(|(name, value)| (name.clone(), value.clone())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_directive_is_told_with_its_value_and_its_place() {
        let told = json!({
            "timeout": 20, "custom_logger": true,
            "listeners": [
                { "address": "a:80", "resolved": "192.0.2.1:80", "unresolved": null, "place": "u.rb:2", "backlog": 7 },
                { "address": "/s", "resolved": null, "backlog": null },
            ],
            "sources": { "timeout": "u.rb:1", "listen a:80": "u.rb:2", "logger": "u.rb:3" },
        });
        let all = of_told(&told);
        let named = |name: &str| all.iter().filter(|setting| setting.name == name).cloned().collect::<Vec<_>>();
        let timeout = &named("timeout")[0];
        assert_eq!((&timeout.value, timeout.unit.as_deref()), (&json!(20), Some("seconds")));
        assert_eq!((timeout.from.as_deref(), named("logger")[0].value.clone()), (Some("u.rb:1"), json!(true)));
        let [first, second] = &named("listen")[..] else { panic!("two listeners") };
        assert_eq!(first.value, json!({ "address": "a:80", "resolved": "192.0.2.1:80", "backlog": 7 }));
        assert_eq!((first.from.as_deref(), second.from.as_deref()), (Some("u.rb:2"), None));
        assert_eq!(second.value, json!({ "address": "/s" }));
        assert!(all.len() > TABLE.len());
        assert!(of_told(&json!({ "timeout": 20 })).iter().all(|setting| setting.from.as_deref() == Some("unknown")));
    }
}
