//! A program in a pseudo-terminal, and what its screen shows. See pty(7).
//!
//! A thread reads what the program writes and plays a terminal (the crate vt100), so that a test waits for what a person would
//! see. The program gets a session of its own with this terminal, which tells it of new sizes.

use std::io::Read;
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

use rustix::process::Signal;
use rustix::pty::OpenptFlags;
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::process::{self, Watch};

/// What the program has drawn, shared with the thread that reads.
type Drawn = Arc<(Mutex<vt100::Parser>, Condvar)>;

/// A terminal with a program in it. The program is killed when this goes out of scope.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    watch: Watch,
    /// The terminal's own end.
    control: OwnedFd,
    /// The program's end, so that modes can be looked at when the program has ended.
    device: OwnedFd,
    modes: Termios,
    drawn: Shown,
}

/// The screen.
struct Shown(Drawn);

impl std::fmt::Debug for Shown {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Shown")
    }
}

impl Terminal {
    /// Starts `program` in a terminal of this size.
    #[must_use]
    #[track_caller]
    pub fn start(program: &Path, arguments: &[&str], environment: &[(&str, &str)], rows: u16, columns: u16) -> Self {
        process::adopt_orphans();
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let control = rustix::pty::openpt(flags).expect("there is a pseudo-terminal");
        rustix::pty::grantpt(&control).expect("ours");
        rustix::pty::unlockpt(&control).expect("ours");
        let name = rustix::pty::ptsname(&control, Vec::new()).expect("it has a name");
        let device = rustix::fs::open(
            name,
            rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
        .expect("it is unlocked");
        tcsetwinsize(&control, size(rows, columns)).expect("a size");
        let modes = tcgetattr(&device).expect("it has modes");
        // setsid(1) gives the program the terminal of its standard input.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(program).args(arguments);
        command.env("TERM", "vt100").env_remove("NO_COLOR").env_remove("COLORTERM");
        command.envs(environment.iter().copied());
        let end = || Stdio::from(device.try_clone().expect("there are descriptors"));
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("setsid is there");
        process::started(child.id());
        let watch = Watch::on(child.id()).expect("a child that was not waited for is there");
        let drawn: Drawn = Arc::new((Mutex::new(vt100::Parser::new(cells(rows), cells(columns), 0)), Condvar::new()));
        let source = std::fs::File::from(control.try_clone().expect("there are descriptors"));
        let draws = drawn.clone();
        std::thread::Builder::new().name("terminal".into()).spawn(move || draw(source, &draws)).expect("a thread");
        Self { child, watch, control, device, modes, drawn: Shown(drawn) }
    }

    /// Types bytes: characters, and the sequences that keys send.
    #[track_caller]
    pub fn press(&self, keys: &str) {
        rustix::io::write(&self.control, keys.as_bytes()).expect("a terminal takes some bytes");
    }

    /// Gives it another size, as a person who pulls at the window.
    #[track_caller]
    pub fn resize(&self, rows: u16, columns: u16) {
        self.screen().screen_mut().set_size(cells(rows), cells(columns));
        tcsetwinsize(&self.control, size(rows, columns)).expect("a size");
    }

    /// The text that is shown.
    #[must_use]
    pub fn text(&self) -> String {
        self.screen().screen().contents()
    }

    /// Waits until the screen shows something that `condition` yields a value for.
    #[track_caller]
    pub fn wait_for<T>(&self, what: &str, mut condition: impl FnMut(&str) -> Option<T>) -> T {
        self.wait_on(what, |screen| condition(&screen.contents()))
    }

    /// Waits until the line that begins so shows this text reversed, and nothing else.
    #[track_caller]
    pub fn wait_for_reversed(&self, beginning: &str, text: &str) {
        self.wait_on(&format!("{text:?} reversed"), |screen| {
            let (_, columns) = screen.size();
            let row = screen.rows(0, columns.get()).position(|line| line.starts_with(beginning))?;
            let cells = (0..columns.get()).filter_map(|column| screen.cell(u16::try_from(row).ok()?, column));
            let reversed: String = cells.filter(|cell| cell.inverse()).map(vt100::Cell::contents).collect();
            (reversed.trim() == text).then_some(())
        });
    }

    #[track_caller]
    fn wait_on<T>(&self, what: &str, mut condition: impl FnMut(&vt100::Screen) -> Option<T>) -> T {
        let deadline = Instant::now() + crate::patience();
        let mut parser = self.screen();
        loop {
            if let Some(found) = condition(parser.screen()) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the screen never showed {what}:\n{}", parser.screen().contents());
            parser = self.drawn.0.1.wait_timeout(parser, left).expect("no thread panics with it").0;
        }
    }

    /// Waits until this text is somewhere on the screen, and returns its line.
    #[track_caller]
    pub fn wait_for_text(&self, text: &str) -> String {
        self.wait_for(&format!("{text:?}"), |shown| shown.lines().find(|line| line.contains(text)).map(str::to_owned))
    }

    /// Whether a program has taken the whole screen for itself.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.screen().screen().alternate_screen()
    }

    /// Whether colours were used on what is shown.
    #[must_use]
    pub fn has_colours(&self) -> bool {
        let parser = self.screen();
        let (rows, columns) = parser.screen().size();
        let cells = (0..rows.get()).flat_map(|row| (0..columns.get()).map(move |column| (row, column)));
        cells
            .filter_map(|(row, column)| parser.screen().cell(row, column))
            .any(|cell| cell.fgcolor() != vt100::Color::Default || cell.bgcolor() != vt100::Color::Default)
    }

    /// The process that was started: setsid(1) has become the program.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.watch.pid
    }

    /// Waits for the end of the program, and asserts that the terminal is as it was before: its modes, its screen, its
    /// cursor.
    #[track_caller]
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        assert!(self.watch.wait(crate::patience()), "the program did not end:\n{}", self.text());
        let status = self.child.wait().expect("a child can be waited for");
        process::waited_for(self.watch.pid);
        let modes = tcgetattr(&self.device).expect("it has modes");
        assert_eq!(
            (modes.local_modes, modes.input_modes, modes.output_modes),
            (self.modes.local_modes, self.modes.input_modes, self.modes.output_modes),
            "the modes of the terminal"
        );
        let deadline = Instant::now() + crate::patience();
        let mut parser = self.screen();
        while parser.screen().alternate_screen() || parser.screen().hide_cursor() {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the screen was not given back");
            parser = self.drawn.0.1.wait_timeout(parser, left).expect("no thread panics with it").0;
        }
        drop(parser);
        status
    }

    fn screen(&self) -> MutexGuard<'_, vt100::Parser> {
        self.drawn.0.0.lock().expect("no thread panics with it")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("━━ the terminal of the failed test ━━\n{}\n━━━━", self.text());
        }
        self.watch.signal(Signal::KILL);
        let _ = self.child.wait();
        process::waited_for(self.watch.pid);
    }
}

fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).expect("a terminal has a size")
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn draw(mut source: impl Read, drawn: &Drawn) {
    let mut bytes = [0; 4096];
    while let Ok(count) = source.read(&mut bytes) {
        if count == 0 {
            return;
        }
        let Ok(mut parser) = drawn.0.lock() else { return };
        parser.process(&bytes[..count]);
        drawn.1.notify_all();
    }
}
