//! File, then environment, then checks. An operator's mistake becomes one line that says where it is and what is meant.

use std::path::{Path, PathBuf};

use serde::de::IntoDeserializer as _;
use toml::{Table, Value};

use super::Config;
use super::schema::{OptionDoc, SectionDoc};

/// `SFU_SECTION__KEY` overrides `section.key`.
const PREFIX: &str = "SFU_";
const SEPARATOR: &str = "__";

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {error}")]
    Read { path: PathBuf, error: std::io::Error },
    #[error("{path}:{line}: {message}")]
    Syntax { path: PathBuf, line: usize, message: String },
    #[error("{origin}: there is no {what} `{name}`{}", hint(.suggestion.as_deref()))]
    Unknown { origin: String, what: &'static str, name: String, suggestion: Option<String> },
    #[error("{option}: {message}")]
    Value { option: String, message: String },
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion.map(|s| format!("; did you mean `{s}`?")).unwrap_or_default()
}

/// Reads `file` if there is one, lets `environment` override it, and checks the whole.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    dev: bool,
) -> Result<Config, ConfigError> {
    let sections = Config::sections();
    let mut tree = match file {
        None => Table::new(),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Read { path: path.into(), error })?;
            let tree = parse(path, &text)?;
            refuse_unknown(&path.display().to_string(), &tree, &sections)?;
            tree
        }
    };
    for (name, value) in environment {
        override_one(&mut tree, &sections, &name, &value)?;
    }
    let mut config: Config = serde_path_to_error::deserialize(Value::Table(tree).into_deserializer())
        .map_err(|e| ConfigError::Value { option: e.path().to_string(), message: one_line(e.inner().message()) })?;
    config.dev = dev;
    config.validate()?;
    Ok(config)
}

fn parse(path: &Path, text: &str) -> Result<Table, ConfigError> {
    toml::from_str(text).map_err(|e| {
        let at = e.span().map_or(0, |span| span.start.min(text.len()));
        let line = text.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1;
        ConfigError::Syntax { path: path.into(), line, message: one_line(e.message()) }
    })
}

fn one_line(message: &str) -> String {
    message.trim().replace('\n', ", ")
}

fn refuse_unknown(origin: &str, tree: &Table, sections: &[SectionDoc]) -> Result<(), ConfigError> {
    for (name, value) in tree {
        let section = find_section(origin, sections, name)?;
        let Value::Table(keys) = value else {
            return Err(ConfigError::Value { option: name.clone(), message: format!("is a section: write [{name}]") });
        };
        for key in keys.keys() {
            find_option(origin, section, key)?;
        }
    }
    Ok(())
}

fn find_section<'a>(origin: &str, sections: &'a [SectionDoc], name: &str) -> Result<&'a SectionDoc, ConfigError> {
    sections.iter().find(|s| s.name == name).ok_or_else(|| ConfigError::Unknown {
        origin: origin.to_owned(),
        what: "section",
        name: name.to_owned(),
        suggestion: nearest(name, sections.iter().map(|s| s.name)).map(str::to_owned),
    })
}

fn find_option<'a>(origin: &str, section: &'a SectionDoc, key: &str) -> Result<&'a OptionDoc, ConfigError> {
    section.options.iter().find(|o| o.name == key).ok_or_else(|| ConfigError::Unknown {
        origin: origin.to_owned(),
        what: "option",
        name: format!("{}.{key}", section.name),
        suggestion: nearest(key, section.options.iter().map(|o| o.name)).map(|o| format!("{}.{o}", section.name)),
    })
}

/// The candidate that a mistyped name most likely meant. Beyond a third of its letters wrong, guessing misleads.
fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, candidate) = candidates.map(|c| (strsim::damerau_levenshtein(name, c), c)).min()?;
    (distance <= name.chars().count().max(candidate.len()).div_ceil(3)).then_some(candidate)
}

fn override_one(tree: &mut Table, sections: &[SectionDoc], name: &str, text: &str) -> Result<(), ConfigError> {
    let Some((section, key)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once(SEPARATOR)) else {
        return Ok(());
    };
    let section = find_section(name, sections, &section.to_ascii_lowercase())?;
    let option = find_option(name, section, &key.to_ascii_lowercase())?;
    let value = parse_as(&option.sample(), text).ok_or_else(|| ConfigError::Value {
        option: name.to_owned(),
        message: format!("`{text}` is no {}", option.sample().type_str()),
    })?;
    let keys = tree.entry(section.name).or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(keys) = keys {
        keys.insert(option.name.to_owned(), value);
    }
    Ok(())
}

/// Reads the text of an environment variable as the type that `sample` has. A list is separated by commas.
fn parse_as(sample: &Value, text: &str) -> Option<Value> {
    match sample {
        Value::Integer(_) => text.parse().ok().map(Value::Integer),
        Value::Float(_) => text.parse().ok().map(Value::Float),
        Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
        Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Some(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
        }
        _ => Some(Value::String(text.to_owned())),
    }
}
