//! Two macros that make a struct, its defaults and its documentation from one text.

/// One option as the example file and the loader see it.
#[derive(Debug)]
pub(super) struct OptionDoc {
    pub(super) name: &'static str,
    pub(super) doc: &'static [&'static str],
    /// `None`: not set by default.
    pub(super) default: Option<toml::Value>,
    /// A value as TOML text, where the default shows too little.
    pub(super) example: Option<&'static str>,
}

/// One `[section]`.
#[derive(Debug)]
pub(super) struct SectionDoc {
    pub(super) name: &'static str,
    pub(super) doc: &'static [&'static str],
    pub(super) options: Vec<OptionDoc>,
}

impl OptionDoc {
    /// A value of the type that the option has.
    pub(super) fn sample(&self) -> toml::Value {
        let from_example = || {
            let text = format!("value = {}", self.example.unwrap_or("\"\""));
            toml::from_str::<toml::Table>(&text).ok().and_then(|mut t| t.remove("value"))
        };
        self.default.clone().or_else(from_example).unwrap_or_else(|| toml::Value::String(String::new()))
    }
}

pub(super) trait Section {
    const DOC: &'static [&'static str];
    fn options() -> Vec<OptionDoc>;
}

/// `/// doc`, `name: Type = default;`, optionally `name: Type = default, example "toml";`
macro_rules! section {
    ($(#[doc = $about:literal])* $name:ident {
        $( $(#[doc = $doc:literal])* $field:ident : $ty:ty = $default:expr $(, example $example:literal)? ; )*
    }) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $field: $ty, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl schema::Section for $name {
            const DOC: &'static [&'static str] = &[$($about),*];

            fn options() -> Vec<schema::OptionDoc> {
                let default = Self::default();
                vec![$( schema::OptionDoc {
                    name: stringify!($field),
                    doc: &[$($doc),*],
                    // TOML has no null: `None` is what it cannot write.
                    default: toml::Value::try_from(&default.$field).ok(),
                    example: None $(.or(Some($example)))?,
                }, )*]
            }
        }
    };
}

macro_rules! tree {
    ($(#[doc = $about:literal])* $name:ident { $( $field:ident : $ty:ty , )* }) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            /// `--dev`: a flag only, so that no configuration file opens a server to everybody.
            #[serde(skip)]
            pub dev: bool,
            /// The paces of delegated leaves: for tests, which have no time.
            #[serde(skip)]
            pub delegation: focus_matrix::delegation::Timing,
            $( pub $field: $ty, )*
        }

        impl $name {
            fn sections() -> Vec<schema::SectionDoc> {
                vec![$( schema::SectionDoc {
                    name: stringify!($field),
                    doc: <$ty as schema::Section>::DOC,
                    options: <$ty as schema::Section>::options(),
                }, )*]
            }
        }
    };
}

pub(super) use {section, tree};
