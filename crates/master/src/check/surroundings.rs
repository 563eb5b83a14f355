//! What the machine gives: files that can be written, descriptors, addresses that are free.

use std::path::Path;

use sys::listener::Address;

use crate::check::finding::Finding;
use crate::config::settings::Settings;

/// Descriptors that a worker has beside its connections: the streams, its sockets, files of the application.
const SPARE_FILES: u64 = 64;
/// A page with its pictures takes some; behind a proxy each of its connections is one.
const FEW_CONNECTIONS: u64 = 256;

/// Looks at what these settings need, of a server that is started in this directory.
pub(super) fn look(settings: &Settings, start: &Path, found: &mut Vec<Finding>) {
    let directory = settings.working_directory().map_or_else(|| start.to_path_buf(), |place| start.join(place));
    let files = [
        ("pid", settings.pid()),
        ("stdout_path", settings.stdout_path()),
        ("stderr_path", settings.stderr_path()),
        ("control", settings.control()),
    ];
    let before = found.len();
    for (directive, path) in files.into_iter().filter_map(|(directive, path)| Some((directive, path?))) {
        if let Err(why) = can_be_written(&directory.join(path)) {
            found.push(Finding::error("rights", format!("{directive} {}: {why}", path.display())));
        }
    }
    if found.len() == before {
        found.push(Finding::fine("rights", "files can be written"));
    }
    listeners(settings, found);
    limits(found);
}

/// Whether this process may write this file, or make it.
fn can_be_written(path: &Path) -> std::io::Result<()> {
    let place = if path.exists() {
        path
    } else {
        path.parent().filter(|at| at.is_dir()).ok_or(std::io::ErrorKind::NotFound)?
    };
    sys::process::may_write(place)
}

fn listeners(settings: &Settings, found: &mut Vec<Finding>) {
    for wanted in &settings.listeners {
        let address = match wanted.address() {
            Ok(address) => address,
            Err(error) => {
                found.push(Finding::error("listeners", wanted.explain(error)));
                continue;
            }
        };
        let writable = match &address {
            Address::Unix(path) => can_be_written(path),
            Address::Tcp(_) => Ok(()),
        };
        found.push(if sys::listener::is_answered(&address) {
            let text = format!("{address} is in use, which is right if it is this server's that runs");
            Finding::warning("listeners", text)
        } else if let Err(why) = writable {
            Finding::error("listeners", format!("{address}: {why}"))
        } else {
            Finding::fine("listeners", format!("{address} is free"))
        });
    }
}

fn limits(found: &mut Vec<Finding>) {
    let Some(limit) = sys::process::open_files_limit() else { return };
    let connections = limit.saturating_sub(SPARE_FILES);
    let text = format!("{limit} open files leave room for about {connections} connections of each worker");
    found.push(if connections < FEW_CONNECTIONS {
        Finding::warning("limits", format!("{text}: raise LimitNOFILE= (ulimit -n)"))
    } else {
        Finding::fine("limits", text)
    });
}
