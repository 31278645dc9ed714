//! Keys of the configuration: which there are, what they are called in the environment, and which
//! one somebody may have meant.

use std::path::Path;

use toml::{Table, Value};

use super::ConfigError;

/// A setting that exists.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) section: &'a str,
    pub(super) key: &'a str,
}

impl Known<'_> {
    fn dotted(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }

    fn variable(&self) -> String {
        format!("CHIRRUP_{}_{}", self.section, self.key).to_uppercase()
    }
}

/// The settings of the default file, apart from their values.
pub(super) struct Keys(Vec<(String, String)>);

impl Keys {
    fn iter(&self) -> impl Iterator<Item = Known<'_>> {
        self.0.iter().map(|(section, key)| Known { section, key })
    }
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Table, ConfigError> {
    text.parse().map_err(|e: toml::de::Error| ConfigError::Syntax { path: path.to_owned(), what: e.to_string().trim_end().to_owned() })
}

/// All keys of a table of sections.
pub(super) fn flatten(table: &Table) -> Keys {
    let mut keys = Vec::new();
    for (section, values) in table {
        match values {
            Value::Table(values) => keys.extend(values.keys().map(|key| (section.clone(), key.clone()))),
            _ => keys.push((String::new(), section.clone())),
        }
    }
    Keys(keys)
}

/// Refuses a key of `given` that is not known.
pub(super) fn check(keys: &Keys, given: &Table, place: &str) -> Result<(), ConfigError> {
    for written in flatten(given).iter() {
        let dotted = if written.section.is_empty() { written.key.to_owned() } else { written.dotted() };
        known(keys, &dotted, place)?;
    }
    Ok(())
}

/// The setting with this dotted name.
pub(super) fn known<'a>(keys: &'a Keys, dotted: &str, place: &str) -> Result<Known<'a>, ConfigError> {
    keys.iter().find(|k| k.dotted() == dotted).ok_or_else(|| {
        let nearest = nearest(dotted, keys.iter().map(|k| k.dotted()));
        ConfigError::UnknownKey { place: place.to_owned(), key: dotted.to_owned(), nearest }
    })
}

/// The setting that a variable of the environment means; none if it is not ours. A variable is
/// ours if it begins with `CHIRRUP_` and the name of a section: others belong to the commands.
pub(super) fn of_variable<'a>(keys: &'a Keys, variable: &str) -> Result<Option<Known<'a>>, ConfigError> {
    if !keys.iter().any(|k| variable.starts_with(&format!("CHIRRUP_{}_", k.section.to_uppercase()))) {
        return Ok(None);
    }
    if let Some(key) = keys.iter().find(|k| k.variable() == variable) {
        return Ok(Some(key));
    }
    let nearest = nearest(variable, keys.iter().map(|k| k.variable()));
    Err(ConfigError::UnknownKey { place: "environment".to_owned(), key: variable.to_owned(), nearest })
}

/// Puts values over others.
pub(super) fn merge(table: &mut Table, over: Table) {
    for (section, values) in over {
        match (table.get_mut(&section), values) {
            (Some(Value::Table(below)), Value::Table(values)) => below.extend(values),
            (_, values) => {
                table.insert(section, values);
            }
        }
    }
}

/// Puts a text over a value, read as the type that the value has. What cannot be read so stays a
/// text, and is refused with the others of a wrong type.
pub(super) fn set(table: &mut Table, key: Known<'_>, text: &str) {
    let Some(value) = table.get_mut(key.section).and_then(|s| s.get_mut(key.key)) else { return };
    let as_text = || Value::String(text.to_owned());
    *value = match value {
        Value::Integer(_) => text.trim().parse().map_or_else(|_| as_text(), Value::Integer),
        Value::Boolean(_) => text.trim().parse().map_or_else(|_| as_text(), Value::Boolean),
        Value::Array(_) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Value::Array(parts.map(|part| Value::String(part.to_owned())).collect())
        }
        _ => as_text(),
    };
}

fn nearest(text: &str, candidates: impl Iterator<Item = String>) -> String {
    candidates.min_by_key(|candidate| distance(text, candidate)).unwrap_or_default()
}

/// Levenshtein's distance between two texts.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distances_are_levenshteins() {
        for (a, b, d) in [("", "", 0), ("kitten", "sitting", 3), ("abc", "", 3), ("", "abc", 3), ("same", "same", 0)] {
            assert_eq!(distance(a, b), d, "{a} {b}");
        }
    }
}
