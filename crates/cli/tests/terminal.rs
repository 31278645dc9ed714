//! Two people, each in a terminal of their own, driven through pseudo-terminals: what they type
//! goes in as keys, what they see is read off the screen.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::io::{Read as _, Write};
use std::num::NonZero;
use std::sync::{Arc, Condvar, Mutex};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use support::{PASSWORD, PATIENCE, Server};

/// Tall enough that nothing scrolls away.
const SIZE: PtySize = PtySize { rows: 200, cols: 120, pixel_width: 0, pixel_height: 0 };

/// A terminal with one program in it.
struct Terminal {
    keys: Box<dyn Write + Send>,
    screen: Arc<(Mutex<vt100::Parser>, Condvar)>,
    child: Box<dyn Child + Send + Sync>,
    // The terminal is gone when its master is.
    _master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    /// Runs `chirrup` as the user of this profile.
    fn run(server: &Server, profile: &str, arguments: &[&str]) -> Self {
        let pair = native_pty_system().openpty(SIZE).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_chirrup"));
        command.args(arguments);
        command.env("CHIRRUP_PROFILE_DIR", server.profiles());
        command.env("CHIRRUP_PROFILE", profile);
        command.env("CHIRRUP_SERVER", server.url());
        command.env("TERM", "xterm");
        command.env("NO_COLOR", "1");
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let keys = pair.master.take_writer().unwrap();
        let [rows, cols] = [SIZE.rows, SIZE.cols].map(|n| NonZero::new(n).unwrap());
        let screen = Arc::new((Mutex::new(vt100::Parser::new(rows, cols, 0)), Condvar::new()));
        let mut output = pair.master.try_clone_reader().unwrap();
        let seen = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut bytes) {
                seen.0.lock().unwrap().process(&bytes[..n]);
                seen.1.notify_all();
            }
        });
        Self { keys, screen, child, _master: pair.master }
    }

    /// What is on the screen now, without the blank end.
    fn text(&self) -> String {
        self.screen.0.lock().unwrap().screen().contents().trim_end().to_owned()
    }

    /// Waits until the screen is as wanted.
    fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let parser = self.screen.0.lock().unwrap();
        let waiting = |parser: &mut vt100::Parser| !wanted(&parser.screen().contents());
        let (parser, waited) = self.screen.1.wait_timeout_while(parser, PATIENCE, waiting).unwrap();
        let contents = parser.screen().contents();
        assert!(!waited.timed_out(), "waited for {what}; the screen:\n{}", contents.trim_end());
        contents
    }

    /// Waits until this is on the screen.
    fn see(&self, text: &str) -> String {
        self.until(text, |screen| screen.contains(text))
    }

    /// Types without pressing Enter.
    fn keys(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Types a line.
    fn line(&mut self, text: &str) {
        self.keys(&format!("{text}\r"));
    }

    /// Waits until the program has ended well.
    fn end(mut self) -> String {
        let (sender, ended) = std::sync::mpsc::sync_channel(1);
        let mut killer = self.child.clone_killer();
        let mut child = std::mem::replace(&mut self.child, Box::new(std::process::Command::new("true").spawn().unwrap()));
        std::thread::spawn(move || sender.send(child.wait()));
        let Ok(status) = ended.recv_timeout(PATIENCE) else {
            killer.kill().unwrap();
            panic!("the program does not end; the screen:\n{}", self.text());
        };
        assert!(status.unwrap().success(), "the screen:\n{}", self.text());
        self.text()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Ended already, but for a test that failed.
        let _ = self.child.kill();
    }
}

fn once(screen: &str, text: &str) {
    assert_eq!(screen.matches(text).count(), 1, "{text:?} should be seen once:\n{screen}");
}

/// Asserts that these stand on the screen in this order, each once.
fn in_order(screen: &str, texts: &[&str]) {
    let mut from = 0;
    for text in texts {
        once(screen, text);
        let at = screen.find(text).unwrap();
        assert!(at >= from, "{text:?} should come later:\n{screen}");
        from = at;
    }
}

fn sign_up(server: &Server, name: &str) {
    let mut terminal = Terminal::run(server, name, &["login", "--sign-up", name]);
    terminal.see("New password");
    terminal.line(PASSWORD);
    terminal.see("Once more");
    terminal.line(PASSWORD);
    terminal.see(&format!("{name} is logged in at"));
    let screen = terminal.end();
    assert!(!screen.contains(PASSWORD), "the password was shown:\n{screen}");
}

#[test]
fn two_people_chat_each_in_a_terminal() {
    let mut server = Server::start_with(&[("session.grace_ms", "200"), ("session.merge_ms", "100")]);
    sign_up(&server, "ana");
    sign_up(&server, "bob");
    assert!(Terminal::run(&server, "ana", &["find", "BOB"]).end().contains("@bob"));

    let mut ana = Terminal::run(&server, "ana", &["chat", "@bob"]);
    ana.see("== @bob: nothing unread");
    let mut bob = Terminal::run(&server, "bob", &["chat", "@ana"]);
    bob.see("== @ana: nothing unread");
    ana.see("bob is online");

    // One to one: typing, delivery, reading.
    ana.line("hello bob");
    bob.see("ana: hello bob");
    ana.see("bob has read up to #2");
    bob.keys("hi ana");
    ana.see("bob is typing");
    bob.line("");
    ana.see("#3");
    ana.see("bob: hi ana");
    bob.see("ana has read up to #3");

    // Reply, react, edit, delete, an action.
    ana.line("/reply 3 how are you?");
    bob.see("ana: how are you? [answers #3]");
    bob.line("/react 4 👍");
    ana.see("bob put 👍 to #4");
    ana.line("/edit 2 hello dear bob");
    bob.see("ana edited #2: hello dear bob");
    bob.line("a slip");
    ana.see("bob: a slip");
    bob.line("/delete 7");
    ana.see("bob deleted #7");
    bob.line("/me waves");
    let screen = ana.see("* bob waves");
    in_order(
        &screen,
        &[
            "ana: hello bob",
            "bob: hi ana",
            "ana: how are you?",
            "bob put 👍 to #4",
            "ana edited #2",
            "bob: a slip",
            "bob deleted #7",
            "* bob waves",
        ],
    );

    // Bob goes; what comes meanwhile waits for him.
    bob.line("/quit");
    bob.end();
    ana.see("bob is offline");
    for text in ["first of three", "second of three", "third of three"] {
        ana.line(text);
        ana.see(&format!("ana: {text}"));
    }
    assert!(Terminal::run(&server, "bob", &["conversations"]).end().contains("@ana  3 unread"));
    let mut bob = Terminal::run(&server, "bob", &["chat", "@ana"]);
    let screen = bob.see("ana: third of three");
    in_order(
        &screen,
        &["== @ana: 3 unread", "#2", "hello dear bob (edited)", "(deleted)", "first of three", "second of three", "third of three"],
    );
    assert!(!screen.contains("a slip"), "what was deleted came back:\n{screen}");
    ana.see("bob has read up to #12");

    // A group; bob is in another conversation meanwhile.
    ana.line("/group The Cooks @bob");
    ana.see("== The Cooks: 2 members");
    bob.see("in The Cooks: ana began the conversation");
    ana.line("who cooks today, @bob?");
    bob.see("in The Cooks: ana: who cooks today, @bob?");
    bob.line("/open The Cooks");
    bob.see("== The Cooks: 2 members, 1 unread");
    bob.line("I do");
    ana.see("bob: I do");

    // The server dies and comes back; what is written meanwhile arrives once.
    server.kill();
    ana.see("reconnecting");
    ana.line("written while it was gone");
    server.start_again();
    let screen = bob.see("ana: written while it was gone");
    once(&screen, "ana: written while it was gone");
    once(&ana.see("ana: written while it was gone"), "ana: written while it was gone");
    bob.line("/leave");
    ana.see("bob left");
    bob.line("/quit");
    ana.line("/quit");
    bob.end();
    ana.end();
    server.stop();
}
