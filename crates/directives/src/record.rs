//! Structs that are read as a mold tells them: each key must be there, even where its value is `null`. Unknown keys are
//! ignored, since a program may read what a mold of a later one has told.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Display;
use core::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, MapAccess};

/// Defines a struct and reads it from a map, by the names of its fields. Errors name the key.
macro_rules! record {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[$doc])* pub $field: $type,)*
        }

        impl<'de> serde::de::Deserialize<'de> for $name {
            fn deserialize<D: serde::de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Reader;

                impl<'de> serde::de::Visitor<'de> for Reader {
                    type Value = $name;

                    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                        f.write_str("settings by their names")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        $(let mut $field = None;)*
                        while let Some(key) = map.next_key::<alloc::string::String>()? {
                            match key.as_str() {
                                $(stringify!($field) => $field = Some($crate::record::value(&mut map, &key)?),)*
                                _ => {
                                    map.next_value::<serde::de::IgnoredAny>()?;
                                }
                            }
                        }
                        Ok($name { $($field: $crate::record::present($field, stringify!($field))?,)* })
                    }
                }

                deserializer.deserialize_map(Reader)
            }
        }
    };
}
pub(crate) use record;

/// A type that settings are of.
pub(crate) trait Setting: Sized {
    /// Reads it.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// Reads the value of a key.
pub(crate) fn value<'de, T: Setting, A: MapAccess<'de>>(map: &mut A, key: &str) -> Result<T, A::Error> {
    struct Read<T>(T);

    impl<'de, T: Setting> Deserialize<'de> for Read<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            T::read(deserializer).map(Self)
        }
    }

    let read = map.next_value::<Read<T>>();
    read.map(|read| read.0).map_err(|error| A::Error::custom(format!("{key}: {error}")))
}

/// Requires that a key was there.
pub(crate) fn present<T, E: Error>(value: Option<T>, key: &'static str) -> Result<T, E> {
    value.ok_or_else(|| E::missing_field(key))
}

/// Has a type be read as serde reads it.
macro_rules! plain {
    ($($type:ty),* $(,)?) => {$(
        impl $crate::record::Setting for $type {
            fn read<'de, D: serde::de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                serde::de::Deserialize::deserialize(deserializer)
            }
        }
    )*};
}
pub(crate) use plain;

plain!(bool, f64, i64, String, Option<bool>, Option<i64>, Option<String>, Option<Vec<String>>);
plain!(Option<(String, Option<String>)>);

macro_rules! whole {
    ($($type:ty),*) => {$(
        impl Setting for $type {
            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let number = u64::deserialize(deserializer)?;
                number.try_into().map_err(|_| out_of_range(number))
            }
        }
    )*};
}

whole!(u32, u64, usize);

fn out_of_range<E: Error>(number: impl Display) -> E {
    E::custom(format!("no whole number in range: {number}"))
}

/// Longer ones are for ever, too: more than thirty years.
const LONGEST_SECONDS: f64 = 1e9;

/// A number of seconds.
impl Setting for Duration {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from_secs_f64(f64::deserialize(deserializer)?.min(LONGEST_SECONDS)).map_err(D::Error::custom)
    }
}

/// `nil` is none.
impl Setting for Vec<String> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Option::unwrap_or_default)
    }
}
