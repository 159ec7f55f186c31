//! A connector's request as a curl command, so that people can see what the SIEM answers to another program. The platform's own
//! [`Destination`](crate::Destination) encodes the request, with a mark in place of each secret, so no platform describes it a second time.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::{ExposeSecret as _, SecretString};
use toktra_siem_core::connector::{Compression, Connector, Credentials, Settings};
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::ids::StreamKind;
use toktra_siem_core::time::Timestamp;
use url::Url;

use crate::descriptor::{Field, Kind};
use crate::destination::{Batch, HeaderText, Method, OutboundRequest, Pacing, Tally};
use crate::headers;
use crate::registry::Registry;

/// A proxy that requests go through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// Its host and port.
    pub address: String,
    /// It wants a user name and password.
    pub logs_in: bool,
}

/// The longest certificates that are written out; longer ones are only named.
const WRITTEN_OUT: usize = 16 * 1024;

/// A secret in a request: the variable that stands for it, and what people call it.
struct Variable {
    name: String,
    label: String,
    /// The whole URL is the secret.
    is_url: bool,
}

impl Variable {
    fn new(name: &str, label: &str) -> Self {
        Self { name: name.replace('-', "_").to_ascii_uppercase(), label: label.to_owned(), is_url: false }
    }

    /// What stands in the request until it is written for a shell. No setting holds a control character.
    fn mark(&self) -> String {
        format!("\u{1}{}\u{2}", self.name)
    }
}

/// The variables of one secret, and the text that takes its place.
fn stand_in(field: &Field, secret: &SecretString) -> (Vec<Variable>, SecretString) {
    match field.kind {
        Kind::Headers => {
            let (mut lines, mut variables): (Vec<String>, Vec<Variable>) = (Vec::new(), Vec::new());
            for (at, (name, _)) in headers::pairs(secret).enumerate() {
                let mut variable = Variable::new(&format!("header_{name}"), &format!("the value of {name}"));
                // `x-a` and `x_a` are two headers.
                if variables.iter().any(|other| other.name == variable.name) {
                    variable.name = format!("{}_{at}", variable.name);
                }
                lines.push(format!("{name}: {}", variable.mark()));
                variables.push(variable);
            }
            (variables, lines.join("\n").into())
        }
        // A mark inside a URL would not parse. The request says that its URL is the secret, and the command writes the variable in its place.
        Kind::SecretUrl(_) => {
            (vec![Variable { is_url: true, ..Variable::new(field.name, field.label) }], secret.clone())
        }
        _ => {
            let variable = Variable::new(field.name, field.label);
            let mark = variable.mark();
            (vec![variable], mark.into())
        }
    }
}

impl Registry {
    /// The command that sends `event` as the stream `kind` of a connector would, to be run where the service runs. `None` if the connector
    /// cannot be used as it is stored. `via` tells which proxy a host is reached through.
    pub fn reproduce(
        &self,
        connector: &Connector,
        credentials: &Credentials,
        kind: StreamKind,
        event: &Arc<StoredEvent>,
        now: Timestamp,
        via: impl Fn(&str) -> Option<Via>,
    ) -> Option<String> {
        let settings = Settings { compression: Compression::None, ..connector.settings.clone() };
        let (mut variables, mut stand_ins) = (Vec::new(), Credentials::none());
        for (name, secret) in credentials.parts() {
            let field = self.field(settings.platform, name)?;
            let (of_field, text) = stand_in(field, secret);
            variables.extend(of_field);
            stand_ins = stand_ins.with(name, text);
        }
        let destination = self.build(&settings, &stand_ins, connector.org, connector.id, kind).ok()?;
        let mut tally = Tally::default();
        tally.add(event.event_type, event.severity);
        let events = [event.clone()];
        let batch = match destination.pacing() {
            Pacing::Windowed { .. } => Batch::Window { start: now, tally: &tally },
            Pacing::Live | Pacing::Linger { .. } => Batch::Events(&events),
        };
        let request = destination.encode(batch, now).ok()?.request?;
        let via = via(&request.url);
        Some(Command { request: &request, settings: &settings, variables: &variables, via }.to_string())
    }
}

/// What a command is made of.
struct Command<'a> {
    request: &'a OutboundRequest,
    settings: &'a Settings,
    variables: &'a [Variable],
    via: Option<Via>,
}

/// The file that certificates are written to.
const CA_FILE: &str = "siem-ca.pem";

impl std::fmt::Display for Command<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (options, used) = self.options();
        f.write_str("# Run it on the machine where Toktra SIEM runs. It sends one test event, without a signature.\n")?;
        for variable in self.variables.iter().filter(|variable| used.contains(&format!("${}", variable.name))) {
            writeln!(f, "{}='<{}>'", variable.name, variable.label)?;
        }
        if self.via.as_ref().is_some_and(|via| via.logs_in) {
            f.write_str("PROXY_USER='<the user name for the proxy>' PROXY_PASSWORD='<its password>'\n")?;
        }
        if let Some(ca) = self.ca() {
            if ca.len() <= WRITTEN_OUT {
                writeln!(f, "cat > {CA_FILE} <<'PEM'\n{}\nPEM", ca.trim_end())?;
            } else {
                writeln!(f, "# {CA_FILE}: the certificates in the connector's tls_ca.")?;
            }
        }
        if self.request.secret_url && self.server_name().is_some() {
            f.write_str("# In the secret URL, put the server name (tls_server_name) in the place of the host.\n")?;
        }
        if self.settings.text("tls_client_cert").is_some() {
            f.write_str("# client.pem and client.key: the connector's client certificate and its private key.\n")?;
        }
        f.write_str(&self.compared())?;
        write!(f, "curl {}", options.join(" \\\n  "))
    }
}

impl Command<'_> {
    /// The certificates that are trusted, unless a fingerprint is.
    fn ca(&self) -> Option<&str> {
        self.settings.text("tls_ca").filter(|_| self.pins().is_none() && self.host().is_some())
    }

    fn pins(&self) -> Option<&str> {
        self.settings.text("tls_fingerprint")
    }

    /// Host and port, if TLS is spoken.
    fn host(&self) -> Option<(String, u16)> {
        let url = Url::parse(&self.request.url).ok().filter(|url| url.scheme() == "https")?;
        Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
    }

    /// The name that the handshake asks for, if it is not the URL's.
    fn server_name(&self) -> Option<&str> {
        self.settings.text("tls_server_name").filter(|_| self.host().is_some())
    }

    /// curl compares no fingerprints of certificates: openssl does it first, and curl is then held to the key of that very certificate.
    fn compared(&self) -> String {
        let (Some(pins), Some((host, port))) = (self.pins(), self.host()) else { return String::new() };
        let name = self.server_name().unwrap_or(&host);
        let pins: Vec<String> = pins.split(',').map(|pin| format!("-e {}", pin.replace(':', ""))).collect();
        let proxy = match &self.via {
            None => String::new(),
            Some(via) if !via.logs_in => format!(" -proxy {}", quoted(&via.address)),
            Some(via) => format!(
                " -proxy {} -proxy_user \"$PROXY_USER\" -proxy_pass pass:\"$PROXY_PASSWORD\"",
                quoted(&via.address)
            ),
        };
        format!(
            "# The request is sent only to whoever has a certificate with a fingerprint that the connector trusts.\n\
             openssl s_client -connect {}{proxy} -servername {} </dev/null 2>/dev/null | openssl x509 > siem.pem\n\
             KEY=$(openssl x509 -in siem.pem -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | \
             openssl base64)\n\
             openssl x509 -in siem.pem -noout -fingerprint -sha256 | tr -d : | grep -qi {} ||\n  \
             {{ echo 'The certificate has another fingerprint: nothing was sent.' >&2; false; }} &&\n",
            quoted(&format!("{host}:{port}")),
            quoted(name),
            pins.join(" ")
        )
    }

    /// The options, and all of them in one text.
    fn options(&self) -> (Vec<String>, String) {
        let mut options = vec!["--silent --show-error --include --globoff --max-time 60".to_owned()];
        match &self.via {
            // curl believes HTTPS_PROXY and the like; the service does not.
            None => options.push("--noproxy '*'".to_owned()),
            Some(via) => {
                options
                    .push(format!("--noproxy '' --proxy {} --proxytunnel", quoted(&format!("http://{}", via.address))));
                if via.logs_in {
                    options.push("--proxy-user \"$PROXY_USER:$PROXY_PASSWORD\"".to_owned());
                }
            }
        }
        if self.request.method != Method::Post {
            options.push(format!("--request {}", self.request.method));
        }
        let mut url = self.request.url.clone();
        if let (Some(name), Some((host, port))) = (self.server_name(), self.host()) {
            // curl asks for the URL's host in the handshake, so the URL names the server name, and the connection goes to the real host.
            let bracketed = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
            options.push(format!("--connect-to {}", quoted(&format!("{bracketed}:{port}:{host}:{port}"))));
            let authority = if port == 443 { host } else { format!("{host}:{port}") };
            options.push(format!("--header {}", quoted(&format!("host: {authority}"))));
            if let Ok(mut named) = Url::parse(&url)
                && named.set_host(Some(&bracketed)).is_ok()
            {
                url = named.into();
            }
        }
        if self.pins().is_some() && self.host().is_some() {
            options.push("--insecure --pinnedpubkey \"sha256//$KEY\"".to_owned());
        } else if self.ca().is_some() {
            options.push(format!("--cacert {CA_FILE}"));
        }
        if self.settings.text("tls_client_cert").is_some() {
            options.push("--cert client.pem --key client.key".to_owned());
        }
        options.extend(self.request.headers.iter().map(|(name, value)| self.header(name, value)));
        if !self.request.body.is_empty() {
            options.push(format!("--data-binary {}", quoted(&String::from_utf8_lossy(&self.request.body))));
        }
        let secret_url = self.variables.iter().find(|variable| self.request.secret_url && variable.is_url);
        options.push(secret_url.map_or_else(|| quoted(&url), |variable| format!("\"${}\"", variable.name)));
        let all = options.join(" ");
        (options, all)
    }

    fn header(&self, name: &str, value: &HeaderText) -> String {
        match value {
            HeaderText::Plain(text) => format!("--header {}", quoted(&format!("{name}: {text}"))),
            HeaderText::Secret(secret) => {
                let text = secret.expose_secret();
                // Both parts of a login stand in it, encoded together.
                let login = text.strip_prefix("Basic ").and_then(|encoded| BASE64.decode(encoded).ok());
                match login.and_then(|login| String::from_utf8(login).ok()).filter(|_| name == "authorization") {
                    Some(login) => format!("--user {}", self.expanded(&login)),
                    None => format!("--header {}", self.expanded(&format!("{name}: {text}"))),
                }
            }
        }
    }

    /// Text in which a shell puts the variables' values in their places, and looks into nothing else.
    fn expanded(&self, text: &str) -> String {
        let in_place =
            |text: String, variable: &Variable| text.replace(&variable.mark(), &format!("'\"${}\"'", variable.name));
        self.variables.iter().fold(quoted(text), in_place)
    }
}

/// A word that no shell looks into.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
