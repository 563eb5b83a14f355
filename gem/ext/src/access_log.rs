//! The access log and the ids of requests, as the configuration asks for them.

use std::path::PathBuf;

use access_log::{Format, Process, Redact};
use directives::{AccessLog as Asked, Settings};
use http1::forwarded::Trusted;
use magnus::{Error, Ruby};
use reactor::{AccessLog, Records, Shape};
use scoreboard::Seat;
use sys::log_output::LogOutput;
use sys::user::User;

use crate::core::Core;
use crate::error::system_error;
use crate::ffi;

/// Where the log is, to open it anew.
pub(crate) enum Place {
    /// There is no log.
    Nowhere,
    /// Standard output, which others may have pointed at another file.
    Stdout,
    /// A file, and the user that it is opened for.
    File(PathBuf, Option<(String, Option<String>)>),
}

/// What is to be noted of requests; `None`: nothing. `opened` is the descriptor of the log, if it is a file that could be
/// opened.
///
/// # Errors
/// The format is none, or the system gives no random numbers.
pub(crate) fn records(
    ruby: &Ruby,
    settings: &Settings,
    proxies: Option<Trusted>,
    opened: Option<i32>,
    seat: Seat<'static>,
) -> Result<Option<Records>, Error> {
    let requests = &settings.requests;
    if requests.access_log.is_none() && !requests.request_id {
        return Ok(None);
    }
    let log = match &requests.access_log {
        Some(asked) => Some(AccessLog::new(shape(ruby, asked, seat)?, output(ruby, asked, opened)?, seat)),
        None => None,
    };
    let records = Records::new(proxies, log).map_err(|error| system_error(ruby, "getrandom", &error))?;
    Ok(Some(records))
}

fn shape(ruby: &Ruby, asked: &Asked, seat: Seat<'_>) -> Result<Shape, Error> {
    let refuse = |text: String| Error::new(ruby.exception_arg_error(), text);
    let redact = if asked.hide_query { Redact::Query } else { Redact::names(&asked.redact) };
    Ok(Shape {
        format: Format::parse(&asked.format).map_err(|mistake| refuse(mistake.to_string()))?,
        redact,
        slow_ns: (asked.slow_only.unwrap_or(0.0) * 1e9) as u64,
        process: Process { slot: seat.slot(), generation: seat.generation(), pid: std::process::id() },
    })
}

fn output(ruby: &Ruby, asked: &Asked, opened: Option<i32>) -> Result<Option<LogOutput>, Error> {
    match (&asked.path, opened) {
        (None, _) => Ok(LogOutput::stdout().ok()),
        (Some(_), None) => Ok(None),
        (Some(_), Some(number)) => {
            let fd = ffi::adopt_descriptor(number).map_err(|error| system_error(ruby, "access_log", &error))?;
            ffi::keep_from_children(std::os::fd::AsRawFd::as_raw_fd(&fd));
            Ok(Some(LogOutput::new(fd)))
        }
    }
}

impl Place {
    /// Where the configuration wants it.
    pub(crate) fn of(settings: &Settings) -> Self {
        match &settings.requests.access_log {
            None => Self::Nowhere,
            Some(Asked { path: None, .. }) => Self::Stdout,
            Some(Asked { path: Some(path), .. }) => Self::File(path.into(), settings.system.user.clone()),
        }
    }

    /// Opens the log anew. When that fails it goes on in the old file.
    ///
    /// # Errors
    /// The text of what failed.
    pub(crate) fn reopen(&self, core: &Core) -> Result<(), String> {
        let output = match self {
            Self::Nowhere => return Ok(()),
            Self::Stdout => LogOutput::stdout().map_err(|error| error.to_string())?,
            Self::File(path, user) => {
                let user = user.as_ref().and_then(|(name, group)| User::look_up(name, group.as_deref()));
                let before = core.reactor().log_owner();
                let file = sys::safe_open::open_log(path, user.as_ref(), before).map_err(|error| error.chain())?;
                LogOutput::new(file.into())
            }
        };
        ffi::keep_from_children(std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(&output)));
        core.reactor().reopen_log(output);
        Ok(())
    }
}
