//! What the program is built of, as a CycloneDX document: the crates that cargo takes for it on this platform, and the C and Rust code that
//! no crate is named after. What only tests or other platforms need is not part of it; what ran while it was built is marked as such.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::process::{self, cargo, command, root};

/// `name@version`: one crate, and its `bom-ref`.
type Id = String;

/// One crate.
pub(super) struct Crate {
    pub(super) name: String,
    pub(super) version: String,
    /// An SPDX expression.
    pub(super) licence: String,
    /// Where its source is.
    pub(super) directory: PathBuf,
    /// Its code is in the program, and did not merely run to build it (macros and build scripts).
    pub(super) inside: bool,
    description: Option<String>,
    repository: Option<String>,
    /// SHA-256 of its archive, if it comes from the registry.
    checksum: Option<String>,
}

/// All of them, and which takes which.
pub(super) struct Parts {
    pub(super) crates: BTreeMap<Id, Crate>,
    takes: BTreeMap<Id, BTreeSet<Id>>,
    /// The version of the standard library.
    rust: String,
}

impl Parts {
    /// What cargo takes for the program on this platform, with the features of its release.
    pub(super) async fn of_the_program(target: &str) -> Result<Self> {
        let inside = Graph::of(&tree("normal,no-proc-macro", target).await?);
        let whole = Graph::of(&tree("normal,build", target).await?);
        let mut rustc = command("rustc");
        rustc.arg("--version");
        let rust = process::output(rustc).await?;
        let rust = rust.split_whitespace().nth(1).context("rustc does not say its version")?.to_owned();
        let (known, checksums) = (metadata(target).await?, checksums()?);
        let mut crates = BTreeMap::new();
        for id in whole.crates {
            let told = known.get(&id).with_context(|| format!("cargo metadata does not know {id}"))?;
            let text = |name: &str| told[name].as_str().map(str::to_owned);
            let manifest = PathBuf::from(text("manifest_path").context("a crate without a manifest")?);
            let made = Crate {
                name: text("name").unwrap_or_default(),
                version: text("version").unwrap_or_default(),
                licence: text("license").with_context(|| format!("{id} names no licence"))?.replace('/', " OR "),
                directory: manifest.parent().unwrap_or(root()).to_owned(),
                inside: inside.crates.contains(&id),
                description: text("description"),
                repository: text("repository"),
                checksum: checksums.get(&id).cloned(),
            };
            crates.insert(id, made);
        }
        Ok(Self { crates, takes: whole.takes, rust })
    }

    /// The document. The same parts give the same bytes.
    pub(super) fn cyclonedx(&self, version: &str, timestamp: &str, binary: &Path) -> Result<String> {
        let own = format!("toktra-siem@{version}");
        let mut components: Vec<Value> =
            self.crates.iter().filter(|(id, _)| **id != own).map(|(id, part)| component(id, part)).collect();
        components.extend(self.beside_crates()?);
        let mut takes = self.takes.clone();
        takes.entry(own.clone()).or_default().insert(format!("rust-std@{}", self.rust));
        let dependencies: Vec<Value> = takes.iter().map(|(id, below)| json!({"ref": id, "dependsOn": below})).collect();
        let program = fs::read(binary)?;
        let document = json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {
                "timestamp": timestamp,
                "tools": {"components": [{"type": "application", "name": "cargo xtask package", "version": version}]},
                "component": {
                    "type": "application",
                    "bom-ref": own,
                    "name": "toktra-siem",
                    "version": version,
                    "licenses": [{"expression": "Apache-2.0"}],
                    "hashes": [{"alg": "SHA-256", "content": hex::encode(Sha256::digest(&program))}],
                },
            },
            "components": components,
            "dependencies": dependencies,
        });
        Ok(serde_json::to_string_pretty(&document)? + "\n")
    }

    /// SQLite, which a crate brings along as C, and Rust's own library.
    fn beside_crates(&self) -> Result<Vec<Value>> {
        let sqlite = self.crates.values().find(|part| part.name == "libsqlite3-sys").context("there is no SQLite")?;
        let header = fs::read_to_string(sqlite.directory.join("sqlite3/sqlite3.h"))?;
        let version = header.lines().find_map(|line| line.strip_prefix("#define SQLITE_VERSION "));
        let version = version.context("SQLite's header has no version")?.trim().trim_matches('"');
        Ok(vec![
            json!({
                "type": "library", "bom-ref": format!("sqlite@{version}"), "name": "sqlite", "version": version, "scope": "required",
                "licenses": [{"license": {"name": "Public Domain"}}],
                "cpe": format!("cpe:2.3:a:sqlite:sqlite:{version}:*:*:*:*:*:*:*"),
                "purl": format!("pkg:generic/sqlite@{version}"),
            }),
            json!({
                "type": "library", "bom-ref": format!("rust-std@{}", self.rust), "name": "rust-std", "version": self.rust,
                "scope": "required", "licenses": [{"expression": "MIT OR Apache-2.0"}],
                "purl": format!("pkg:generic/rust@{}", self.rust),
            }),
        ])
    }
}

fn component(id: &str, part: &Crate) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": id,
        "name": part.name,
        "version": part.version,
        "scope": if part.inside { "required" } else { "excluded" },
        "licenses": [{"expression": part.licence}],
    });
    if let Some(description) = &part.description {
        component["description"] = json!(description.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    if let Some(checksum) = &part.checksum {
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
        component["purl"] = json!(format!("pkg:cargo/{}@{}", part.name, part.version));
    }
    if let Some(repository) = &part.repository {
        component["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
    }
    component
}

/// What `cargo tree` says.
#[derive(Default)]
struct Graph {
    crates: BTreeSet<Id>,
    takes: BTreeMap<Id, BTreeSet<Id>>,
}

impl Graph {
    /// Each line is a depth, a name and a version; what stands below was said once.
    fn of(said: &str) -> Self {
        let (mut graph, mut above) = (Self::default(), Vec::<Id>::new());
        for line in said.lines() {
            let digits = line.bytes().take_while(u8::is_ascii_digit).count();
            let (depth, rest) = line.split_at(digits);
            let mut words = rest.split_whitespace();
            let (Ok(depth), Some(name), Some(version)) = (depth.parse(), words.next(), words.next()) else { continue };
            let id = format!("{name}@{}", version.trim_start_matches('v'));
            above.truncate(depth);
            if let Some(taker) = above.last() {
                graph.takes.entry(taker.clone()).or_default().insert(id.clone());
            }
            graph.crates.insert(id.clone());
            above.push(id);
        }
        graph
    }
}

async fn tree(edges: &str, target: &str) -> Result<String> {
    let mut tree = cargo();
    tree.args(["tree", "--locked", "--quiet", "--package", "toktra-siem", "--edges", edges, "--target", target]);
    tree.args(["--prefix", "depth", "--format", "{p}"]);
    process::output(tree).await
}

/// Every package of the lock file that this platform may take, as cargo describes it.
async fn metadata(target: &str) -> Result<BTreeMap<Id, Value>> {
    let mut metadata = cargo();
    metadata.args(["metadata", "--locked", "--quiet", "--format-version", "1", "--filter-platform", target]);
    let mut said: Value = serde_json::from_str(&process::output(metadata).await?)?;
    let packages = said["packages"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let id = |package: &Value| Some(format!("{}@{}", package["name"].as_str()?, package["version"].as_str()?));
    Ok(packages.into_iter().filter_map(|package| Some((id(&package)?, package))).collect())
}

/// What the lock file holds each archive to.
fn checksums() -> Result<BTreeMap<Id, String>> {
    let lock: toml::Table = fs::read_to_string(root().join("Cargo.lock"))?.parse()?;
    let packages = lock.get("package").and_then(toml::Value::as_array).context("the lock file has no packages")?;
    let text = |package: &toml::Value, name: &str| package.get(name).and_then(toml::Value::as_str).map(str::to_owned);
    let known = |package: &toml::Value| {
        let id = format!("{}@{}", text(package, "name")?, text(package, "version")?);
        Some((id, text(package, "checksum")?))
    };
    Ok(packages.iter().filter_map(known).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_what_is_read_of_the_depths() {
        let graph = Graph::of("0a v1.0.0 (/somewhere)\n1b v2.0.0\n2c v3.0.0 (proc-macro)\n1c v3.0.0 (*)\n1d v4.0.0\n");
        assert_eq!(graph.crates, ["a@1.0.0", "b@2.0.0", "c@3.0.0", "d@4.0.0"].map(String::from).into());
        let of = |id: &str| graph.takes[id].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!((of("a@1.0.0"), of("b@2.0.0")), (vec!["b@2.0.0", "c@3.0.0", "d@4.0.0"], vec!["c@3.0.0"]));
    }
}
