//! The programs that engines need: looked for, installed where that can be done, told of where not.

use std::io::Write;
use std::process::{Command, Stdio};

/// Whether there is such a command.
fn is_there(command: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(command).is_file())
}

/// Sees to it that these commands are there, each from its Debian package: installed if this is
/// root on a machine that has `apt-get`.
///
/// # Errors
/// What is missing, and what would bring it.
pub(crate) fn need(commands: &[(&str, &str)]) -> Result<(), String> {
    let missing = || commands.iter().filter(|(command, _)| !is_there(command));
    if missing().count() == 0 {
        return Ok(());
    }
    let packages: Vec<&str> = missing().map(|(_, package)| *package).collect();
    let root = rustix::process::getuid().is_root();
    if root && is_there("apt-get") {
        say(&format!("installing {}", packages.join(" ")));
        if !install(&packages) {
            apt_get(&["update"]);
            install(&packages);
        }
    }
    match missing().map(|(command, _)| *command).collect::<Vec<_>>().as_slice() {
        [] => Ok(()),
        left => Err(format!("no {} (Debian has it in {})", left.join(", "), packages.join(" "))),
    }
}

/// As [`need`], of one thing that is not looked for in `PATH`.
///
/// # Errors
/// That it is missing, and what would bring it.
pub(crate) fn need_found<T>(what: &str, package: &str, find: impl Fn() -> Option<T>) -> Result<T, String> {
    if let Some(found) = find() {
        return Ok(found);
    }
    if rustix::process::getuid().is_root() && is_there("apt-get") {
        say(&format!("installing {package}"));
        if !install(&[package]) {
            apt_get(&["update"]);
            install(&[package]);
        }
    }
    find().ok_or_else(|| format!("no {what} (Debian has it in {package})"))
}

fn install(packages: &[&str]) -> bool {
    apt_get(&[&["install", "-y", "--no-install-recommends"], packages].concat())
}

fn apt_get(words: &[&str]) -> bool {
    let mut command = Command::new("apt-get");
    command.args(words).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Says something that is seen whether the test fails or not: what the test harness would keep to
/// itself goes past it.
pub(crate) fn say(what: &str) {
    // Where nobody listens nothing is lost.
    let _ = writeln!(std::io::stderr(), "engines: {what}");
}
