//! A real nginx in front of a server, with the block that the documentation tells operators to use.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rcgen::generate_simple_self_signed;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::root;
use crate::poll;
use crate::real;
use crate::server::ServerSetup;

/// The page of the documentation that has the block.
const PAGE: &str = "docs/operation.md";
/// What stands around the block. Everything is compressed that a client takes compressed: many have it so, and nothing may be held back by it.
/// One process does everything, so that ending it ends all, and nothing is written outside of its directory.
const AROUND: &str = "daemon off;
master_process off;
pid nginx.pid;
error_log error.log info;
events { worker_connections 512; }
http {
    access_log access.log;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    gzip on;
    gzip_types *;
    include site.conf;
}
";

/// Where an nginx stands.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The address that it serves HTTPS on, as `localhost`: `127.0.0.1:PORT`.
    pub front: &'a str,
    /// The server that it passes everything on to: `127.0.0.1:PORT`.
    pub server: &'a str,
    /// The address that may read the routes that need no credentials.
    pub inside: &'a str,
    /// Whether it holds answers back as far as the server lets it, as nginx does that was set up without the line which says that it may not.
    pub buffers: bool,
}

/// The setup of a server that people reach through an nginx at `front`, as the page tells operators to set it up; and its URL for them.
pub fn behind_nginx(setup: ServerSetup, front: &str) -> (ServerSetup, String) {
    let url = front.replace("127.0.0.1", "https://localhost");
    let setup = setup.env("TOKTRA_SIEM_PUBLIC_URL", &url).env("TOKTRA_SIEM_TRUSTED_PROXIES", "127.0.0.1/32");
    (setup, url)
}

/// A running nginx, which ends with the value.
#[derive(Debug)]
pub struct Nginx {
    process: Child,
    directory: TempDir,
}

impl Nginx {
    /// The program, or `None` after saying what is skipped.
    pub fn program() -> Option<PathBuf> {
        real::NGINX.path()
    }

    /// Starts one there.
    pub async fn start(program: &Path, place: Place<'_>) -> Self {
        let directory = tempfile::Builder::new().prefix("toktra-siem-nginx-").tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        let pair = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(file("site.crt"), pair.cert.pem()).unwrap();
        fs::write(file("site.key"), pair.signing_key.serialize_pem()).unwrap();
        fs::write(file("site.conf"), filled_in(&documented(), place, knows_http2_on(program))).unwrap();
        fs::write(file("nginx.conf"), AROUND).unwrap();
        let mut command = Command::new(program);
        command.arg("-p").arg(directory.path()).args(["-c", "nginx.conf", "-e", "error.log"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap_or_else(|error| panic!("cannot run {}: {error}", program.display()));
        let mut nginx = Self { process, directory };
        let address: SocketAddr = place.front.parse().unwrap();
        poll::until("nginx listens", async || {
            assert!(matches!(nginx.process.try_wait(), Ok(None)), "nginx ended:\n{}", nginx.log());
            TcpStream::connect(address).await.ok()
        })
        .await;
        nginx
    }

    /// The certificate that clients are to trust.
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("site.crt")
    }

    /// What it logged: errors, then a line for each request.
    pub fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
        read("error.log") + &read("access.log")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("nginx's log:\n{}", self.log());
        }
    }
}

/// The block of the documentation.
fn documented() -> String {
    let page = fs::read_to_string(root().join(PAGE)).unwrap();
    let block = page.split_once("\n```nginx ").and_then(|(_, rest)| rest.split_once('\n')?.1.split_once("\n```"));
    block.unwrap_or_else(|| panic!("{PAGE} has no block for nginx")).0.to_owned()
}

/// The block with addresses, name and certificate of this machine in place of the operator's. What it does not have fails the test.
fn filled_in(block: &str, place: Place<'_>, knows_http2_on: bool) -> String {
    let Place { front, server, inside, buffers } = place;
    let put = |block: String, words: &str, instead: &str| {
        assert_eq!(block.matches(words).count(), 1, "`{words}` is expected once in the block of {PAGE}:\n{block}");
        block.replace(words, instead)
    };
    let mut block = block.to_owned();
    // As the comment there says.
    if !knows_http2_on {
        block = put(block, "http2 on;", "");
        block = put(block, "    listen 443 ssl;", "    listen 443 ssl http2;");
    }
    let buffering = "proxy_buffering off;";
    for (words, instead) in [
        (buffering, if buffers { "" } else { buffering }),
        ("    listen 443 ssl", &*format!("    listen {front} ssl")),
        ("server 127.0.0.1:8080;", &format!("server {server};")),
        ("server_name siem.company.com;", "server_name localhost;"),
        ("/etc/nginx/siem.company.com.crt", "site.crt"),
        ("/etc/nginx/siem.company.com.key", "site.key"),
        ("allow 10.0.0.0/8;", &format!("allow {inside};")),
    ] {
        block = put(block, words, instead);
    }
    block
}

/// Whether it is 1.25.1 or newer.
fn knows_http2_on(program: &Path) -> bool {
    let said = Command::new(program).arg("-v").output().unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    let version = said.trim().rsplit('/').next().unwrap_or_default();
    let numbers: Vec<u32> =
        version.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse().ok()).take(3).collect();
    assert_eq!(numbers.len(), 3, "no version: {said}");
    numbers >= vec![1, 25, 1]
}

#[test]
fn the_block_of_the_page_is_filled_in_for_every_nginx() {
    let place = Place { front: "127.0.0.1:1", server: "127.0.0.1:2", inside: "127.0.0.3", buffers: true };
    for (knows_http2_on, listens) in
        [(true, "    listen 127.0.0.1:1 ssl;\n    http2 on;"), (false, "    listen 127.0.0.1:1 ssl http2;\n")]
    {
        let block = filled_in(&documented(), place, knows_http2_on);
        assert!(block.contains(listens) && block.contains("server 127.0.0.1:2;"), "{block}");
        assert!(!block.contains("proxy_buffering") && !block.contains("company"), "{block}");
    }
}
