//! Log lines on standard error, in unicornherder's format: `2026-11-21 19:42:33,392  INFO      unicorn booted (PID 5560)`.

use herder::Level;

/// Where lines go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log {
    least: Level,
}

impl Log {
    /// The level that `UNICORNHERDER_LOGLEVEL` names, in upper or lower case; INFO without a known one.
    pub(crate) fn from_environment() -> Self {
        Self { least: least(&std::env::var("UNICORNHERDER_LOGLEVEL").unwrap_or_default()) }
    }

    /// Writes a line. It neither fails when the reader has gone, nor waits when it does not read.
    pub(crate) fn write(self, level: Level, text: &str) {
        if level >= self.least {
            for line in text.trim_end_matches('\n').split('\n') {
                sys::stderr::write_line(&format(level, &sys::text::printable(line)), lost);
            }
        }
    }

    /// Says how many lines were lost, if any were and there is room for this one.
    pub(crate) fn tell_lost() {
        sys::stderr::tell_lost(lost);
    }
}

fn lost(count: u64) -> String {
    let (lines, were) = if count == 1 { ("line", "was") } else { ("lines", "were") };
    format(Level::Warn, &format!("{count} log {lines} {were} lost: standard error took no more"))
}

fn format(level: Level, text: &str) -> String {
    let time = sys::clock::local_timestamp().replace('T', " ").replace('.', ",");
    let time = time.get(..23).unwrap_or(&time);
    format!("{time}  {:<8}  {text}", name(level))
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warn => "WARNING",
        Level::Error => "ERROR",
    }
}

fn least(word: &str) -> Level {
    match word.to_ascii_uppercase().as_str() {
        "DEBUG" => Level::Debug,
        "WARN" | "WARNING" => Level::Warn,
        // Nothing is more than an error here.
        "ERROR" | "CRITICAL" | "FATAL" => Level::Error,
        _ => Level::Info,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_in_any_case_and_unknown_ones_ignored() {
        for (word, want) in [
            ("", Level::Info),
            ("debug", Level::Debug),
            ("Warn", Level::Warn),
            ("FATAL", Level::Error),
            ("loud", Level::Info),
        ] {
            assert_eq!(least(word), want, "{word}");
        }
    }
}
