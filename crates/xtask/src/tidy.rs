//! What must agree between the pages and the code: paths and tests that are named exist, links lead
//! somewhere, rules that tests cite are written, tables are fresh, nothing names one machine.

use std::collections::BTreeSet;
use std::path::Path;

use crate::repository::Repository;
use crate::tables;

/// Longer files are listed, to be looked at; not refused.
const LINES_TO_LOOK_AT: usize = 500;

/// Others' words, and lists that name registries by their nature.
const NOT_OURS: &[&str] = &["tests/data/", "Cargo.lock", "LICENSE-"];

/// What would tie a file to one machine or to one supplier of packages; in pieces, so that this
/// list does not find itself.
const FORBIDDEN: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("pypi", ".org"),
    concat!("registry.", "npmjs.org"),
    concat!("proxy.", "golang.org"),
    concat!("deb.", "debian.org"),
];

/// Runs every check; prints what is to be looked at.
pub(crate) fn tidy(repository: &Repository) -> Result<(), String> {
    for (path, lines) in long_files(repository) {
        println!("tidy: {path} has {lines} lines");
    }
    let mut faults = Vec::new();
    faults.extend(missing_paths(repository));
    faults.extend(missing_tests(repository));
    faults.extend(dead_links(repository));
    faults.extend(forbidden_words(repository));
    faults.extend(unwritten_rules(repository));
    faults.extend(untested_rules(repository));
    faults.extend(stale_tables(repository));
    for fault in &faults {
        eprintln!("tidy: {fault}");
    }
    match faults.len() {
        0 => Ok(()),
        n => Err(format!("{n} things are not tidy")),
    }
}

fn is_code(path: &str) -> bool {
    [".rs", ".py", ".ts", ".sh"].iter().any(|end| path.ends_with(end))
}

fn is_page(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|end| end == "md") && !path.starts_with("tests/data/")
}

fn long_files(repository: &Repository) -> Vec<(String, usize)> {
    let code = repository.files.iter().filter(|path| is_code(path));
    let counted = code.filter_map(|path| Some((path.clone(), repository.text(path)?.lines().count())));
    counted.filter(|(_, lines)| *lines > LINES_TO_LOOK_AT).collect()
}

/// Whether a page says where things are: the map, and what stands in `docs` itself.
fn is_map(path: &str) -> bool {
    let in_docs = path.strip_prefix("docs/").is_some_and(|name| !name.contains('/'));
    is_page(path) && (path == "ARCHITECTURE.md" || in_docs)
}

fn missing_paths(repository: &Repository) -> Vec<String> {
    let mut faults = Vec::new();
    for page in repository.files.iter().filter(|path| is_map(path)) {
        let missing = named_paths(&repository.text(page).unwrap_or_default()).into_iter().filter(|path| !repository.has(path));
        faults.extend(missing.map(|path| format!("{page} names {path}, which does not exist")));
    }
    faults
}

/// Tests that pages name as `module::test` or by a promise's number, and that no code has.
fn missing_tests(repository: &Repository) -> Vec<String> {
    let code = repository.files.iter().filter(|path| is_code(path)).filter_map(|path| repository.text(path));
    let functions: BTreeSet<String> = code.flat_map(|text| functions(&text)).collect();
    let mut faults = Vec::new();
    for page in repository.files.iter().filter(|path| is_map(path)) {
        let missing = named_tests(&repository.text(page).unwrap_or_default()).into_iter().filter(|test| !functions.contains(test));
        faults.extend(missing.map(|test| format!("{page} names the test {test}, which does not exist")));
    }
    faults
}

/// The names of functions in a file.
fn functions(text: &str) -> BTreeSet<String> {
    let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next());
    names.map(str::to_owned).collect()
}

/// What stands in backticks and looks like a test: its name alone, without its module.
fn named_tests(page: &str) -> BTreeSet<String> {
    let quoted = page.split('`').skip(1).step_by(2);
    let is_name =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == ':');
    let tests = quoted.filter(|text| is_name(text) && (text.contains("::") || (text.starts_with('p') && text.matches('_').count() > 2)));
    tests.filter_map(|text| text.rsplit("::").next()).map(str::to_owned).collect()
}

/// What stands in backticks and looks like a path of the repository.
fn named_paths(page: &str) -> BTreeSet<String> {
    let quoted = page.split('`').skip(1).step_by(2);
    let paths = quoted.filter(|text| {
        let rooted = ["crates/", "docs/", "tests/", "scripts/", ".ci/"].iter().any(|root| text.starts_with(root));
        let named = [".rs", ".md", ".toml"].iter().any(|end| text.ends_with(end));
        (rooted || named || *text == "Makefile") && !text.contains([' ', '*', '{'])
    });
    paths.map(str::to_owned).collect()
}

fn dead_links(repository: &Repository) -> Vec<String> {
    let mut faults = Vec::new();
    for page in repository.files.iter().filter(|path| is_page(path)) {
        let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
        let text = repository.text(page).unwrap_or_default();
        for link in relative_links(&text) {
            let path = if folder.is_empty() { link.clone() } else { format!("{folder}/{link}") };
            if !repository.has(&path) {
                faults.push(format!("{page} links to {link}, which does not exist"));
            }
        }
    }
    faults
}

fn relative_links(page: &str) -> Vec<String> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let relative = targets.filter(|t| !t.contains("://") && !t.starts_with('#') && !t.contains(' '));
    relative.map(|t| t.split('#').next().unwrap_or_default().to_owned()).collect()
}

fn forbidden_words(repository: &Repository) -> Vec<String> {
    let mut faults = Vec::new();
    for path in repository.files.iter().filter(|path| !NOT_OURS.iter().any(|prefix| path.starts_with(prefix))) {
        let Some(text) = repository.text(path) else { continue };
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = FORBIDDEN.iter().find(|word| line.contains(*word)) {
                faults.push(format!("{path}:{} names {word}", number + 1));
            }
        }
    }
    faults
}

/// The rules that are written, and those that each file of code cites, as `part` of its text.
fn citations(repository: &Repository, part: impl Fn(&str, &str) -> String) -> (BTreeSet<String>, Vec<(&String, BTreeSet<String>)>) {
    let written = written_rules(&repository.text(tables::PAGE).unwrap_or_default());
    let sections: BTreeSet<char> = written.iter().filter_map(|rule| rule.chars().next()).collect();
    // This file talks of rules that do not exist.
    let code = repository.files.iter().filter(|path| is_code(path) && path.as_str() != "crates/xtask/src/tidy.rs");
    let cited = code.map(|path| (path, cited_rules(&part(path, &repository.text(path).unwrap_or_default()), &sections))).collect();
    (written, cited)
}

fn unwritten_rules(repository: &Repository) -> Vec<String> {
    let (written, cited) = citations(repository, |_, text| text.to_owned());
    let unwritten = cited.iter().flat_map(|(path, rules)| rules.difference(&written).map(move |rule| (path, rule)));
    unwritten.map(|(path, rule)| format!("{path} cites {rule}, which {} does not have", tables::PAGE)).collect()
}

fn untested_rules(repository: &Repository) -> Vec<String> {
    let (written, cited) = citations(repository, |path, text| tests_of(path, text).to_owned());
    let untested = written.into_iter().filter(|rule| !cited.iter().any(|(_, rules)| rules.contains(rule)));
    untested.map(|rule| format!("no test cites {rule} of {}", tables::PAGE)).collect()
}

/// The part of a file that is tests: all of it where tests are, or its module of tests.
fn tests_of<'a>(path: &str, text: &'a str) -> &'a str {
    let folders = path.split('/').any(|part| part == "tests" || part == "tests.rs");
    let start = if folders { Some(0) } else { text.find("#[cfg(test)]\nmod tests {") };
    start.map_or("", |start| &text[start..])
}

/// Rules begin a line as `**R-4**`.
fn written_rules(page: &str) -> BTreeSet<String> {
    let starts = page.lines().filter_map(|line| line.trim_start().trim_start_matches("- ").strip_prefix("**"));
    let names = starts.filter_map(|rest| rest.split_once("**")).map(|(name, _)| name);
    names.filter(|name| name.chars().nth(1) == Some('-')).map(str::to_owned).collect()
}

/// `R-4` and the like, and tests whose names begin so (`fn r4_…`, `fn c3_c6_…`), of sections that
/// the page has; numbers have at most two digits. A `p4_` there is of a promise of the README.
fn cited_rules(text: &str, sections: &BTreeSet<char>) -> BTreeSet<String> {
    let mut cited = BTreeSet::new();
    let mut cite = |section: char, number: &str| {
        let is_rule = sections.contains(&section) && (1..=2).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
        if is_rule {
            cited.insert(format!("{section}-{number}"));
        }
        is_rule
    };
    for word in text.split(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_')) {
        if let Some((section, number)) = word.split_once('-')
            && section.len() == 1
        {
            section.chars().for_each(|section| {
                cite(section, number);
            });
        }
    }
    for name in text.split("fn ").skip(1) {
        for part in name.split('_') {
            let section = part.chars().next().filter(char::is_ascii_lowercase);
            let rule = section.zip(part.get(1..)).filter(|(section, number)| *section == 'p' || cite(section.to_ascii_uppercase(), number));
            if rule.is_none() {
                break;
            }
        }
    }
    cited
}

fn stale_tables(repository: &Repository) -> Vec<String> {
    let Some(page) = repository.text(tables::PAGE) else { return vec![format!("{} is missing", tables::PAGE)] };
    match tables::filled(&page) {
        Ok(fresh) if fresh == page => Vec::new(),
        Ok(_) => vec![format!("the tables of {} are not those of the code: 'make generate' writes them", tables::PAGE)],
        Err(error) => vec![error],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn paths_are_what_stands_in_backticks() {
        let page = "`crates/core` folds; `serve` starts; see `PROTOCOL.md`, `crates/*` and crates/none.";
        assert_eq!(named_paths(page), set(&["crates/core", "PROTOCOL.md"]));
    }

    #[test]
    fn tests_are_named_by_module_or_promise() {
        let page = "`p1_kill::p1_all_is_there`, `unread::counts`, `p9_a_full_disk_refuses`; `p8_torn`, `make test`, `crates/core`, `a::B`";
        assert_eq!(named_tests(page), set(&["p1_all_is_there", "counts", "p9_a_full_disk_refuses"]));
        assert_eq!(functions("async fn p1_x() {}\n    fn y_2<T>()"), set(&["p1_x", "y_2"]));
    }

    #[test]
    fn links_out_of_the_repository_are_left_alone() {
        let page = "[a](docs/a.md#part) [b](https://example.org/b) [c](#here)";
        assert_eq!(relative_links(page), ["docs/a.md"]);
    }

    #[test]
    fn rules_are_told_from_other_words() {
        let written = written_rules("**R-4** Text.\n- **E-1** More, see **R-9**.\n**bold** word\n");
        assert_eq!(written, set(&["R-4", "E-1"]));
        let sections = ['R', 'E'].into();
        let cited = cited_rules("(R-4), E-12 and X-1; UTF-8, E-2024, RE-1, R-4a; fn e7_x() fn r_8()", &sections);
        assert_eq!(cited, set(&["R-4", "E-12", "E-7"]));
        let named = cited_rules("fn r2_p5_e3_both() fn p1_is_a_promise() fn first_r9() fn r10_ fn r1_x2_e4()", &sections);
        assert_eq!(named, set(&["R-2", "E-3", "R-10", "R-1"]));
    }

    #[test]
    fn tests_are_told_from_what_they_test() {
        let code = "// R-1\n#[cfg(test)]\nmod tests {\n// R-2\n}\n";
        assert_eq!(tests_of("crates/a/src/b.rs", code), "#[cfg(test)]\nmod tests {\n// R-2\n}\n");
        assert_eq!(tests_of("crates/a/src/c.rs", "// R-1"), "");
        for path in ["crates/a/tests/b.rs", "crates/a/src/b/tests.rs", "tests/independent/a.py"] {
            assert_eq!(tests_of(path, code), code, "{path}");
        }
    }

    #[test]
    fn the_list_of_forbidden_words_holds_whole_words() {
        assert!(FORBIDDEN.contains(&["/wo", "rk/"].concat().as_str()));
    }

    #[test]
    fn the_tables_of_the_page_are_those_of_the_code() {
        let repository = Repository::open().unwrap();
        assert_eq!(stale_tables(&repository), Vec::<String>::new());
    }
}
