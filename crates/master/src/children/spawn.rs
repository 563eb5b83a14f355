//! Starts the process of a mold.

use std::ffi::OsString;
use std::os::fd::AsFd;

use sys::channel::Channel;
use sys::spawn::Program;

use crate::config::owner::Boot;
use crate::environment;

/// The number under which a mold gets its control socket.
const CONTROL_FD: i32 = 3;

/// Starts the Ruby process of a mold. Returns its process id; `control` becomes its control socket.
///
/// # Errors
/// There is no such Ruby, no process can be made.
pub(crate) fn start_mold(boot: &Boot, control: &Channel) -> sys::Result<u32> {
    let mut program = Program::new(&boot.ruby);
    for path in &boot.load_path {
        program.arguments.push("-I".into());
        program.arguments.push(path.into());
    }
    program.arguments.extend(["-r", "licorne/mold", "-e", "Licorne::Mold.start"].map(OsString::from));
    program.unset = environment::PRIVATE.iter().map(OsString::from).collect();
    program.set = boot.variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
    program.set.extend([
        ("LICORNE_CONTROL_FD".into(), CONTROL_FD.to_string().into()),
        ("PWD".into(), boot.directory.as_os_str().to_owned()),
    ]);
    program.directory = Some(boot.directory.clone());
    program.inherit = vec![(control.as_fd(), CONTROL_FD)];
    program.spawn()
}
