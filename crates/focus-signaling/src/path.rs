//! Where in a JSON text an error lies. `serde_json` says only line and column, and a client's developer needs the field.

/// The path (`tracks[3].width`) of the value at `line` and `column`, as [`serde_json::Error`] counts them.
/// `json` must be well-formed JSON; for anything else the answer is harmless and useless. Empty: the value itself.
pub(crate) fn at(json: &str, line: usize, column: usize) -> String {
    let line_start = match line.checked_sub(2) {
        None => 0,
        Some(newline) => json.bytes().enumerate().filter(|(_, b)| *b == b'\n').nth(newline).map_or(0, |(i, _)| i + 1),
    };
    let end = line_start.saturating_add(column).min(json.len());
    let mut levels: Vec<Level<'_>> = Vec::new();
    let bytes = json.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at).filter(|_| at < end) {
        let next = if *byte == b'"' { string_end(bytes, at) } else { at + 1 };
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b':' => {}
            b'}' | b']' => drop(levels.pop()),
            b',' => {
                if let Some(level) = levels.last_mut() {
                    level.between = true;
                }
            }
            _ => {
                if let Some(level) = levels.last_mut()
                    && level.between
                {
                    level.between = false;
                    level.index += 1;
                    level.key = json.get(at + 1..next.saturating_sub(1)).filter(|_| level.is_object);
                }
                if matches!(byte, b'{' | b'[') {
                    levels.push(Level { is_object: *byte == b'{', between: true, index: 0, key: None });
                }
            }
        }
        at = next;
    }
    write(&levels)
}

/// An object or an array that is open.
struct Level<'a> {
    is_object: bool,
    /// Before the next key or element. A comma alone does not yet leave the value before it.
    between: bool,
    /// Number of keys or elements begun.
    index: usize,
    key: Option<&'a str>,
}

/// The place after the string that begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        match bytes.get(at) {
            Some(b'\\') => at += 2,
            Some(b'"') | None => return at + 1,
            Some(_) => at += 1,
        }
    }
}

fn write(levels: &[Level<'_>]) -> String {
    let mut path = String::new();
    for level in levels {
        if let Some(key) = level.key {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(key);
        } else if let Some(index) = level.index.checked_sub(1).filter(|_| !level.is_object) {
            path.push_str(&format!("[{index}]"));
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::wire::{Announce, Offer, Ping, Subscribe};

    fn path_of<T: DeserializeOwned>(json: &str) -> String {
        match serde_json::from_str::<T>(json) {
            Ok(_) => panic!("{json} is fine"),
            Err(error) => at(json, error.line(), error.column()),
        }
    }

    #[test]
    fn names_the_field_of_a_wrong_type() {
        assert_eq!(path_of::<Ping>(r#"{"n":"x"}"#), "n");
        assert_eq!(path_of::<Ping>(r#"{"n":-1}"#), "n");
        assert_eq!(path_of::<Ping>(r#"{"n":1.5,"z":1}"#), "n");
        assert_eq!(path_of::<Ping>(r#"{"a":[{"n":[1,2]}], "n" : {"n":3} }"#), "n");
        assert_eq!(path_of::<Ping>(r#"{"n":[1]}"#), "n");
        assert_eq!(path_of::<Ping>("{\n \"z\": 1,\n \"n\": null\n}"), "n");
        assert_eq!(path_of::<Ping>(r#"{"\"},{":1,"n":true}"#), "n");
    }

    #[test]
    fn names_the_element_of_a_list() {
        let json = r#"{"tracks":[{"track":"a"},{"track":"b","width":"640"},{"track":"c"}]}"#;
        assert_eq!(path_of::<Subscribe>(json), "tracks[1].width");
        assert_eq!(path_of::<Subscribe>(r#"{"tracks":[{"track":"a"}, 7]}"#), "tracks[1]");
        assert_eq!(path_of::<Subscribe>(r#"{"tracks":[[],{}]}"#), "tracks[0]");
        assert_eq!(path_of::<Announce>(r#"{"keys":[{"index":4294967296,"salt":""}],"key_index":0}"#), "keys[0].index");
    }

    #[test]
    fn names_the_object_that_misses_a_field() {
        assert_eq!(path_of::<Subscribe>(r#"{"tracks":[{"track":"a"},{"mid":"1"},{"track":"c"}]}"#), "tracks[1]");
        assert_eq!(path_of::<Ping>(r#"{}"#), "");
        assert_eq!(path_of::<Ping>(r#"{"a":{"b":1}}"#), "");
    }

    #[test]
    fn names_an_unknown_variant() {
        let json = r#"{"sdp":"","seq":1,"tracks":[{"mid":"0","source":"camera"},{"mid":"1","source":"hat"}]}"#;
        assert_eq!(path_of::<Offer>(json), "tracks[1].source");
    }

    #[test]
    fn survives_any_position() {
        for json in ["", "\"", "\"\\", "]]]", "{\"a\":[1,", "{,,:\"ä\"}", "\n\n\n"] {
            for line in 0..5 {
                for column in (0..10).chain([usize::MAX]) {
                    at(json, line, column);
                }
            }
        }
    }
}
