//! The unit's store: sockets that the service manager keeps, so that they outlive a master. See sd_pid_notify_with_fds(3).

use std::collections::BTreeSet;
use std::os::fd::AsFd;

use sys::notify::Notifier;

use crate::log::lines::Log;
use crate::sockets::bound::Listeners;
use crate::sockets::inherited::store_name;

/// What the manager keeps for this unit.
#[derive(Debug, Default)]
pub(crate) struct FdStore {
    /// How many descriptors it keeps.
    room: usize,
    /// What it keeps: names, and which sockets these are of.
    stored: BTreeSet<(String, u64)>,
}

impl FdStore {
    /// One that nothing is known to be in.
    pub(crate) fn of_room(room: usize) -> Self {
        Self { room, stored: BTreeSet::new() }
    }

    /// The program before this one has stored those of these sockets that are its own.
    pub(crate) fn stored_already(&mut self, listeners: &Listeners) {
        if self.room > 0 {
            self.stored = own_names(listeners);
        }
    }

    /// Puts these sockets into the store, and takes out what is not among them; `before` may be there already.
    pub(crate) fn replace(&mut self, notifier: &Notifier, listeners: &Listeners, before: &Listeners, log: &Log) {
        if self.room == 0 {
            return;
        }
        self.stored.extend(own_names(before));
        let wanted = own_names(listeners);
        if wanted.len() > self.room && wanted != self.stored {
            log.error(format_args!(
                "{} sockets, and the service manager keeps {}: raise FileDescriptorStoreMax= (and FDSTORE=)",
                wanted.len(),
                self.room
            ));
        }
        // First what is to go: a socket that was bound anew has the name of the one before, and the manager would keep,
        // and give back, both.
        let stale: BTreeSet<&String> = self.stored.difference(&wanted).map(|(name, _)| name).collect();
        for name in stale {
            // What it has no room for now stays in its store, and costs nothing but that place.
            let _ = notifier.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}"), &[]);
        }
        for bound in listeners.iter().filter(|bound| bound.activated_as.is_none()) {
            let message = format!("FDSTORE=1\nFDNAME={}", store_name(bound));
            // What is there already is kept once.
            if let Err(error) = notifier.send(&message, &[bound.socket.as_fd()]) {
                log.error(format_args!("cannot store {}: {}", bound.socket.name(), error.chain()));
            }
        }
        self.stored = wanted;
    }
}

/// The names of those sockets that are not the manager's own.
fn own_names(listeners: &Listeners) -> BTreeSet<(String, u64)> {
    let own = listeners.iter().filter(|bound| bound.activated_as.is_none());
    own.map(|bound| (store_name(bound), bound.socket.identity())).collect()
}
