//! The terminal: taken, drawn on, and given back as it was, however the program ends.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write, stdin, stdout};
use std::time::Instant;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::style::{PrintStyledContent, StyledContent};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{cursor, execute, queue};
use unicode_width::UnicodeWidthChar;

use crate::error::Error;
use crate::top::screen::{self, Line};
use crate::top::view::{Key, View};

/// A terminal that draws views. It is as it was when this goes out of scope.
#[derive(Debug)]
pub(crate) struct Screen {
    out: BufWriter<Stdout>,
    /// Columns and lines, when it was drawn last.
    size: (u16, u16),
    shown: Vec<Line>,
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
        enable_raw_mode().map_err(Error::Terminal)?;
        // From here on it is given back.
        let screen = Self { out: BufWriter::new(stdout()), size: (0, 0), shown: Vec::new() };
        execute!(stdout(), EnterAlternateScreen, cursor::Hide).map_err(Error::Terminal)?;
        Ok(screen)
    }

    /// Draws a view.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(crate) fn draw(&mut self, view: &mut View) -> Result<(), Error> {
        let size = size().map_err(Error::Terminal)?;
        self.write(size, screen::lines(view, size, Instant::now())).map_err(Error::Terminal)
    }

    /// Writes those lines that are not shown yet: all of them at once, where the terminal can do that.
    fn write(&mut self, size: (u16, u16), lines: Vec<Line>) -> io::Result<()> {
        queue!(self.out, BeginSynchronizedUpdate)?;
        if self.size != size {
            queue!(self.out, Clear(ClearType::All))?;
            self.size = size;
            self.shown.clear();
        }
        for (y, line) in lines.iter().enumerate().filter(|(y, line)| self.shown.get(*y) != Some(*line)) {
            // Cleared first: behind its last column a terminal would clear that column.
            queue!(self.out, cursor::MoveTo(0, y as u16), Clear(ClearType::CurrentLine))?;
            for piece in fitting(line, size.0.into()) {
                queue!(self.out, PrintStyledContent(piece))?;
            }
        }
        queue!(self.out, EndSynchronizedUpdate)?;
        self.shown = lines;
        self.out.flush()
    }
}

/// What a terminal of this width has room for. Characters that have no width of their own, such as tabulators, are left out.
fn fitting(line: &Line, width: usize) -> Vec<StyledContent<String>> {
    let mut room = Some(width);
    let mut fits = |character: &char| {
        room = room.and_then(|room| room.checked_sub(character.width().unwrap_or(0)));
        room.is_some()
    };
    let shorten = |piece: &StyledContent<String>| {
        let text = piece.content().chars().filter(|character| character.width().is_some()).take_while(&mut fits);
        StyledContent::new(*piece.style(), text.collect())
    };
    line.iter().map(shorten).collect()
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
