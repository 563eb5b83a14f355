//! A real sshd for one test: on loopback, with keys that are made for it, for the user that runs the test.
//!
//! It is started for each connection, as inetd and systemd's `ssh@.service` do (sshd(8), `-i`): so the test has bound the
//! port that it listens on, and knows when the last connection has ended.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::process::{self, Watch, run};
use crate::{patience, program};

/// A machine that can be logged in to.
#[derive(Debug)]
pub struct Sshd {
    address: SocketAddr,
    directory: PathBuf,
    ends: Arc<AtomicBool>,
    listening: Option<JoinHandle<Vec<Child>>>,
}

impl Sshd {
    /// Starts it, with its files in `directory`, which it makes. `entering` is put in front of the program: with
    /// `ip netns exec NAME`, who logs in arrives in that network.
    #[must_use]
    #[track_caller]
    pub fn start(directory: &Path, entering: &[String]) -> Sshd {
        fs::create_dir_all(directory).expect("the test's directory can be written");
        if rustix::process::geteuid().is_root() {
            // Where its unit would have had it made. See sshd(8), FILES.
            fs::create_dir_all("/run/sshd").expect("root can write there");
        }
        let at = directory.display();
        for key in ["host_key", "user_key"] {
            let mut command = Command::new("ssh-keygen");
            command.args(["-q", "-t", "ed25519", "-N", "", "-f", &format!("{at}/{key}")]);
            let finished = run(&mut command, patience());
            assert!(finished.status.success(), "{finished:#?}");
        }
        fs::copy(directory.join("user_key.pub"), directory.join("authorized_keys")).expect("the key is there");
        let here = program::path().parent().map(|path| path.display().to_string()).unwrap_or_default();
        // With SHLVL bash does not read ~/.bashrc, which is of the person who runs the test, for each command.
        let configuration = format!(
            "HostKey {at}/host_key\nAuthorizedKeysFile {at}/authorized_keys\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nPermitRootLogin prohibit-password\nPidFile none\nPrintLastLog no\n\
             Subsystem sftp internal-sftp\nSetEnv SHLVL=2 LANG=C.UTF-8 PATH={here}:/usr/local/bin:/usr/bin:/bin\n"
        );
        fs::write(directory.join("sshd_config"), configuration).expect("the test's directory can be written");

        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let ends = Arc::new(AtomicBool::new(false));
        let inetd = Inetd { listener, ends: ends.clone(), entering: entering.to_vec(), directory: directory.into() };
        let listening = std::thread::Builder::new().name("inetd".into()).spawn(move || inetd.run());
        let listening = Some(listening.expect("a thread can be started"));
        Sshd { address, directory: directory.to_path_buf(), ends, listening }
    }

    /// The lines of an ssh_config(5) by which it is called `name`.
    #[must_use]
    pub fn client_configuration(&self, name: &str) -> String {
        let at = self.directory.display();
        format!(
            "Host {name}\n  HostName {}\n  Port {}\n  IdentityFile {at}/user_key\n  IdentitiesOnly yes\n  \
             UserKnownHostsFile {at}/known_hosts\n  StrictHostKeyChecking accept-new\n  LogLevel ERROR\n",
            self.address.ip(),
            self.address.port()
        )
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // It waits for a connection, and sees then that it is to end.
        let woken = TcpStream::connect(self.address);
        let Some(children) = self.listening.take().and_then(|thread| thread.join().ok()) else { return };
        drop(woken);
        for mut child in children {
            let watch = Watch::on(child.id());
            if let Some(watch) = watch.filter(|watch| !watch.wait(patience())) {
                watch.signal(rustix::process::Signal::KILL);
            }
            let _ = child.wait();
            process::waited_for(child.id());
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.directory.join("sshd.log")).unwrap_or_default();
            eprintln!("━━ sshd ━━\n{log}━━━━");
        }
    }
}

/// What starts an sshd for each connection.
struct Inetd {
    listener: TcpListener,
    ends: Arc<AtomicBool>,
    entering: Vec<String>,
    directory: PathBuf,
}

impl Inetd {
    fn run(self) -> Vec<Child> {
        let mut children = Vec::new();
        for connection in self.listener.incoming() {
            if self.ends.load(Ordering::SeqCst) {
                break;
            }
            let child = self.serve(connection.expect("a connection can be accepted"));
            process::started(child.id());
            children.push(child);
        }
        children
    }

    fn serve(&self, connection: TcpStream) -> Child {
        let at = self.directory.display();
        let mut words = self.entering.clone();
        words.extend(["/usr/sbin/sshd".into(), "-i".into(), "-f".into(), format!("{at}/sshd_config")]);
        words.extend(["-E".into(), format!("{at}/sshd.log")]);
        let output = OwnedFd::from(connection.try_clone().expect("descriptors are left"));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(OwnedFd::from(connection)).stdout(output);
        command.spawn().unwrap_or_else(|error| panic!("failed to start {words:?}: {error}"))
    }
}
