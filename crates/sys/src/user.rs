//! The user that the application runs as, and acting as that user in the file system.
//!
//! A root master opens, creates and removes what is in directories of that user with the user's own rights, so that
//! nothing put there can make it do more. See setfsuid(2), credentials(7), capabilities(7) ("Effect of user ID changes on
//! capabilities": with a file system user other than 0 the capabilities that override permissions are not effective).

use std::ffi::CString;

use nix::unistd::{setfsgid, setfsuid};
use rustix::process::{DumpableBehavior, Gid, getegid, geteuid};
use rustix::thread::CapabilitySet;

use crate::{Error, Result};

/// A user, with the groups that its processes have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The login name.
    pub name: String,
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
    /// All groups, the first among them.
    pub groups: Vec<u32>,
}

impl User {
    /// Looks up a user, and the group that is to take the place of the user's own. See getpwnam(3), getgrouplist(3). That
    /// may ask a server and wait for it: not for the master.
    pub fn look_up(name: &str, group: Option<&str>) -> Option<Self> {
        let user = nix::unistd::User::from_name(name).ok()??;
        let gid = match group {
            Some(group) => nix::unistd::Group::from_name(group).ok()??.gid,
            None => user.gid,
        };
        let groups = nix::unistd::getgrouplist(&CString::new(name).ok()?, gid).ok()?;
        let groups = groups.into_iter().map(nix::unistd::Gid::as_raw).collect();
        Some(Self { name: name.to_string(), uid: user.uid.as_raw(), gid: gid.as_raw(), groups })
    }

    /// Whether this process may act as this user and has reason to: it is root, and the user is not.
    pub(crate) fn is_other(&self) -> bool {
        self.uid != 0 && geteuid().is_root()
    }

    /// Makes this process one of this user's, for good. See setresuid(2), credentials(7).
    ///
    /// # Errors
    /// It is not root, or may not (a container that has dropped `CAP_SETUID` or `CAP_SETGID`).
    pub fn become_it(&self) -> Result<()> {
        let failed = |call: &'static str| move |errno: nix::Error| Error::call(call)(std::io::Error::from(errno));
        let (uid, gid) = (self.uid.into(), self.gid.into());
        nix::unistd::setgroups(&[gid]).map_err(failed("setgroups"))?;
        nix::unistd::setresgid(gid, gid, gid).map_err(failed("setresgid"))?;
        nix::unistd::setresuid(uid, uid, uid).map_err(failed("setresuid"))
    }

    /// Runs `deed` with this user's rights in the file system, on this thread alone. A process that is not root, or whose
    /// user is, acts as itself.
    ///
    /// # Errors
    /// The rights cannot be changed (a container that has dropped `CAP_SETUID` or `CAP_SETGID`): then nothing was done.
    /// Those of `deed`.
    pub fn act<T>(&self, deed: impl FnOnce() -> Result<T>) -> Result<T> {
        if !self.is_other() {
            return deed();
        }
        let acting =
            Acting { groups: rustix::process::getgroups().map_err(Error::call("getgroups"))?, dumpable: dumpable() };
        acting.begin(self)?;
        deed()
    }
}

/// What this thread has to become again.
struct Acting {
    groups: Vec<Gid>,
    dumpable: Option<DumpableBehavior>,
}

impl Acting {
    fn begin(&self, user: &User) -> Result<()> {
        let refused = |call: &'static str| Error::call(call)(rustix::io::Errno::PERM);
        let groups: Vec<Gid> = user.groups.iter().map(|group| Gid::from_raw(*group)).collect();
        // For this thread only, unlike setgroups(3).
        rustix::thread::set_thread_groups(&groups).map_err(Error::call("setgroups"))?;
        let (uid, gid) = (user.uid.into(), user.gid.into());
        setfsgid(gid);
        setfsuid(uid);
        // They tell nothing but what it was before. Asking for what is set already tells whether it is.
        if setfsgid(gid) != gid || setfsuid(uid) != uid {
            return Err(refused("setfsuid"));
        }
        // The kernel takes these with the user, unless SECBIT_NO_SETUID_FIXUP is set.
        let overrides = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH | CapabilitySet::FOWNER;
        let capabilities = rustix::thread::capabilities(None).map_err(Error::call("capget"))?;
        if capabilities.effective.intersects(overrides) {
            return Err(refused("setfsuid"));
        }
        Ok(())
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        // To what this thread's effective ids are, which is always allowed.
        setfsuid(geteuid().as_raw().into());
        setfsgid(getegid().as_raw().into());
        let _ = rustix::thread::set_thread_groups(&self.groups);
        // A change of user takes this too: it is what lets the process write a core file.
        if let Some(before) = self.dumpable {
            let _ = rustix::process::set_dumpable_behavior(before);
        }
    }
}

fn dumpable() -> Option<DumpableBehavior> {
    rustix::process::dumpable_behavior().ok().filter(|before| *before != DumpableBehavior::DumpableReadableOnlyByRoot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_root_are_out_of_reach_while_root_acts_as_another_user() {
        if !geteuid().is_root() {
            return;
        }
        let path = std::env::temp_dir().join(format!("licorne-user-{}", std::process::id()));
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let open = || std::fs::File::open(&path).map_err(Error::path("open", &path));
        let groups = rustix::process::getgroups().unwrap();
        let nobody = User::look_up("nobody", None).unwrap();
        assert!(nobody.act(open).unwrap_err().chain().contains("Permission denied"));
        assert!(open().is_ok());
        assert_eq!(rustix::process::getgroups().unwrap(), groups);
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), DumpableBehavior::Dumpable);
        let root = User { uid: 0, gid: 0, groups: Vec::new(), name: "root".into() };
        assert!(root.act(open).is_ok());
        std::fs::remove_file(&path).unwrap();
    }
}
