//! A strict HTTP proxy that opens tunnels (`CONNECT`, RFC 9110 and RFC 9112), and refuses them in every way that proxies do.
//!
//! It notes what it was asked, and every breach of the protocol's rules.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What it does when it is asked for a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tunnel {
    /// It opens one.
    Opens,
    /// It refuses with this status, and a page that says so.
    Refused(u16),
    /// It says this, byte by byte, and then opens one.
    Says(&'static [u8]),
    /// It says nothing and closes.
    Closes,
    /// It says nothing at all.
    Hangs,
}

#[derive(Debug)]
struct Rules {
    tunnel: Tunnel,
    /// The value that `Proxy-Authorization` must have.
    credentials: Option<String>,
    /// Names that it looks up.
    names: BTreeMap<String, SocketAddr>,
    asked: Vec<String>,
    violations: Vec<String>,
}

/// A proxy that listens on loopback until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    rules: Arc<Mutex<Rules>>,
    asked: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// One that opens every tunnel for everybody.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let rules = Rules {
            tunnel: Tunnel::Opens,
            credentials: None,
            names: BTreeMap::new(),
            asked: Vec::new(),
            violations: Vec::new(),
        };
        let rules = Arc::new(Mutex::new(rules));
        let (count, asked) = watch::channel(0);
        let serving = Arc::clone(&rules);
        let task = tokio::spawn(async move {
            let (count, mut open) = (Arc::new(count), JoinSet::new());
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(serve(stream, Arc::clone(&serving), Arc::clone(&count)));
            }
        });
        Ok(Self { address, rules, asked, task })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it wants this user name and password.
    pub fn demand(&self, user: &str, password: &str) {
        self.rules.lock().credentials = Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
    }

    /// What it does from now on.
    pub fn tunnel(&self, tunnel: Tunnel) {
        self.rules.lock().tunnel = tunnel;
    }

    /// It knows where this name leads to, with this port.
    pub fn knows(&self, authority: &str, leads_to: SocketAddr) {
        self.rules.lock().names.insert(authority.to_owned(), leads_to);
    }

    /// The host and port of every tunnel that it was asked for, in that order.
    pub fn asked(&self) -> Vec<String> {
        self.rules.lock().asked.clone()
    }

    /// Waits until it was asked for so many tunnels.
    pub async fn wait_until_asked(&self, count: usize) {
        // It fails only when the proxy is gone, which cannot be while somebody holds it.
        self.asked.clone().wait_for(|asked| *asked >= count).await.ok();
    }

    /// What broke the rules.
    pub fn violations(&self) -> Vec<String> {
        self.rules.lock().violations.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, rules: Arc<Mutex<Rules>>, count: Arc<watch::Sender<usize>>) {
    let Ok(head) = head(&mut stream).await else { return };
    let (tunnel, known, permitted, wanted) = {
        let mut rules = rules.lock();
        match read(&head) {
            Ok((target, authorization)) => {
                rules.asked.push(target.clone());
                let permitted = rules.credentials.is_none() || rules.credentials == authorization;
                let known = rules.names.get(&target).copied().or_else(|| target.parse().ok());
                (rules.tunnel, known, permitted, target)
            }
            Err(violation) => {
                rules.violations.push(violation);
                (Tunnel::Refused(400), None, true, String::new())
            }
        }
    };
    count.send_modify(|count| *count += 1);
    // Whoever asked may have left at any point: there is nobody to tell then.
    let _ = answer(&mut stream, if permitted { tunnel } else { Tunnel::Refused(407) }, known, &wanted).await;
}

async fn answer(stream: &mut TcpStream, tunnel: Tunnel, known: Option<SocketAddr>, wanted: &str) -> io::Result<()> {
    let said = match tunnel {
        Tunnel::Opens => b"HTTP/1.1 200 Connection established\r\n\r\n".as_slice(),
        Tunnel::Says(said) => said,
        Tunnel::Refused(status) => return refuse(stream, status).await,
        Tunnel::Closes => return Ok(()),
        Tunnel::Hangs => return std::future::pending().await,
    };
    let receiver = match known {
        Some(address) => TcpStream::connect(address).await.ok(),
        None => None,
    };
    let Some(mut receiver) = receiver else { return refuse(stream, if wanted.is_empty() { 400 } else { 502 }).await };
    stream.set_nodelay(true)?;
    match tunnel {
        Tunnel::Says(_) => {
            for byte in said {
                stream.write_all(&[*byte]).await?;
            }
        }
        _ => stream.write_all(said).await?,
    }
    copy_bidirectional(stream, &mut receiver).await.map(drop)
}

async fn refuse(stream: &mut TcpStream, status: u16) -> io::Result<()> {
    let page = format!("<html><body>The proxy says {status}.</body></html>");
    let wants = if status == 407 { "Proxy-Authenticate: Basic realm=\"out\"\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status} No\r\n{wants}Content-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        page.len()
    );
    stream.write_all(format!("{head}{page}").as_bytes()).await?;
    stream.shutdown().await?;
    // Drained, so that no reset overtakes what was said.
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

/// The head of a request, and not a byte more: what is to go through a tunnel must wait until there is one.
async fn head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    String::from_utf8(head).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The host and port that are asked for, and the credentials.
fn read(head: &str) -> Result<(String, Option<String>), String> {
    let (head, rest) = head.split_once("\r\n\r\n").ok_or("the head has no end")?;
    if !rest.is_empty() {
        return Err("more than a head came before the answer".to_owned());
    }
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let target = line.strip_prefix("CONNECT ").and_then(|rest| rest.strip_suffix(" HTTP/1.1"));
    let target = target.ok_or_else(|| format!("this asks for no tunnel: {line}"))?;
    let port = target.rsplit_once(':').and_then(|(host, port)| port.parse::<u16>().ok().filter(|_| !host.is_empty()));
    if port.is_none_or(|port| port == 0) || target.contains(['/', '@', ' ']) {
        return Err(format!("this is no host and port: {target}"));
    }
    let (mut hosts, mut credentials) = (Vec::new(), Vec::new());
    for line in lines {
        let (name, value) = line.split_once(": ").ok_or_else(|| format!("this is no header: {line}"))?;
        match name.to_ascii_lowercase().as_str() {
            "host" => hosts.push(value),
            "proxy-authorization" => credentials.push(value.to_owned()),
            "user-agent" => {}
            other => return Err(format!("this header is for the receiver, or has no place here: {other}")),
        }
    }
    if hosts != [target] {
        return Err(format!("{target} was asked for with these hosts: {hosts:?}"));
    }
    if credentials.len() > 1 {
        return Err("credentials came more than once".to_owned());
    }
    Ok((target.to_owned(), credentials.pop()))
}
