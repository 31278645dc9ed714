//! The generated parts of `PROTOCOL.md`: methods, errors, limits. Each stands between
//! `<!-- generated: NAME -->` and `<!-- end -->`.

use std::fmt::Write;

use chirrup_core::limits as core;
use chirrup_protocol::error::{Code, Retry};
use chirrup_protocol::limits::{self, Limits};
use chirrup_protocol::request::Request;

use crate::repository::Repository;

/// The page that holds the tables.
pub(crate) const PAGE: &str = "PROTOCOL.md";
const END: &str = "<!-- end -->";

/// Limits that `ready` leaves out.
const UNTOLD: &[(&str, usize)] = &[
    ("name_chars_max", core::NAME_CHARS_MAX),
    ("title_chars_max", core::TITLE_CHARS_MAX),
    ("emoji_bytes_max", core::EMOJI_BYTES_MAX),
    ("reactions_max", core::REACTIONS_MAX),
    ("edits_max", core::EDITS_MAX),
    ("members_at_once_max", core::MEMBERS_AT_ONCE_MAX),
    ("devices_max", core::DEVICES_MAX),
    ("password_chars_min", limits::PASSWORD_CHARS_MIN),
    ("password_chars_max", limits::PASSWORD_CHARS_MAX),
    ("conversations_page_max", limits::CONVERSATIONS_PAGE_MAX as usize),
    ("members_page_max", limits::MEMBERS_PAGE_MAX as usize),
    ("users_page_max", limits::USERS_PAGE_MAX as usize),
    ("users_at_once_max", limits::USERS_AT_ONCE_MAX),
    ("receipts_members_max", limits::RECEIPTS_MEMBERS_MAX as usize),
    ("outbound_frames_max", limits::OUTBOUND_FRAMES_MAX),
    ("outbound_bytes_max", limits::OUTBOUND_BYTES_MAX),
];

/// Writes the tables into the page.
pub(crate) fn generate(repository: &Repository) -> Result<(), String> {
    let page = repository.text(PAGE).ok_or("PROTOCOL.md is missing")?;
    repository.write(PAGE, &filled(&page)?)
}

/// The page with all its tables as the code has them now.
pub(crate) fn filled(page: &str) -> Result<String, String> {
    let tables = [("methods", methods()), ("errors", errors()), ("limits", limit_table())];
    tables.iter().try_fold(page.to_owned(), |page, (name, table)| replace(&page, name, table))
}

fn replace(page: &str, name: &str, table: &str) -> Result<String, String> {
    let begin = format!("<!-- generated: {name} -->\n");
    let missing = || format!("{PAGE} has no part {name:?}");
    let (before, rest) = page.split_once(&begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(format!("{before}{begin}{table}{END}{after}"))
}

fn methods() -> String {
    let mut table = String::from("| method | what it does |\n|---|---|\n");
    for (method, about) in Request::ABOUT {
        row(&mut table, &[&format!("`{method}`"), about]);
    }
    table
}

fn errors() -> String {
    let mut table = String::from("| code | again? | close code | meaning |\n|---|---|---|---|\n");
    for code in Code::ALL {
        let retry = match code.retry() {
            Retry::Never => "never",
            Retry::Now => "now",
            Retry::After => "after",
        };
        row(&mut table, &[&format!("`{}`", code.name()), retry, &code.close().to_string(), code.meaning()]);
    }
    table
}

/// What `ready` tells, without the intervals (an operator may set those), and what it leaves to this
/// table.
fn limit_table() -> String {
    let mut table = String::from("| limit | value | told in `ready` |\n|---|---|---|\n");
    let told = serde_json::to_value(Limits::new(0, 0, 0)).expect("numbers are JSON");
    let told = told.as_object().expect("a struct is an object").iter().filter(|(name, _)| !name.ends_with("_ms"));
    for (name, value) in told {
        row(&mut table, &[&format!("`{name}`"), &value.to_string(), "yes"]);
    }
    for (name, value) in UNTOLD {
        row(&mut table, &[&format!("`{name}`"), &value.to_string(), ""]);
    }
    table
}

fn row(table: &mut String, cells: &[&str]) {
    writeln!(table, "| {} |", cells.join(" | ")).expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use chirrup_protocol::push::Push;

    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let page = "a\n<!-- generated: x -->\nold\n<!-- end -->\nb\n";
        let expected = "a\n<!-- generated: x -->\nnew\n<!-- end -->\nb\n";
        assert_eq!(replace(page, "x", "new\n").as_deref(), Ok(expected));
        assert!(replace(page, "y", "").is_err());
    }

    #[test]
    fn the_frames_of_the_page_are_frames_of_the_protocol() {
        let page = Repository::open().unwrap().text(PAGE).unwrap();
        let frames: Vec<&str> = page.lines().filter(|line| line.starts_with("{\"")).collect();
        assert!(frames.len() > 5);
        for frame in frames {
            let value: serde_json::Value = serde_json::from_str(frame).expect(frame);
            if let Some(method) = value["method"].as_str() {
                Request::parse(method, &value["params"].to_string()).expect(frame).expect(frame);
            } else if value["push"].is_string() {
                let push: Push = serde_json::from_str(frame).expect(frame);
                assert_ne!(push, Push::Unknown, "{frame}");
            } else {
                assert!(value["id"].is_u64() && (value["ok"].is_object() || value["error"].is_object()), "{frame}");
            }
        }
    }

    #[test]
    fn every_code_has_a_row() {
        let table = errors();
        assert!(table.contains("| `storage_full` | after | 4013 |"), "{table}");
        assert_eq!(table.lines().count(), Code::ALL.len() + 2);
    }
}
