//! What is wrong with the configuration: every fault at once, each with its place and what to do about it.

use std::fmt;
use std::path::PathBuf;

/// Where a value stands, or should stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// An environment variable.
    Variable(String),
    /// A line of the file.
    File {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The key, with its tables.
        key: String,
    },
    /// The file as a whole.
    WholeFile(PathBuf),
    /// Nowhere yet: it is missing.
    Missing {
        /// The variable that would give it.
        variable: String,
        /// The key that would give it.
        key: String,
    },
    /// Nothing was given: the built-in value.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => f.write_str(name),
            Self::File { path, line, key } if key.is_empty() => write!(f, "{}, line {line}", path.display()),
            Self::File { path, line, key } => write!(f, "{}, line {line}, `{key}`", path.display()),
            Self::WholeFile(path) => write!(f, "{}", path.display()),
            Self::Missing { variable, key } => write!(f, "{variable} (in the file: `{key}`)"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One thing that is wrong, or worth knowing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What, and what to do about it. Never holds a secret.
    pub message: String,
}

impl Fault {
    /// A fault at `place`.
    pub fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Fault>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => write!(f, "The configuration cannot be used. {only}"),
            faults => {
                write!(f, "The configuration cannot be used; {} things have to be corrected:", faults.len())?;
                faults.iter().try_for_each(|fault| write!(f, "\n  - {fault}"))
            }
        }
    }
}

impl std::error::Error for ConfigError {}
