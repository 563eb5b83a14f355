//! From one entry of a directive to its row in the table, its field in [`crate::Settings`] and its default there.

use serde::de::IntoDeserializer;
use serde::de::value::{Error, UnitDeserializer};

use crate::record::Setting;
use crate::{Default, Directive, Kind};

/// Defines the table of all directives, and the struct of their values in groups. `NAME: TYPE = ENTRY;` is a directive
/// whose value is of that type; one without a type is told in another form (see [`crate::Configuration`]).
macro_rules! directives {
    ($($(#[$about:meta])* $group:ident: $Group:ident { $($name:ident $(: $type:ty)? = $entry:expr;)* })*) => {
        /// Every directive, by groups, in the order in which the reference shows it.
        pub const TABLE: &[Directive] = &[$($(Directive { name: stringify!($name), ..$entry },)*)*];

        $($crate::record::record! {
            $(#[$about])*
            $Group {
                $($(
                    #[doc = concat!("The value of `", stringify!($name), "`.")]
                    $name: $type,
                )?)*
            }
        })*

        /// The values of all directives, by groups. [`core::default::Default`] has those of an empty configuration.
        #[derive(Clone, Debug, PartialEq, serde::Deserialize)]
        pub struct Settings {
            $($(#[$about])* #[serde(flatten)] pub $group: $Group,)*
        }

        impl core::default::Default for Settings {
            fn default() -> Self {
                Self { $($group: $Group { $($($name: $crate::settings::default::<$type>(&$entry),)?)* },)* }
            }
        }
    };
}
pub(crate) use directives;

/// Defines an enum of words, with the list of them for [`Kind::Choice`].
macro_rules! choice {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// What a configuration writes.
            pub const WORDS: &[&str] = &[$($word),*];
        }

        $crate::record::plain!($name);
    };
}
pub(crate) use choice;

/// The value of a directive that the configuration does not set.
pub(crate) fn default<T: Setting>(directive: &Directive) -> T {
    // The value of a hook is whether it was given.
    let default = if let Kind::Hook { .. } = directive.kind { Default::Bool(false) } else { directive.default };
    read(default)
}

/// A default as the value of its setting.
pub(crate) fn read<T: Setting>(default: Default) -> T {
    let read: Result<T, Error> = match default {
        Default::Unset | Default::Described(_) => T::read(UnitDeserializer::new()),
        Default::Bool(value) => T::read(value.into_deserializer()),
        Default::Int(number) => T::read(number.into_deserializer()),
        Default::Float(number) => T::read(number.into_deserializer()),
        Default::Symbol(word) => T::read(word.into_deserializer()),
    };
    read.expect("a test reads the defaults of the whole table")
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use crate::{Listener, Settings, TermSignal};
    use core::time::Duration;
    use serde::Deserialize;
    use serde_json::{Value, json};

    /// What a mold reports of an empty configuration.
    fn silent() -> Value {
        let value = |directive: &crate::Directive| match (directive.kind, directive.default.value()) {
            (crate::Kind::Hook { .. }, _) => json!(false),
            (_, crate::Value::Bool(value)) => json!(value),
            (_, crate::Value::Int(number)) => json!(number),
            (_, crate::Value::Float(number)) => json!(number),
            (_, crate::Value::Symbol(word)) => json!(word),
            _ => Value::Null,
        };
        crate::TABLE.iter().map(|directive| (directive.name.to_string(), value(directive))).collect()
    }

    #[test]
    fn an_empty_configuration_yields_the_defaults() {
        assert_eq!(Settings::deserialize(silent()).unwrap(), Settings::default());
    }

    #[test]
    fn values_are_read_by_their_names_and_later_ones_ignored() {
        let mut told = silent();
        told["timeout"] = json!(5);
        told["header_timeout"] = json!(0.25);
        told["term_signal"] = json!("quick");
        told["user"] = json!(["www", null]);
        told["write_timeout"] = json!(1e300);
        told["a_directive_to_come"] = json!({ "x": [1] });
        let settings = Settings::deserialize(told).unwrap();
        assert_eq!(settings.processes.timeout, Duration::from_secs(5));
        assert_eq!(settings.connections.header_timeout, Duration::from_millis(250));
        assert_eq!(settings.connections.write_timeout, Duration::from_secs(1_000_000_000));
        assert_eq!(
            (settings.processes.term_signal, settings.system.user),
            (TermSignal::Quick, Some(("www".into(), None)))
        );
    }

    #[test]
    fn a_missing_or_wrong_value_is_named() {
        for directive in crate::TABLE {
            let mut told = silent();
            told.as_object_mut().unwrap().remove(directive.name);
            let error = Settings::deserialize(told).map(|_| ()).map_err(|error| error.to_string());
            match directive.name {
                "listen" | "logger" => assert_eq!(error, Ok(()), "told in another form"),
                name => assert_eq!(error, Err(std::format!("missing field `{name}`"))),
            }
        }
        let cases = [
            ("worker_processes", json!(99_999_999_999_u64), "no whole number in range: 99999999999"),
            ("timeout", json!("x"), "invalid type: string \"x\", expected f64"),
            ("timeout", json!(null), "invalid type: null, expected f64"),
            ("upgrade", json!("x"), "unknown variant `x`, expected one of `auto`, `two_masters`, `in_place`"),
        ];
        for (name, value, want) in cases {
            let mut told = silent();
            told[name] = value;
            let error = Settings::deserialize(told).unwrap_err();
            assert_eq!(error.to_string(), std::format!("{name}: {want}"));
        }
        let error = Listener::deserialize(json!({ "address": "8080" })).unwrap_err();
        assert_eq!(error.to_string(), "missing field `resolved`");
    }
}
