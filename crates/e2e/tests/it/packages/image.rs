//! The container: its root file system, started as an engine would start it, and the image that the Containerfile makes of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use toktra_siem_testkit::prelude::*;
use toktra_siem_testkit::real;

use super::{Packages, root::Root, unpacked};

const PROGRAM: &str = "/usr/local/bin/toktra-siem";

/// Paths below a directory, directories included.
fn paths(directory: &Path) -> BTreeSet<PathBuf> {
    let (mut found, mut open) = (BTreeSet::new(), vec![directory.to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            }
            found.insert(entry.path());
        }
    }
    found.iter().map(|path| path.strip_prefix(directory).unwrap().to_owned()).collect()
}

/// Starts what is in it as the Containerfile says, and has it take an event.
async fn starts(root: &Root) {
    let settings = [("TOKTRA_SIEM_DATA_DIR", "/data"), ("TOKTRA_SIEM_LOG", "json")];
    let world = World::with(root.server("65532:65532", PROGRAM, &settings)).await;
    world.anonymous().get("/healthz").await.expect_status(200);
    world.post_event(event("anomaly", "high")).await;
    world.end().await;
    assert!(root.path("/data/toktra.db").exists());
}

#[tokio::test]
async fn its_root_file_system_has_the_program_its_libraries_and_no_shell() {
    let Some(packages) = Packages::made().await else { return };
    let Some(root) = Root::of(&packages.file("-rootfs.tar")).await else { return };
    assert_eq!(root.held("/data"), (0o700, 65_532, 65_532));
    assert_eq!(root.held("/tmp"), (0o1777, 0, 0));
    assert_eq!(root.held(PROGRAM), (0o755, 0, 0));
    assert_eq!(root.user("nonroot"), (65_532, 65_532));
    assert!(root.read("/etc/ssl/certs/ca-certificates.crt").contains("BEGIN CERTIFICATE"));
    // What a scanner of images reads: Debian's packages with their versions, and the crates.
    for package in ["libc6", "libgcc-s1", "ca-certificates"] {
        assert!(root.read(&format!("/var/lib/dpkg/status.d/{package}")).contains("\nVersion: "), "{package}");
    }
    assert!(root.read("/usr/share/doc/toktra-siem/toktra-siem.cdx.json").contains("CycloneDX"));
    let programs: Vec<PathBuf> = paths(&root.path("/"))
        .into_iter()
        .filter(|path| path.components().any(|part| matches!(part.as_os_str().to_str(), Some("bin" | "sbin"))))
        .filter(|path| root.path(path.to_str().unwrap()).is_file())
        .collect();
    assert_eq!(programs, [PathBuf::from(PROGRAM.trim_start_matches('/'))], "neither shell nor package manager");
    starts(&root).await;
}

#[tokio::test]
async fn the_image_is_that_root_with_what_the_containerfile_says_of_it() {
    let Some(packages) = Packages::made().await else { return };
    if real::BUILDAH.path().is_none() {
        return;
    }
    let image = unpacked(&packages.file("-image.tar")).await;
    let read = |path: &str| -> Value { serde_json::from_slice(&fs::read(image.path().join(path)).unwrap()).unwrap() };
    let manifest = &read("manifest.json")[0];
    assert_eq!(manifest["RepoTags"], json!([format!("docker.io/library/toktra-siem:{}", env!("CARGO_PKG_VERSION"))]));
    let config = &read(&manifest["Config"].text())["config"];
    assert_eq!(config["Entrypoint"], json!([PROGRAM]));
    assert_eq!(config["Cmd"], json!(["serve"]));
    assert_eq!((&config["User"], &config["WorkingDir"]), (&json!("65532:65532"), &json!("/data")));
    assert_eq!(config["Volumes"], json!({"/data": {}}));
    assert_eq!(config["ExposedPorts"], json!({"8080/tcp": {}}));
    for variable in ["TOKTRA_SIEM_DATA_DIR=/data", "TOKTRA_SIEM_LISTEN=0.0.0.0:8080", "TOKTRA_SIEM_LOG=json"] {
        assert!(config["Env"].as_array().unwrap().contains(&json!(variable)), "{config}");
    }
    assert_eq!(config["Labels"]["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(config["Labels"]["org.opencontainers.image.licenses"], "Apache-2.0");
    let layers = manifest["Layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1, "{layers:?}");
    let layer = image.path().join(layers[0].as_str().unwrap());
    let Some(root) = Root::of(&layer).await else { return };
    assert_eq!(root.held("/data"), (0o700, 65_532, 65_532));
    assert_eq!(root.held("/tmp"), (0o1777, 0, 0));
    let bare = unpacked(&packages.file("-rootfs.tar")).await;
    assert_eq!(paths(&root.path("/")), paths(bare.path()), "image and root file system hold the same");
    starts(&root).await;
}
