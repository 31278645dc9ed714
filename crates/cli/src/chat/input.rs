//! Where lines come from and go to: a line editor on a terminal, plain lines otherwise. The
//! terminal is left as it was found.
//!
//! Must not know: what the lines mean.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::Result;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use rustyline::error::ReadlineError;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::{Completer, Config, Editor, ExternalPrinter, Helper, Highlighter, Validator};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::sync::CancellationToken;
use unicode_width::UnicodeWidthChar as _;

use crate::context::print_line;

/// Lines and keys that wait for the chat.
const WAITING_MAX: usize = 64;
/// Shown where the next line is written.
const PROMPT: &str = "> ";

/// What a person does.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// They write: the line as it is now.
    Writing(String),
    /// They are done with a line.
    Line(String),
    /// There is no more.
    End,
}

/// What a person does, in order; and whether they want to leave at once.
pub(super) struct Inputs {
    /// Lines and keys.
    pub(super) lines: Receiver<Input>,
    /// Ctrl-C: whatever is under way is given up.
    pub(super) interrupted: CancellationToken,
    _terminal: Option<Restored>,
}

/// Puts lines on the screen, above the one that is being written.
pub(super) enum Screen {
    /// A terminal with a line editor.
    Terminal(Box<dyn ExternalPrinter + Send>),
    /// A pipe or a file.
    Plain,
}

impl Screen {
    /// Prints one line or several.
    pub(super) fn print(&mut self, line: &str) -> Result<()> {
        match self {
            Self::Terminal(printer) => Ok(printer.print(format!("{line}\n"))?),
            Self::Plain => print_line(line),
        }
    }
}

/// The terminal as it was, put back in the end: the thread that reads may hold it otherwise.
struct Restored(Termios);

impl Restored {
    fn new() -> Result<Self> {
        Ok(Self(tcgetattr(std::io::stdin())?))
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing. The escapes end bracketed paste, and the line.
        let _ = std::io::stdout().write_all(b"\r\x1b[K\x1b[?2004l");
        let _ = std::io::stdout().flush();
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Tells of every key, so that others can see that somebody writes.
#[derive(Helper, Completer, Highlighter, Validator)]
struct Keys(Sender<Input>);

impl Hinter for Keys {
    type Hint = String;

    fn hint(&self, line: &str, _: usize, _: &rustyline::Context<'_>) -> Option<String> {
        // Full: the chat has enough to do, and the next key tells the same.
        let _ = self.0.try_send(Input::Writing(line.to_owned()));
        None
    }
}

/// Begins to read. The reading thread ends with the process.
pub(super) fn begin() -> Result<(Inputs, Screen)> {
    let (sender, lines) = channel(WAITING_MAX);
    let interrupted = CancellationToken::new();
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        let terminal = Restored::new()?;
        let config = Config::builder().auto_add_history(true).build();
        let mut editor: Editor<Keys, MemHistory> = Editor::with_history(config, MemHistory::new())?;
        editor.set_helper(Some(Keys(sender.clone())));
        let printer = editor.create_external_printer()?;
        let interrupt = interrupted.clone();
        std::thread::spawn(move || edit(&mut editor, &sender, &interrupt));
        Ok((Inputs { lines, interrupted, _terminal: Some(terminal) }, Screen::Terminal(Box::new(printer))))
    } else {
        std::thread::spawn(move || plain(&sender));
        Ok((Inputs { lines, interrupted, _terminal: None }, Screen::Plain))
    }
}

fn edit(editor: &mut Editor<Keys, MemHistory>, sender: &Sender<Input>, interrupted: &CancellationToken) {
    loop {
        let input = match editor.readline(PROMPT) {
            Ok(line) => {
                rub_out(&line);
                Input::Line(line)
            }
            Err(ReadlineError::Interrupted) => {
                interrupted.cancel();
                Input::End
            }
            // Ctrl-D, or a terminal that is gone.
            Err(_) => Input::End,
        };
        let end = input == Input::End;
        if sender.blocking_send(input).is_err() || end {
            return;
        }
    }
}

/// Takes a message that was just written off the screen: it comes back, with its number, when it
/// is sent. Commands stay.
fn rub_out(line: &str) {
    if line.starts_with('/') || line.chars().any(char::is_control) {
        return;
    }
    if let Some(columns) = tcgetwinsize(std::io::stdout()).ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 1) {
        let up = rows_below(PROMPT, line, columns) + 1;
        // A screen that cannot be written to is noticed by the next line.
        let _ = write!(std::io::stdout(), "\x1b[{up}A\r\x1b[J");
        let _ = std::io::stdout().flush();
    }
}

/// Rows that a line takes below its first one.
fn rows_below(prompt: &str, line: &str, columns: usize) -> usize {
    let (mut row, mut column) = (0, 0);
    for width in prompt.chars().chain(line.chars()).map(|c| c.width().unwrap_or(0)) {
        if column + width > columns {
            (row, column) = (row + 1, 0);
        }
        column += width;
    }
    if column == columns { row + 1 } else { row }
}

fn plain(sender: &Sender<Input>) {
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = std::io::stdin().lock().read_until(b'\n', &mut line);
        let input = match read {
            Ok(0) | Err(_) => Input::End,
            Ok(_) => Input::Line(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned()),
        };
        let end = input == Input::End;
        if sender.blocking_send(input).is_err() || end {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_as_a_terminal_wraps() {
        for (line, expected) in [("", 0), ("seven c", 0), ("eight ch", 1), ("nine char", 1), ("界界界界", 1), ("abcdefg界", 1)] {
            assert_eq!(rows_below(PROMPT, line, 10), expected, "{line}");
        }
        assert_eq!(rows_below(PROMPT, &"x".repeat(28), 10), 3);
    }
}
