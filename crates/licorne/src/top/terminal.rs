//! The terminal: taken, drawn on, and given back as it was, however the program ends.

use std::io::{BufWriter, IsTerminal, Stdout, stdin, stdout};
use std::time::Instant;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{cursor, execute};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use crate::error::Error;
use crate::top::screen;
use crate::top::view::{Key, View};

/// A terminal that draws views. It is as it was when this goes out of scope.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// There is none, or one that cannot place characters.
    pub(crate) fn take() -> Result<Self, Error> {
        if !stdin().is_terminal() || !stdout().is_terminal() {
            return Err(Error::NoScreen("standard input and output are not a terminal"));
        }
        match std::env::var("TERM").as_deref() {
            Ok("dumb") => return Err(Error::NoScreen("a terminal with TERM=dumb cannot show it")),
            Ok("") | Err(_) => {
                return Err(Error::NoScreen("TERM is not set: it is not known what the terminal can do"));
            }
            Ok(_) => {}
        }
        let terminal = Terminal::new(CrosstermBackend::new(BufWriter::new(stdout()))).map_err(Error::Terminal)?;
        enable_raw_mode().map_err(Error::Terminal)?;
        // From here on it is given back.
        let screen = Self { terminal };
        execute!(stdout(), EnterAlternateScreen, cursor::Hide).map_err(Error::Terminal)?;
        Ok(screen)
    }

    /// Draws a view.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(crate) fn draw(&mut self, view: &mut View) -> Result<(), Error> {
        self.terminal.draw(|frame| screen::draw(frame, view, Instant::now())).map_err(Error::Terminal)?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = execute!(stdout(), LeaveAlternateScreen, cursor::Show);
        let _ = disable_raw_mode();
    }
}

/// What an event of the terminal means; `None` when it means nothing but that it is to be drawn.
pub(crate) fn key(event: &Event) -> Option<Key> {
    let Event::Key(KeyEvent { code, modifiers, kind, .. }) = event else { return None };
    if *kind == KeyEventKind::Release {
        return None;
    }
    Some(match code {
        KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Key::Interrupt,
        KeyCode::Char('<' | ',') => Key::Left,
        KeyCode::Char('>' | '.') => Key::Right,
        KeyCode::Char(character) if !modifiers.contains(KeyModifiers::CONTROL) => {
            Key::Character(character.to_ascii_lowercase())
        }
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        _ => return None,
    })
}
