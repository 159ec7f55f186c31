//! The connectors that files describe, read and checked without a server: by the same parser as the API's, every fault with its line.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use toktra_siem_app::connectors::parse_filter;
use toktra_siem_config::settings;
use toktra_siem_config::slip::slip;
use toktra_siem_config::{Environment, files};
use toktra_siem_core::connector::Settings;
use toktra_siem_core::fault::{FieldFault, shown};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::PlatformId;
use toktra_siem_platform::descriptor::Kind;
use toktra_siem_platform::{Field, Registry, group};

use super::channels;
use super::yaml::{self, Member, Node, Tree};

/// Stands for a credential that the file leaves to the server while the rest is checked. Never sent.
const PLACEHOLDER: &str = "placeholder";
const MEMBERS: &str = "name, platform, config, filter, active, signing_secret";

/// Something that is wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) file: PathBuf,
    pub(super) line: u64,
    pub(super) message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}: {}", self.file.display(), self.line, self.message)
    }
}

/// A connector as a file describes it.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) platform: PlatformId,
    /// As they hold, defaults included.
    pub(super) settings: Settings,
    /// What is given of `config`, without secrets, by the names of the fields.
    pub(super) config: Map<String, Value>,
    /// The credentials that the file gives.
    pub(super) credentials: Vec<(String, SecretString)>,
    pub(super) filter: Filter,
    pub(super) active: bool,
    pub(super) signing_secret: Option<SecretString>,
    file: PathBuf,
    node: Node,
}

impl Described {
    /// A fault at the place of a JSON Pointer.
    pub(super) fn fault(&self, pointer: &str, message: impl Into<String>) -> Fault {
        Fault { file: self.file.clone(), line: self.node.line_at(pointer), message: message.into() }
    }

    /// The credential that it needs and does not give.
    pub(super) fn lacks(&self, registry: &Registry) -> Option<&'static str> {
        let mut wanted = registry.get(self.platform)?.needed(&self.config).into_iter();
        wanted.find(|wanted| self.credentials.iter().all(|(name, _)| name != wanted))
    }
}

/// What files describe.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// The connectors; `None` if no file says anything of connectors.
    pub(super) connectors: Option<Vec<Described>>,
    /// The notification channels; `None` if no file says anything of them.
    pub(super) channels: Option<Vec<channels::Described>>,
}

/// Reads all files; or every fault in them.
pub(super) fn read(
    files: &[(PathBuf, String)],
    environment: &Environment,
    registry: &Registry,
) -> Result<Files, Vec<Fault>> {
    let (mut found, mut faults) = (Files::default(), Vec::new());
    for (path, text) in files {
        let mut reader = Reader { file: path, environment, registry, faults: Vec::new() };
        match yaml::read(text) {
            Ok(documents) => documents.iter().for_each(|document| reader.document(document, &mut found)),
            Err(syntax) => reader.fault(syntax.line, format!("is not YAML: {}", syntax.message)),
        }
        faults.extend(reader.faults);
    }
    let connectors = found.connectors.iter().flatten().map(|one| (&*one.name, &one.file, &one.node));
    faults.extend(twice(connectors));
    faults.extend(twice(found.channels.iter().flatten().map(|one| (&*one.name, &one.file, &one.node))));
    let place = |fault: &Fault| (files.iter().position(|(path, _)| *path == fault.file), fault.line);
    faults.sort_by_key(place);
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

/// Names that are given more than once.
fn twice<'d>(all: impl Iterator<Item = (&'d str, &'d PathBuf, &'d Node)>) -> Vec<Fault> {
    let mut names = HashMap::new();
    let again = |(name, file, node): (&'d str, &'d PathBuf, &'d Node)| {
        let line = node.line_at("/name");
        let (first, there) = names.insert(name, (file, line))?;
        let message = format!("the name \"{}\" is there already ({}, line {there})", shown(name), first.display());
        Some(Fault { file: file.clone(), line, message })
    };
    all.filter_map(again).collect()
}

pub(super) struct Reader<'r> {
    pub(super) file: &'r Path,
    environment: &'r Environment,
    registry: &'r Registry,
    pub(super) faults: Vec<Fault>,
}

impl Reader<'_> {
    pub(super) fn fault(&mut self, line: u64, message: impl Into<String>) {
        self.faults.push(Fault { file: self.file.to_owned(), line, message: message.into() });
    }

    fn document(&mut self, document: &Node, found: &mut Files) {
        let Tree::Map(members) = &document.tree else {
            return self.fault(document.line, "must be a map with the member `connectors`, `channels` or both");
        };
        if members.is_empty() {
            self.fault(document.line, "`connectors` is missing");
        }
        for member in members {
            match (&*member.name, &member.value.tree) {
                ("connectors", Tree::List(items)) => {
                    let read: Vec<_> = items.iter().filter_map(|item| self.connector(item)).collect();
                    found.connectors.get_or_insert_default().extend(read);
                }
                ("channels", Tree::List(items)) => {
                    let read: Vec<_> = items.iter().filter_map(|item| self.channel(item)).collect();
                    found.channels.get_or_insert_default().extend(read);
                }
                ("connectors" | "channels", _) => {
                    self.fault(member.value.line, format!("`{}` must be a list", member.name));
                }
                (other, _) => {
                    let message =
                        format!("`{}` is not known here; known are `connectors` and `channels`", shown(other));
                    self.fault(member.line, message);
                }
            }
        }
    }

    /// One connector; `None` where something is wrong with it.
    fn connector(&mut self, node: &Node) -> Option<Described> {
        let before = self.faults.len();
        let Tree::Map(members) = &node.tree else {
            self.fault(node.line, format!("a connector must be a map of {MEMBERS}"));
            return None;
        };
        for member in members.iter().filter(|member| !MEMBERS.split(", ").any(|known| known == member.name)) {
            self.fault(
                member.line,
                format!("`{}` is not a member of a connector; known are {MEMBERS}", shown(&member.name)),
            );
        }
        let name = self.name(node);
        let platform = self.platform(node);
        let active = self.active(node);
        let signing_secret =
            node.member("signing_secret").and_then(|member| self.referenced(&member.value, "signing_secret"));
        let filter = match parse_filter(node.member("filter").map_or(Value::Null, |member| member.value.json())) {
            Ok(filter) => Some(filter),
            Err(faults) => {
                self.placed(node, faults);
                None
            }
        };
        let config = self.config(node, platform);
        let (settings, config, credentials) = self.settings(node, platform?, config?)?;
        if self.faults.len() > before {
            return None;
        }
        Some(Described {
            name: name?,
            platform: platform?,
            settings,
            config,
            credentials,
            filter: filter?,
            active,
            signing_secret: signing_secret.map(SecretString::from),
            file: self.file.to_owned(),
            node: node.clone(),
        })
    }

    fn placed(&mut self, node: &Node, faults: Vec<FieldFault>) {
        for FieldFault { pointer, message, .. } in faults {
            // A filter's faults name their member themselves.
            let named = match pointer.strip_prefix("/config/") {
                Some(member) if !message.contains(member) => format!("`{member}` {message}"),
                _ => message,
            };
            self.fault(node.line_at(&pointer), named);
        }
    }

    pub(super) fn name(&mut self, node: &Node) -> Option<String> {
        match node.member("name").map(|member| &member.value) {
            Some(Node { tree: Tree::Text(text), .. }) if !text.trim().is_empty() => {
                return Some(text.trim().to_owned());
            }
            Some(other) => self.fault(other.line, "`name` must be a text"),
            None => self.fault(node.line, "`name` is missing: connectors and channels are known by it"),
        }
        None
    }

    fn platform(&mut self, node: &Node) -> Option<PlatformId> {
        let Some(member) = node.member("platform") else {
            self.fault(node.line, format!("`platform` is missing: {}", self.registry.listed()));
            return None;
        };
        let found = serde_json::from_value(member.value.json()).ok();
        let found = found.filter(|platform| self.registry.get(*platform).is_some());
        if found.is_none() {
            self.fault(member.line, format!("`platform` must be {}", self.registry.listed()));
        }
        found
    }

    pub(super) fn active(&mut self, node: &Node) -> bool {
        match node.member("active").map(|member| &member.value) {
            None => true,
            Some(Node { tree: Tree::Flag(flag), .. }) => *flag,
            Some(other) => {
                self.fault(other.line, "`active` must be true or false");
                true
            }
        }
    }

    /// `config` with every reference followed.
    fn config(&mut self, node: &Node, platform: Option<PlatformId>) -> Option<Map<String, Value>> {
        let members = match node.member("config").map(|member| &member.value) {
            None => return Some(Map::new()),
            Some(Node { tree: Tree::Map(members), .. }) => members,
            Some(other) => {
                self.fault(other.line, "`config` must be a map");
                return None;
            }
        };
        let mut config = Map::new();
        for (name, value) in members.iter().flat_map(|member| parts(self.registry, platform, member)) {
            let field = platform.and_then(|platform| self.registry.field(platform, &name));
            let referable = field.is_some_and(|field| field.is_secret() || matches!(field.kind, Kind::Pem(_)));
            let value = match field {
                Some(Field { kind: Kind::Headers, .. }) => self.headers(value, &name),
                _ if referable => self.referenced(value, &name).map(Value::from),
                _ => Some(value.json()),
            };
            config.extend(value.map(|value| (name, value)));
        }
        Some(config)
    }

    /// Headers: a map, each of whose values may be a reference; or all of them by one reference or text.
    fn headers(&mut self, node: &Node, name: &str) -> Option<Value> {
        let Tree::Map(members) = &node.tree else { return self.referenced(node, name).map(Value::from) };
        if let [member] = members.as_slice()
            && ["env", "file"].contains(&member.name.as_str())
        {
            return self.referenced(node, name).map(Value::from);
        }
        let mut headers = Map::new();
        for member in members {
            let value = self.referenced(&member.value, &format!("{name}.{}", member.name))?;
            headers.insert(member.name.clone(), value.into());
        }
        Some(headers.into())
    }

    /// A text as it is, or what `{env: NAME}` or `{file: PATH}` leads to.
    pub(super) fn referenced(&mut self, node: &Node, name: &str) -> Option<String> {
        let (kind, place) = match &node.tree {
            Tree::Text(text) => return Some(text.clone()),
            Tree::Map(members) => match members.as_slice() {
                [member] => match &member.value.tree {
                    Tree::Text(place) => (member.name.as_str(), place),
                    _ => ("", &member.name),
                },
                _ => ("", &self.file.display().to_string()),
            },
            _ => ("", &String::new()),
        };
        let found = match kind {
            "env" => match self.environment.get(place) {
                Some(value) => match slip(kind_of(name), value).filter(|_| name != "signing_secret") {
                    // A signing secret is taken as it is: receivers hold it.
                    Some(why) => Err(format!("`{name}`: the variable {} {why}", shown(place))),
                    None => Ok(value.to_owned()),
                },
                None => Err(format!("`{name}`: the variable {} is not set", shown(place))),
            },
            "file" => {
                // Beside the file that names it, wherever the command runs.
                let path = self.file.parent().unwrap_or(Path::new("")).join(place);
                // Certificates and keys come in other encodings as well; every other secret is text.
                let text = if name.starts_with("tls_") { files::pem(&path) } else { files::text(&path) };
                let text = text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
                text.map_err(|error| format!("`{name}`: {} cannot be read: {error}", path.display()))
            }
            _ => Err(format!("`{name}` must be {{env: NAME}}, {{file: PATH}} or a text")),
        };
        found.map_err(|message| self.fault(node.line, message)).ok()
    }

    /// The settings as they hold, `config` without secrets, and the credentials that were given.
    #[expect(clippy::type_complexity, reason = "three parts of one thing, taken apart by the only caller")]
    fn settings(
        &mut self,
        node: &Node,
        platform: PlatformId,
        mut config: Map<String, Value>,
    ) -> Option<(Settings, Map<String, Value>, Vec<(String, SecretString)>)> {
        let kept = with_placeholder(self.registry, platform, &config);
        match self.registry.parse_new(platform, &group::nested(kept).into()) {
            Err(faults) => {
                self.placed(node, faults);
                None
            }
            Ok((settings, credentials)) => {
                let given = credentials.parts().filter(|(name, _)| config.contains_key(*name));
                let given = given.map(|(name, secret)| (name.to_owned(), secret.clone())).collect();
                config.retain(|name, _| !self.registry.field(platform, name).is_some_and(Field::is_secret));
                Some((settings, config, given))
            }
        }
    }
}

/// A member of `config` by the name of its field; what stands in an object, each by its own.
fn parts<'n>(registry: &Registry, platform: Option<PlatformId>, member: &'n Member) -> Vec<(String, &'n Node)> {
    let prefix = format!("{}.", member.name);
    let mut fields = platform.into_iter().flat_map(|platform| registry.fields(platform));
    match &member.value.tree {
        Tree::Map(inner) if fields.any(|field| field.name.starts_with(&prefix)) => {
            inner.iter().map(|inner| (format!("{prefix}{}", inner.name), &inner.value)).collect()
        }
        _ => vec![(member.name.clone(), &member.value)],
    }
}

/// `config` with the credentials that it needs, so that everything else can be checked. Credentials may stay on the server.
pub(super) fn with_placeholder(
    registry: &Registry,
    platform: PlatformId,
    config: &Map<String, Value>,
) -> Map<String, Value> {
    let mut config = config.clone();
    let required = registry.fields(platform).filter(|field| field.is_secret() && field.is_required(&config));
    let needed = registry.get(platform).map_or_else(Vec::new, |platform| platform.needed(&config));
    for name in required.map(|field| field.name).collect::<Vec<_>>().into_iter().chain(needed) {
        config.entry(name).or_insert_with(|| PLACEHOLDER.into());
    }
    config
}

impl Described {
    /// `config` as the API takes it, secrets and all.
    pub(super) fn whole_config(&self) -> Map<String, Value> {
        let secrets = self.credentials.iter().map(|(name, secret)| (name.clone(), secret.expose_secret().into()));
        group::nested(self.config.clone().into_iter().chain(secrets).collect())
    }
}

/// What kind of text a secret is. A PEM text in quotation marks is understood.
fn kind_of(name: &str) -> settings::Kind {
    match name {
        "headers" => settings::Kind::Headers,
        _ if name.starts_with("tls_") => settings::Kind::Pem,
        _ => settings::Kind::Text,
    }
}
