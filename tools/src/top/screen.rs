//! The terminal while the table is on it: taken once, given back however the program ends.
//!
//! The table lives on the alternate screen, so what was on the terminal before is there again afterwards.

use crate::error::ToolError;
use crate::output;
use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, Once};

/// Alternate screen, no cursor, no wrapping of long lines.
const TAKE: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
/// The opposite.
const GIVE_BACK: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
/// Begins at the top; a terminal that knows it shows what follows at once.
const BEGIN_UPDATE: &str = "\x1b[?2026h\x1b[H";
/// See [`BEGIN_UPDATE`].
const END_UPDATE: &str = "\x1b[?2026l";
/// Clears from the cursor to the end of the line. Before the text: behind it, at the right edge, it would take
/// the last character along.
const CLEAR_LINE: &str = "\x1b[K";
/// Clears everything below.
const CLEAR_BELOW: &str = "\x1b[J";

/// Rows that a page key scrolls.
const PAGE_ROWS: isize = 10;

/// The state of the terminal before it was taken; `None` when it is not taken.
static TAKEN: Mutex<Option<Taken>> = Mutex::new(None);

#[derive(Debug)]
struct Taken {
    /// Where keys come from a terminal, its settings.
    input: Option<Termios>,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// End.
    Quit,
    /// Scroll by so many rows.
    By(isize),
    /// Scroll to a row.
    To(usize),
}

/// See the module.
#[derive(Debug)]
pub struct Screen {
    reads_keys: bool,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// When it cannot be written to.
    pub fn take() -> Result<Self, ToolError> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                give_back();
                before(panic);
            }));
        });
        let input = take_input();
        let reads_keys = input.is_some();
        *taken() = Some(Taken { input });
        let screen = Self { reads_keys };
        output::print(TAKE)?;
        Ok(screen)
    }

    /// Shows lines from the top of a terminal `height` lines high.
    ///
    /// # Errors
    /// When the terminal cannot be written to.
    pub fn draw(&mut self, lines: &[String], height: usize) -> Result<(), ToolError> {
        let mut text = String::from(BEGIN_UPDATE);
        for (at, line) in lines.iter().enumerate() {
            if at > 0 {
                text += "\r\n";
            }
            text += CLEAR_LINE;
            text += line;
        }
        if lines.len() < height {
            text += "\r\n";
            text += CLEAR_BELOW;
        }
        text += END_UPDATE;
        output::print(&text)
    }

    /// The keys pressed since the last time.
    pub fn keys(&mut self) -> Vec<Key> {
        let mut bytes = [0; 256];
        if !self.reads_keys {
            return Vec::new();
        }
        match rustix::io::read(rustix::stdio::stdin(), &mut bytes) {
            Ok(count) => keys(&bytes[..count]),
            Err(_) => Vec::new(),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn taken() -> std::sync::MutexGuard<'static, Option<Taken>> {
    TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Keys come at once and unseen; reading never waits; Ctrl-C stays a signal, Ctrl-Z would leave the screen taken.
fn take_input() -> Option<Termios> {
    let stdin = rustix::stdio::stdin();
    if !std::io::stdin().is_terminal() {
        return None;
    }
    let before = termios::tcgetattr(stdin).ok()?;
    let mut settings = before.clone();
    settings.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON);
    settings.special_codes[SpecialCodeIndex::VMIN] = 0;
    settings.special_codes[SpecialCodeIndex::VTIME] = 0;
    settings.special_codes[SpecialCodeIndex::VSUSP] = 0;
    termios::tcsetattr(stdin, OptionalActions::Now, &settings).ok()?;
    Some(before)
}

fn give_back() {
    let Some(taken) = taken().take() else { return };
    let mut out = std::io::stdout();
    // Nothing can be done about a terminal that is gone.
    let _ = out.write_all(GIVE_BACK.as_bytes()).and_then(|()| out.flush());
    if let Some(input) = taken.input {
        let _ = termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &input);
    }
}

fn keys(mut bytes: &[u8]) -> Vec<Key> {
    const CODES: [(&[u8], Key); 15] = [
        (b"q", Key::Quit),
        (b"Q", Key::Quit),
        (b"\x1b[A", Key::By(-1)),
        (b"\x1bOA", Key::By(-1)),
        (b"k", Key::By(-1)),
        (b"\x1b[B", Key::By(1)),
        (b"\x1bOB", Key::By(1)),
        (b"j", Key::By(1)),
        (b"\x1b[5~", Key::By(-PAGE_ROWS)),
        (b"\x1b[6~", Key::By(PAGE_ROWS)),
        (b" ", Key::By(PAGE_ROWS)),
        (b"\x1b[H", Key::To(0)),
        (b"\x1b[1~", Key::To(0)),
        (b"\x1b[F", Key::To(usize::MAX)),
        (b"\x1b[4~", Key::To(usize::MAX)),
    ];
    let mut keys = Vec::new();
    while !bytes.is_empty() {
        match CODES.iter().find(|(code, _)| bytes.starts_with(code)) {
            Some((code, key)) => {
                keys.push(*key);
                bytes = &bytes[code.len()..];
            }
            None => bytes = &bytes[1..],
        }
    }
    keys
}

/// Columns and lines of the terminal; 80 by 24 when it does not tell.
pub fn size() -> (usize, usize) {
    match termios::tcgetwinsize(rustix::stdio::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (80, 24),
    }
}

/// Whether colours are wanted: not with `NO_COLOR` (<https://no-color.org>), nor on a terminal that has none.
pub fn wants_colour() -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_scroll_and_end() {
        assert_eq!(keys(b"j\x1b[A\x1b[6~q"), [Key::By(1), Key::By(-1), Key::By(PAGE_ROWS), Key::Quit]);
        assert_eq!(keys(b"xyz\x1b["), []);
        assert_eq!(keys(b"\x1b[H\x1b[F"), [Key::To(0), Key::To(usize::MAX)]);
    }
}
