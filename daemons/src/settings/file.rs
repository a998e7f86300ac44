//! The TOML file: sections of keys, nothing nested, nothing unknown.

use super::{Section, SettingsError};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use toml::{Table, Value};

#[derive(Debug, Default)]
pub(super) struct File {
    path: String,
    values: BTreeMap<(String, String), String>,
}

impl File {
    #[allow(clippy::disallowed_methods, reason = "the configuration is read before there is a machine")]
    pub(super) fn read(path: &Path, sections: &[&'static Section]) -> Result<Self, SettingsError> {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(name, &text, sections),
            Err(error) => {
                let (what, remedy) = match error.kind() {
                    io::ErrorKind::InvalidData => ("is not UTF-8".to_owned(), "save it as UTF-8"),
                    io::ErrorKind::IsADirectory => ("is a directory".to_owned(), "name a file"),
                    _ => (error.to_string(), "name a file that this user can read"),
                };
                Err(SettingsError::File { path: name, what, remedy: remedy.to_owned() })
            }
        }
    }

    pub(super) fn parse(path: String, text: &str, sections: &[&Section]) -> Result<Self, SettingsError> {
        let refuse = |what: String, remedy: &str| {
            Err(SettingsError::File { path: path.clone(), what, remedy: remedy.to_owned() })
        };
        let table: Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                let error: toml::de::Error = error;
                let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
                let line = before.matches('\n').count() + 1;
                let what = error.message().replace('\n', ", ");
                return refuse(format!("line {line}: {what}"), "correct that line");
            }
        };
        let mut values = BTreeMap::new();
        for (name, value) in table {
            let Some(section) = sections.iter().find(|section| section.name == name) else {
                let known = sections.iter().map(|section| format!("[{}]", section.name));
                let known = known.collect::<Vec<_>>().join(", ");
                return refuse(format!("`{name}` is no section"), &format!("use {known}"));
            };
            let Value::Table(entries) = value else {
                return refuse(format!("`{name}` is a section"), &format!("write [{name}]"));
            };
            for (key, value) in entries {
                let Some(meant) = section.keys.iter().find(|known| known.names().any(|name| name == key))
                else {
                    let known = section.keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", ");
                    return refuse(format!("[{name}] has no key `{key}`"), &format!("use one of: {known}"));
                };
                let Some(text) = text_of(&value) else {
                    let what = format!("`{key}` in [{name}] is {}", kind_of(&value));
                    return refuse(
                        what,
                        "give a string, a whole number, true or false, or a list of strings",
                    );
                };
                if values.insert((name.clone(), meant.name.to_owned()), text).is_some() {
                    let what = format!("`{}` in [{name}] is set twice, once as `{key}`", meant.name);
                    return refuse(what, "keep one of the two");
                }
            }
        }
        Ok(Self { path, values })
    }

    pub(super) fn value(&self, section: &str, key: &str) -> Option<&str> {
        self.values.get(&(section.to_owned(), key.to_owned())).map(String::as_str)
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

/// What a value is that no flag could be.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "a list of something else than strings",
        Value::Float(_) => "a number with a point",
        Value::Datetime(_) => "a date",
        Value::Table(_) => "a table",
        Value::String(_) | Value::Integer(_) | Value::Boolean(_) => "something else",
    }
}

/// A value as a flag would have it: lists are joined by commas.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        Value::Array(items) => {
            let items: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            Some(items?.join(","))
        }
        Value::Float(_) | Value::Datetime(_) | Value::Table(_) => None,
    }
}
