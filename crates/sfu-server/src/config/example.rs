//! Writes the documented example file from the doc comments and defaults of the tree.

use std::fmt::Write;

use super::Config;
use super::schema::OptionDoc;

const HEAD: &str = "\
# Configuration of sfu-server. Every line that is commented out shows a default, or an example where there is none.
# Each option can also be set in the environment: http.listen is SFU_HTTP__LISTEN, and so on.
# This file is generated: `sfu-server config example`.
";

/// Text of `deploy/config.example.toml`.
pub fn example() -> String {
    let mut text = HEAD.to_owned();
    for section in Config::sections() {
        text.push('\n');
        comment(&mut text, section.doc);
        let _ = writeln!(text, "[{}]", section.name);
        for option in &section.options {
            text.push('\n');
            comment(&mut text, option.doc);
            let _ = writeln!(text, "#{} = {}", option.name, value(option));
        }
    }
    text
}

fn comment(text: &mut String, lines: &[&str]) {
    for line in lines {
        let _ = writeln!(text, "#{line}");
    }
}

fn value(option: &OptionDoc) -> String {
    match option.example {
        Some(example) => example.to_owned(),
        None => option.sample().to_string(),
    }
}
