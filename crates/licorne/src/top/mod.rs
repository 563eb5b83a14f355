//! `licorne top`: a master and its workers, live.
//!
//! | module | what it does |
//! |---|---|
//! | `view` | what is shown, and what keys and answers do to it |
//! | `question` | asks the master, on a thread of its own |
//! | `screen` | the view as lines |
//! | `terminal` | takes the terminal, and gives it back |

mod question;
mod screen;
mod terminal;
mod view;

use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;

use crossterm::event::{self, Event};
use sys::signals::{Signal, Signals};

use crate::client::Which;
use crate::error::Error;
use question::{Answered, Question};
use terminal::Screen;
use view::{Then, View};

/// The options of `licorne top`.
#[derive(Debug, clap::Args)]
pub(crate) struct Top {
    #[command(flatten)]
    which: Which,
}

/// What happens to it.
enum Happened {
    Told(Answered),
    Terminal(Event),
    /// A signal, or the terminal is gone.
    End,
}

impl Top {
    /// Runs it.
    ///
    /// # Errors
    /// No master, or no terminal that can show it.
    pub(crate) fn run(self) -> Result<u8, Error> {
        let master = match self.which.find("top")? {
            Ok(master) => master,
            Err(status) => return Ok(status),
        };
        let signals = Signals::listen()?;
        let mut screen = Screen::take()?;
        let (happens, happened) = channel();
        let (asks, questions) = channel();
        let tells = happens.clone();
        thread::spawn(move || {
            question::ask(&self.which, master, &questions, |told| tells.send(Happened::Told(told)).ok());
        });
        let types = happens.clone();
        thread::spawn(move || read_keys(&types));
        thread::spawn(move || hear_signals(signals, &happens));
        show(&mut screen, &happened, &asks)?;
        Ok(0)
    }
}

fn show(screen: &mut Screen, happened: &Receiver<Happened>, asks: &Sender<Question>) -> Result<(), Error> {
    let mut view = View::new();
    loop {
        screen.draw(&mut view)?;
        let Ok(first) = happened.recv() else { return Ok(()) };
        // A held key is drawn once for all that it has sent meanwhile.
        for happened in std::iter::once(first).chain(std::iter::from_fn(|| happened.try_recv().ok())) {
            let then = match happened {
                Happened::End => Then::Quit,
                Happened::Told(told) => view.hear(told, Instant::now()),
                Happened::Terminal(event) => terminal::key(&event).map_or(Then::Draw, |key| view.press(key)),
            };
            match then {
                Then::Draw => {}
                Then::Ask(question) => drop(asks.send(question)),
                Then::Quit => return Ok(()),
            }
        }
    }
}

fn read_keys(happens: &Sender<Happened>) {
    while let Ok(event) = event::read() {
        if happens.send(Happened::Terminal(event)).is_err() {
            return;
        }
    }
    let _ = happens.send(Happened::End);
}

/// Waits for a signal that ends a program: the terminal has to be given back first.
fn hear_signals(mut signals: Signals, happens: &Sender<Happened>) {
    let ends = |signal| matches!(signal, Signal::Term | Signal::Hup | Signal::Int | Signal::Quit);
    loop {
        if sys::poll::wait(&[signals.as_fd()], &[], None).is_err() {
            return;
        }
        if signals.take().iter().any(|delivered| ends(delivered.signal)) {
            let _ = happens.send(Happened::End);
        }
    }
}
