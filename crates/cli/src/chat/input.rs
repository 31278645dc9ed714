//! Where lines come from and go to: a line editor on a terminal, plain lines otherwise.
//!
//! Must not know: what the lines mean.

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::Result;
use rustyline::error::ReadlineError;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::{Completer, Config, Editor, ExternalPrinter, Helper, Highlighter, Validator};
use tokio::sync::mpsc::{Receiver, Sender, channel};

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
    /// They want to leave.
    End,
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

/// Begins to read; ends after [`Input::End`]. The reading thread ends with the process.
pub(super) fn begin() -> Result<(Receiver<Input>, Screen)> {
    let (sender, receiver) = channel(WAITING_MAX);
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        let config = Config::builder().auto_add_history(true).build();
        let mut editor: Editor<Keys, MemHistory> = Editor::with_history(config, MemHistory::new())?;
        editor.set_helper(Some(Keys(sender.clone())));
        let printer = editor.create_external_printer()?;
        std::thread::spawn(move || edit(&mut editor, &sender));
        Ok((receiver, Screen::Terminal(Box::new(printer))))
    } else {
        std::thread::spawn(move || plain(&sender));
        Ok((receiver, Screen::Plain))
    }
}

fn edit(editor: &mut Editor<Keys, MemHistory>, sender: &Sender<Input>) {
    loop {
        let input = match editor.readline(PROMPT) {
            Ok(line) => Input::Line(line),
            // Ctrl-C, Ctrl-D, or a terminal that is gone: the editor has put it back as it was.
            Err(ReadlineError::Interrupted | ReadlineError::Eof | _) => Input::End,
        };
        let end = input == Input::End;
        if sender.blocking_send(input).is_err() || end {
            return;
        }
    }
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
