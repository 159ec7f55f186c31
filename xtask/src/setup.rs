//! `cargo xtask ci-setup`: what a bare Debian lacks, installed through its own package manager, and only where missing.

use anyhow::{Context as _, Result, bail};

use crate::process::{self, command, works};

/// A need, how it is recognised as met, and the Debian packages that meet it (the first one that exists).
struct Need {
    what: &'static str,
    probe: (&'static str, &'static [&'static str]),
    packages: &'static [&'static str],
}

const NEEDS: &[Need] = &[
    Need { what: "a C compiler and linker", probe: ("cc", &["--version"]), packages: &["build-essential"] },
    Need {
        what: "a JDK",
        probe: ("jar", &["--version"]),
        packages: &["openjdk-17-jdk-headless", "default-jdk-headless"],
    },
    // The newest search nodes want it; it need not be the one behind `java`.
    Need {
        what: "a JDK 21 or newer",
        probe: ("sh", &["-c", r#"grep -qE '^JAVA_VERSION="(2[1-9]|[3-9][0-9])' /usr/lib/jvm/*/release"#]),
        packages: &["openjdk-21-jdk-headless", "openjdk-25-jdk-headless", "temurin-25-jdk"],
    },
    Need { what: "Maven", probe: ("mvn", &["--version"]), packages: &["maven"] },
    Need { what: "Go", probe: ("go", &["version"]), packages: &["golang-go"] },
    Need { what: "Node.js", probe: ("node", &["--version"]), packages: &["nodejs"] },
    // The browser of the page's tests, and what fetches the judge of accessibility. Debian builds browser and driver together, so they fit.
    Need { what: "Chromium", probe: ("chromium", &["--version"]), packages: &["chromium"] },
    Need { what: "ChromeDriver", probe: ("chromedriver", &["--version"]), packages: &["chromium-driver"] },
    Need { what: "npm", probe: ("npm", &["--version"]), packages: &["npm"] },
    Need { what: "promtool", probe: ("promtool", &["--version"]), packages: &["prometheus"] },
    Need { what: "Python", probe: ("python3", &["--version"]), packages: &["python3"] },
    // The documentation's examples, which the tests run.
    Need { what: "curl", probe: ("curl", &["--version"]), packages: &["curl"] },
    Need { what: "jq", probe: ("jq", &["--version"]), packages: &["jq"] },
    Need { what: "openssl", probe: ("openssl", &["version"]), packages: &["openssl"] },
    Need { what: "tinyproxy", probe: ("tinyproxy", &["-v"]), packages: &["tinyproxy-bin"] },
    // What stands in front of the server.
    Need {
        what: "nginx",
        probe: ("sh", &["-c", "PATH=\"$PATH:/usr/sbin\"; nginx -v"]),
        packages: &["nginx", "nginx-light"],
    },
    // Counts the instructions of the hot code.
    Need { what: "valgrind", probe: ("valgrind", &["--version"]), packages: &["valgrind"] },
    // The packages, and where they are installed.
    Need { what: "dpkg-shlibdeps", probe: ("dpkg-shlibdeps", &["--version"]), packages: &["dpkg-dev"] },
    Need { what: "mmdebstrap", probe: ("mmdebstrap", &["--version"]), packages: &["mmdebstrap"] },
    Need { what: "buildah", probe: ("buildah", &["--version"]), packages: &["buildah"] },
    Need { what: "Python's venv", probe: ("python3", &["-c", "import ensurepip, venv"]), packages: &["python3-venv"] },
];

/// Installs what is missing; changes nothing where all is there.
pub(crate) async fn run() -> Result<()> {
    let mut missing = Vec::new();
    for need in NEEDS {
        if !works(need.probe.0, need.probe.1).await {
            println!("missing: {}", need.what);
            missing.push(need);
        }
    }
    if !missing.is_empty() {
        install(&missing).await?;
    }
    for component in ["rustfmt", "clippy"] {
        toolchain(component).await?;
    }
    Ok(())
}

async fn install(missing: &[&Need]) -> Result<()> {
    if !works("apt-get", &["--version"]).await {
        bail!(
            "this is no Debian (no apt-get): install what is listed as missing with the system's own package manager"
        );
    }
    process::run(apt_get(&["update", "-q"])).await?;
    let mut arguments = vec!["install", "-q", "-y", "--no-install-recommends"];
    for need in missing {
        arguments.push(first_available(need).await?);
    }
    process::run(apt_get(&arguments)).await
}

/// `apt-get`, through sudo where we are not root, and never asking.
fn apt_get(arguments: &[&str]) -> tokio::process::Command {
    let root = rustix::process::geteuid().is_root();
    let mut apt = command(if root { "env" } else { "sudo" });
    apt.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(arguments);
    apt
}

async fn first_available(need: &Need) -> Result<&'static str> {
    for package in need.packages {
        if works("apt-cache", &["show", "--no-all-versions", package]).await {
            return Ok(package);
        }
    }
    bail!("this Debian has no package for {} (looked for {})", need.what, need.packages.join(", "))
}

async fn toolchain(component: &str) -> Result<()> {
    let subcommand = if component == "rustfmt" { "fmt" } else { component };
    if works("cargo", &[subcommand, "--version"]).await {
        return Ok(());
    }
    let mut rustup = command("rustup");
    rustup.args(["component", "add", component]);
    process::run(rustup).await.with_context(|| format!("the Rust toolchain lacks {component}"))
}
