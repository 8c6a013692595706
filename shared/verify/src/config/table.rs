//! Settings and the tables of a function's settings. From a table come the struct, its reader and the reference page.

use super::{ConfigError, Lookup};
use std::ops::RangeInclusive;

/// A setting whose value is a whole number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// The environment variable.
    pub name: &'static str,
    /// The unit of default and range, in the plural.
    pub unit: &'static str,
    /// The value if the variable is unset.
    pub default: u64,
    /// The least and the greatest value.
    pub range: RangeInclusive<u64>,
    /// The meaning, in Markdown.
    pub doc: &'static str,
}

/// A setting whose value is text. The reader of its field parses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The environment variable.
    pub name: &'static str,
    /// The meaning, in Markdown.
    pub doc: &'static str,
    /// Whether the text is a JSON array, which the document of settings has as such.
    pub json: bool,
}

/// A setting of either kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// A whole number with a default and a range.
    Number(&'static Number),
    /// Text that its reader parses.
    Text(&'static Text),
}

impl Number {
    /// The setting as an entry of a [`Table`].
    #[must_use]
    pub const fn setting(&'static self) -> Setting {
        Setting::Number(self)
    }
}

impl Text {
    /// The setting as an entry of a [`Table`].
    #[must_use]
    pub const fn setting(&'static self) -> Setting {
        Setting::Text(self)
    }
}

impl Setting {
    /// The environment variable.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Number(number) => number.name,
            Self::Text(text) => text.name,
        }
    }

    /// The member of the document of settings: the variable without `DAYPASS_`, in lower case.
    #[must_use]
    pub fn member(self) -> String {
        let name = self.name();
        name.strip_prefix("DAYPASS_").unwrap_or(name).to_ascii_lowercase()
    }

    /// The meaning, in one line of Markdown.
    #[must_use]
    pub const fn doc(self) -> &'static str {
        let doc = match self {
            Self::Number(number) => number.doc,
            Self::Text(text) => text.doc,
        };
        doc.trim_ascii()
    }
}

/// The settings of one function.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// The function, by the name of its binary.
    pub function: &'static str,
    /// All settings that the function reads.
    pub settings: &'static [Setting],
    /// Reads the settings and drops the result.
    pub check: fn(Lookup<'_>) -> Result<(), ConfigError>,
}

/// Declares settings. The doc comment is the meaning, and a number has its default, range and unit:
///
/// ```
/// daypass_verifier::settings! {
///     /// The longest pause.
///     PAUSE_SECONDS = "DAYPASS_PAUSE_SECONDS": 30 in 0..=120 seconds;
///
///     /// The text of the greeting.
///     GREETING = "DAYPASS_GREETING";
/// }
/// assert_eq!(PAUSE_SECONDS.setting().doc(), "The longest pause.");
/// assert_eq!(GREETING.name, "DAYPASS_GREETING");
/// ```
#[macro_export]
macro_rules! settings {
    () => {};
    (
        $(#[doc = $doc:literal])+
        $setting:ident = $name:literal: $default:literal in $least:literal..=$most:literal $unit:ident;
        $($rest:tt)*
    ) => {
        $(#[doc = $doc])+
        #[allow(rustdoc::bare_urls, reason = "the text is also that of the reference")]
        pub const $setting: $crate::config::Number = $crate::config::Number {
            name: $name,
            unit: stringify!($unit),
            default: $default,
            range: $least..=$most,
            doc: concat!($($doc),+),
        };
        $crate::settings!($($rest)*);
    };
    ($(#[doc = $doc:literal])+ $setting:ident = $name:literal; $($rest:tt)*) => {
        $crate::settings!($(#[doc = $doc])+ $setting = $name, json: false; $($rest)*);
    };
    ($(#[doc = $doc:literal])+ $setting:ident = $name:literal as JSON; $($rest:tt)*) => {
        $crate::settings!($(#[doc = $doc])+ $setting = $name, json: true; $($rest)*);
    };
    ($(#[doc = $doc:literal])+ $setting:ident = $name:literal, json: $json:literal; $($rest:tt)*) => {
        $(#[doc = $doc])+
        #[allow(rustdoc::bare_urls, reason = "the text is also that of the reference")]
        pub const $setting: $crate::config::Text =
            $crate::config::Text { name: $name, doc: concat!($($doc),+), json: $json };
        $crate::settings!($($rest)*);
    };
}

/// Declares the tables of functions. Each field has a type, its reader and the settings that the reader gets. `+` adds the
/// settings that the function reads by other means.
///
/// A table becomes a struct, a function that reads it, and an entry of `TABLES`:
///
/// ```
/// use daypass_verifier::config::{AUDIENCE, ISSUER, Reader};
/// use daypass_verifier::base::issuer::Issuer;
///
/// daypass_verifier::tables! {
///     #[derive(Clone)]
///     "verifier" verifier -> VerifierConfig {
///         issuer: Issuer = Reader::issuer(ISSUER);
///         audience: String = Reader::audience(AUDIENCE);
///     }
/// }
/// let error = verifier(|_| None).unwrap_err().to_string();
/// assert!(error.contains("DAYPASS_ISSUER is not set; DAYPASS_AUDIENCE is not set"), "{error}");
/// assert_eq!(TABLES[0].settings, [ISSUER.setting(), AUDIENCE.setting()]);
/// ```
#[macro_export]
macro_rules! tables {
    ($(
        $(#[$attribute:meta])*
        $function:literal $read:ident -> $config:ident {
            $($field:ident: $type:ty = $($reader:ident)::+($($setting:ident),+);)+
        }
        $(+ [$($other:ident),+])?
    )+) => {
        $(
            #[doc = concat!("Configuration of `", $function, "`.")]
            #[derive(Debug)]
            $(#[$attribute])*
            pub struct $config {
                $(
                    #[doc = concat!("The value of", $(" [`", stringify!($setting), "`]"),+, ".")]
                    pub $field: $type,
                )+
            }

            #[doc = concat!("Reads the configuration of `", $function, "`.")]
            ///
            /// # Errors
            /// `ConfigError` with every problem.
            pub fn $read(
                lookup: impl Fn(&str) -> Option<String>,
            ) -> Result<$config, $crate::config::ConfigError> {
                let mut reader = $crate::config::Reader::new(&lookup, TABLES);
                $(let $field = $($reader)::+(&mut reader, $(&$setting),+);)+
                reader.finish(|| Some($config { $($field: $field?),+ }))
            }
        )+

        /// The tables of settings that this module declares, one for each function.
        pub const TABLES: &[$crate::config::Table] = &[$(
            $crate::config::Table {
                function: $function,
                settings: &[$($($setting.setting()),+),+ $($(, $other.setting())+)?],
                check: |lookup| $read(lookup).map(drop),
            },
        )+];
    };
}
