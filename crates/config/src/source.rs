//! Where settings come from: the process environment, read here and nowhere else, and the file. What both give is brought together by
//! setting, environment first, before anything is understood.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use toktra_siem_core::fault::shown;
use toktra_siem_platform::Registry;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Place};
use super::files;
use super::settings::{self, Kind, Setting, Table};
use super::slip::slip;

/// The file that is read where nobody names one, if it is there.
pub const DEFAULT_FILE: &str = "toktra-siem.toml";
/// Names the directory with a file for each setting that is given as a credential (systemd's `LoadCredential`).
pub const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";
/// Names the file, where `--config` does not.
pub const FILE_VARIABLE: &str = "TOKTRA_SIEM_CONFIG";

/// What other programs go through. An environment says so for all of them; what this service sends goes where its own settings say.
const PROXY_VARIABLES: [&str; 6] = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
const NO_PROXY_USED: &str = "is set, and this service does not use it: what it sends goes through no proxy. If it should, set \
                             TOKTRA_SIEM_EGRESS_PROXY (in the file: `egress_proxy`)";

/// The variables of an environment.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl std::fmt::Debug for Environment {
    /// Names only: values are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the adapter that the ban points to")]
        let variables = std::env::vars_os();
        Self(variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect())
    }

    /// An environment that holds these variables only.
    pub fn of<N: Into<String>, V: Into<OsString>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// Whether the variable `name` is there and is not UTF-8.
    pub fn is_unreadable(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| value.to_str().is_none())
    }

    /// The variable `name`. An empty one counts as absent, so that `NAME=${NAME:-}` means what it says; so does one that is not UTF-8,
    /// which [`Values::read`] reports for every setting.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(|value| value.to_str()).filter(|value| !value.is_empty())
    }
}

/// The text of one setting, and where it was given. The text may be a secret.
#[derive(Debug, Clone)]
pub struct Given {
    /// As written.
    pub text: SecretString,
    /// Where.
    pub place: Place,
}

/// Everything that was given, by key.
#[derive(Debug, Default)]
pub struct Values {
    /// What can be given.
    pub(super) table: Table,
    given: BTreeMap<String, Given>,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// What could not be read.
    pub faults: Vec<Fault>,
    /// What was skipped: worth a line in the log.
    pub notes: Vec<Fault>,
}

impl Values {
    /// Nothing yet, for a service that knows these platforms.
    pub fn of(registry: Registry) -> Self {
        Self { table: Table::new(registry), ..Self::default() }
    }

    /// Reads the file (`named`, or what the environment names, or [`DEFAULT_FILE`] if it is there), then the credentials, then the
    /// environment.
    #[must_use]
    pub fn read(self, named: Option<&Path>, environment: &Environment) -> Self {
        let mut values = self;
        let variable = environment.get(FILE_VARIABLE).filter(|_| named.is_none());
        match variable.and_then(|path| slip(Kind::Path, path)) {
            Some(why) => values.faults.push(Fault::new(Place::Variable(FILE_VARIABLE.to_owned()), why)),
            None => values.read_file(named.or_else(|| variable.map(Path::new))),
        }
        if let Some(directory) = environment.get(CREDENTIALS_VARIABLE) {
            values.take_credentials(Path::new(directory));
        }
        values.take_environment(environment);
        values
    }

    fn read_file(&mut self, named: Option<&Path>) {
        let path = named.unwrap_or(Path::new(DEFAULT_FILE));
        match std::fs::read_to_string(path) {
            Ok(text) => {
                self.take_file(path, &text);
                self.look_who_reads(path);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {}
            Err(error) => {
                let message = format!("cannot be read ({error}). Check the path and its permissions");
                self.faults.push(Fault::new(Place::WholeFile(path.to_owned()), message));
            }
        }
    }

    /// Notes that others may read a file that has secrets in it.
    fn look_who_reads(&mut self, path: &Path) {
        let secret = |setting: &Setting| {
            setting.secret && self.get(setting).is_some_and(|given| matches!(given.place, Place::File { .. }))
        };
        let open = std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0);
        if open && self.table.all().any(secret) {
            let message = format!("holds secrets, and others than its owner may read it: chmod 600 {}", path.display());
            self.notes.push(Fault::new(Place::WholeFile(path.to_owned()), message));
        }
    }

    /// Takes what stands in the files of a directory, each called as a variable is. A line break at the end of a file is not part of it.
    pub(super) fn take_credentials(&mut self, directory: &Path) {
        let mut names: Vec<String> = match std::fs::read_dir(directory) {
            Ok(names) => names.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect(),
            Err(error) => {
                let message =
                    format!("names {}, which cannot be read ({error}). Correct it, or unset it", directory.display());
                return self.faults.push(Fault::new(Place::Variable(CREDENTIALS_VARIABLE.to_owned()), message));
            }
        };
        for setting in self.table.all() {
            let path = directory.join(&*setting.variable);
            let place = Place::WholeFile(path.clone());
            match files::text(&path) {
                Ok(text) => {
                    let text = text.strip_suffix('\n').unwrap_or(&text);
                    if !text.is_empty() {
                        self.given.insert(setting.key.to_string(), Given { text: text.into(), place });
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => self.faults.push(Fault::new(place, format!("cannot be read ({error})"))),
            }
        }
        names.sort_unstable();
        names.retain(|name| is_ours(name) && !self.is_known(name));
        for name in &names {
            let known = self.table.all().map(|setting| &*setting.variable);
            let message = format!("is not a setting of this service, and is ignored.{}", suggestion(name, known));
            self.notes.push(Fault::new(Place::WholeFile(directory.join(shown(name))), message));
        }
    }

    /// Reads the environment alone, for a server that is started from within a program.
    #[must_use]
    pub fn read_environment(self, environment: &Environment) -> Self {
        let mut values = self;
        values.take_environment(environment);
        values
    }

    /// What was given for `setting`.
    pub fn get(&self, setting: &Setting) -> Option<&Given> {
        self.given.get(&*setting.key)
    }

    /// Where to look for, or to add, what `setting` says.
    pub fn place(&self, setting: &Setting) -> Place {
        let missing = || Place::Missing { variable: setting.variable.to_string(), key: setting.key.to_string() };
        self.get(setting).map_or_else(missing, |given| given.place.clone())
    }

    /// Takes what the environment says; it wins over what was taken before.
    pub(super) fn take_environment(&mut self, environment: &Environment) {
        for setting in self.table.all() {
            let Some(value) = environment.0.get(&*setting.variable).filter(|value| !value.is_empty()) else { continue };
            let place = Place::Variable(setting.variable.to_string());
            match value.to_str() {
                Some(text) => {
                    let given = self.given.insert(setting.key.to_string(), Given { text: text.into(), place });
                    if let Some(Given { place: credential @ Place::WholeFile(_), .. }) = given {
                        let message = format!("is not used, because the variable {} is set too", setting.variable);
                        self.notes.push(Fault::new(credential, message));
                    }
                }
                None => self.faults.push(Fault::new(place, "is not valid UTF-8")),
            }
        }
        let unknown = environment
            .0
            .keys()
            .filter(|name| is_ours(name))
            .filter(|name| !self.is_known(name) && !is_service_link(name));
        let note = |name: &String| {
            let known = self.table.all().map(|setting| &*setting.variable);
            let message = format!("is not a variable of this service, and is ignored.{}", suggestion(name, known));
            Fault::new(Place::Variable(shown(name)), message)
        };
        let notes: Vec<Fault> = unknown.map(note).collect();
        self.notes.extend(notes);
        if self.table.by_key("egress_proxy").is_some_and(|setting| self.get(setting).is_none()) {
            let unused = PROXY_VARIABLES.iter().filter(|name| environment.0.get(**name).is_some_and(|v| !v.is_empty()));
            let note = |name: &&str| Fault::new(Place::Variable((*name).to_owned()), NO_PROXY_USED);
            self.notes.extend(unused.map(note));
        }
    }

    fn is_known(&self, variable: &str) -> bool {
        self.table.all().any(|setting| setting.variable == variable)
            || settings::CLIENT_VARIABLES.iter().any(|(name, _)| *name == variable)
    }

    /// Takes what the text of a file says.
    pub(super) fn take_file(&mut self, path: &Path, text: &str) {
        self.file = Some(path.to_owned());
        let (table, errors) = DeTable::parse_recoverable(text);
        let file = File { path, text };
        let mut readable = true;
        for error in errors {
            let span = error.span().unwrap_or_default();
            let (line, path) = (file.line(span.start), path.to_owned());
            if error.message() == "duplicate key" {
                let key = shown(text.get(span).unwrap_or_default());
                self.faults.push(Fault::new(Place::File { path, line, key }, "is there already: keep one of them"));
                continue;
            }
            readable = false;
            // Its first line alone: the rest would show the line of the file, which may hold a secret.
            let message = format!("is not TOML: {}", error.message().lines().next().unwrap_or_default());
            self.faults.push(Fault::new(Place::File { path, line, key: String::new() }, message));
        }
        // Where something is there twice, everything else can still be looked at.
        if readable {
            self.take_table(&file, "", table.get_ref());
        }
    }

    fn take_table(&mut self, file: &File<'_>, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = format!("{prefix}{}", name.get_ref());
            let below = format!("{key}.");
            let place = file.place(&key, name);
            match (self.table.by_key(&key), value.get_ref()) {
                (Some(setting), value) => match text_of(setting, value) {
                    Ok(text) => {
                        self.given.insert(setting.key.to_string(), Given { text: text.into(), place });
                    }
                    Err(message) => self.faults.push(Fault::new(place, message)),
                },
                (None, DeValue::Table(inner)) if self.table.all().any(|s| s.key.starts_with(&below)) => {
                    self.take_table(file, &below, inner);
                }
                (None, _) if self.table.all().any(|s| s.key.starts_with(&below)) => {
                    self.faults.push(Fault::new(
                        place,
                        "must be a table: write it as a `[…]` section with its settings below",
                    ));
                }
                (None, _) => {
                    let tables = self.table.registry().descriptors().map(|platform| platform.id.as_str());
                    let known = self.table.all().map(|setting| &*setting.key).chain(tables);
                    let message = format!("is not a setting.{}", suggestion(&key, known));
                    self.faults.push(Fault::new(place, message));
                }
            }
        }
    }
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    fn line(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|b| *b == b'\n').count()
    }

    fn place<T>(&self, key: &str, at: &Spanned<T>) -> Place {
        Place::File { path: self.path.to_owned(), line: self.line(at.span().start), key: shown(key) }
    }
}

/// A value of the file in the notation of the environment. A bare number or flag counts as the text that it is written as: whoever reads
/// the setting says what is wrong with it, a missing unit for one. A secret is text, of which every character counts.
fn text_of(setting: &Setting, value: &DeValue<'_>) -> Result<String, String> {
    match (value, setting.kind) {
        (DeValue::String(text), _) if text.is_empty() => {
            Err("is empty; leave it out where it is not wanted".to_owned())
        }
        (DeValue::String(text), _) => Ok(text.to_string()),
        (DeValue::Boolean(flag), _) if !setting.secret => Ok(flag.to_string()),
        (DeValue::Integer(number), _) if !setting.secret && number.radix() == 10 => Ok(number.as_str().to_owned()),
        (DeValue::Float(number), _) if !setting.secret => Ok(number.as_str().to_owned()),
        (DeValue::Array(array), kind) if kind.is_list() => {
            let items: Option<Vec<&str>> = array.iter().map(|item| item.get_ref().as_str()).collect();
            items.map(|items| items.join(",")).ok_or_else(|| "must hold texts in quotes only".to_owned())
        }
        (_, kind) => Err(format!("must be {}{}", kind.expects(), if quoted(kind) { ", in quotes" } else { "" })),
    }
}

fn quoted(kind: Kind) -> bool {
    !matches!(kind, Kind::Flag | Kind::Count | Kind::Ratio)
}

fn is_ours(variable: &str) -> bool {
    variable.starts_with("TOKTRA_SIEM_") || variable.starts_with("SIEM_")
}

/// Variables that Kubernetes makes for a Service named `toktra-siem` or `siem`: nobody wrote them.
fn is_service_link(variable: &str) -> bool {
    variable.contains("_SERVICE_HOST")
        || variable.contains("_SERVICE_PORT")
        || variable.ends_with("_PORT")
        || variable.contains("_PORT_")
}

/// The known name that was probably meant. What all variables begin with does not make two of them alike.
fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = known.map(|k| (strsim::damerau_levenshtein(name, k), k)).min();
    let own = name.trim_start_matches("TOKTRA_").trim_start_matches("SIEM_");
    match near {
        Some((distance, near)) if distance <= 1 + own.len() / 4 => format!(" Did you mean `{near}`?"),
        _ => " `toktra-siem config check` lists all that are known.".to_owned(),
    }
}

impl Given {
    /// The text, for whoever understands it.
    pub(super) fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}
