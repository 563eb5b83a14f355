//! What every test of an upgrade needs: the recipe that configurations have, and the two masters.

use rustix::process::Signal;

use crate::process::Watch;
use crate::server::Server;

/// The recipe of Unicorn's users: the first worker of the new master sends QUIT to the old one.
pub const RECIPE: &str = r##"
before_fork do |server, worker|
  old_pid = "#{server.config[:pid]}.oldbin"
  if File.exist?(old_pid) && server.pid != old_pid
    begin
      Process.kill("QUIT", File.read(old_pid).to_i)
    rescue Errno::ENOENT, Errno::ESRCH
      # someone else did our job for us
    end
  end
end
"##;

impl Server {
    /// Waits until the pid file names another master than `old`, and returns it.
    #[track_caller]
    pub fn new_master(&self, old: u32) -> u32 {
        self.eventually("a new master in the pid file", || self.pid_in_file("server.pid").filter(|pid| *pid != old))
    }

    /// Stops the master that an upgrade has left, and asserts that nothing remains of the server.
    #[track_caller]
    pub fn stop_successor(&self, master: u32) {
        let watch = Watch::on(master).expect("the new master is there");
        watch.signal(Signal::QUIT);
        assert!(watch.wait(crate::patience()), "the new master did not stop");
        self.assert_nothing_is_left();
    }
}
