//! Configuration: every key is a line of one TOML file, a flag and an environment variable at once.
//! A flag beats the environment, the environment beats the file, the file beats the default. What
//! is unknown or cannot be meant is refused in one line that names the key, where it was set, and
//! the remedy. Knows no key: the roles bring their tables.
//!
//! ```text
//! [meta]                          # the role
//! listen = "10.0.0.1:9421"        # or --listen 10.0.0.1:9421, or MOOSENG_META_LISTEN
//! ```

mod file;
mod value;

pub use value::{ByteSize, FromText, Peer};

use clap::{Arg, ArgMatches, Command};
use file::File;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// One thing that can be set.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As in the file and in the flag: words are joined by `-`.
    pub name: &'static str,
    /// Another name for it, as good as the first.
    pub alias: Option<&'static str>,
    /// What stands for the value in help texts.
    pub form: &'static str,
    pub default: Option<&'static str>,
    pub help: &'static str,
}

/// So that a table of them reads as one.
pub const fn key(
    name: &'static str,
    form: &'static str,
    default: Option<&'static str>,
    help: &'static str,
) -> Key {
    Key { name, alias: None, form, default, help }
}

impl Key {
    pub const fn or(self, alias: &'static str) -> Self {
        Self { alias: Some(alias), ..self }
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        [Some(self.name), self.alias].into_iter().flatten()
    }
}

/// A section of the file, and the keys it may have.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    pub name: &'static str,
    pub keys: &'static [Key],
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Source {
    Flag,
    Environment(String),
    File(String),
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag => f.write_str("given as a flag"),
            Source::Environment(variable) => write!(f, "from the variable {variable}"),
            Source::File(path) => write!(f, "from {path}"),
            Source::Default => f.write_str("its default"),
        }
    }
}

/// Why a configuration is refused, in one line.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("{path}: {what}; {remedy}")]
    File { path: String, what: String, remedy: String },
    #[error("{key}: not set; give {flag}, set {variable}, or write `{key} = …` under [{section}]")]
    Missing { key: &'static str, section: &'static str, flag: String, variable: String },
    #[error("{key}: {found:?}, {source_line}, {why}; write {form}")]
    Value { key: &'static str, found: String, source_line: String, why: String, form: String },
}

/// The keys of one section with what they are set to.
#[derive(Clone, Debug)]
pub struct Settings {
    section: &'static Section,
    values: BTreeMap<&'static str, (String, Source)>,
}

impl Section {
    /// The flags of this section, and `--config`.
    pub fn flags(&self, command: Command) -> Command {
        let config = Arg::new("config").long("config").value_name("FILE").help("The TOML file to read first");
        let config = config.global(true);
        self.keys.iter().fold(command.arg(config), |command, key| {
            let help = match key.default {
                Some(default) => format!("{} [{default}]", key.help),
                None => key.help.to_owned(),
            };
            let flag = Arg::new(key.name).long(key.name).value_name(key.form).help(help).global(true);
            // `-1s` is a bad value rather than a flag that there is not.
            let flag = flag.allow_hyphen_values(["NUMBER", "TIME", "SIZE"].contains(&key.form));
            command.arg(flag.visible_aliases(key.alias.as_slice().to_vec()))
        })
    }

    fn variable(&self, name: &str) -> String {
        format!("MOOSENG_{}_{name}", self.name).replace('-', "_").to_uppercase()
    }
}

impl Settings {
    /// Puts together what was set. `sections` are all that the file may have, so that a slip in
    /// another role's section is found as well.
    pub fn resolve(
        section: &'static Section,
        sections: &[&'static Section],
        flags: &ArgMatches,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SettingsError> {
        let file = match flags.get_one::<String>("config") {
            Some(path) => File::read(Path::new(path), sections)?,
            None => File::default(),
        };
        let mut values = BTreeMap::new();
        for key in section.keys {
            let mut variables = key.names().map(|name| section.variable(name));
            let found = if let Some(text) = flags.get_one::<String>(key.name) {
                Some((text.clone(), Source::Flag))
            } else if let Some(found) = variables.find_map(|name| Some((variable(&name)?, name))) {
                let (text, name) = found;
                Some((text, Source::Environment(name)))
            } else if let Some(text) = file.value(section.name, key.name) {
                Some((text.to_owned(), Source::File(file.path().to_owned())))
            } else {
                key.default.map(|text| (text.to_owned(), Source::Default))
            };
            values.extend(found.map(|found| (key.name, found)));
        }
        Ok(Self { section, values })
    }

    /// The value of a key that must be set.
    pub fn get<T: FromText>(&self, key: &'static str) -> Result<T, SettingsError> {
        match self.find(key)? {
            Some(value) => Ok(value),
            None => {
                let found = self.key(key);
                let flag = format!("--{key}");
                let variable = self.section.variable(found.name);
                Err(SettingsError::Missing { key, section: self.section.name, flag, variable })
            }
        }
    }

    /// The same, of a value that is not to be less than this.
    pub fn at_least<T: FromText + PartialOrd + fmt::Debug>(
        &self,
        key: &'static str,
        least: T,
    ) -> Result<T, SettingsError> {
        let value: T = self.get(key)?;
        if value < least {
            return Err(self.refuse(key, "is too little", &format!("{least:?} or more")));
        }
        Ok(value)
    }

    /// The value of a key that may be missing.
    pub fn find<T: FromText>(&self, key: &'static str) -> Result<Option<T>, SettingsError> {
        assert_eq!(self.key(key).name, key);
        let Some((text, _)) = self.values.get(key) else {
            return Ok(None);
        };
        T::from_text(text).map(Some).map_err(|why| self.refuse(key, &why, T::FORM))
    }

    /// The error for a value that reads well and still cannot be meant.
    pub fn refuse(&self, key: &'static str, why: &str, form: &str) -> SettingsError {
        let (found, source) = self.values.get(key).cloned().unwrap_or((String::new(), Source::Default));
        let (source_line, why, form) = (source.to_string(), why.to_owned(), form.to_owned());
        SettingsError::Value { key, found, source_line, why, form }
    }

    fn key(&self, name: &str) -> &'static Key {
        let found = self.section.keys.iter().find(|key| key.name == name);
        found.unwrap_or_else(|| panic!("[{}] has no key {name}: a bug of ours", self.section.name))
    }
}

#[cfg(test)]
mod tests;
