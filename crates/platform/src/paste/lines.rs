//! A whole text, read: commands, settings, headers and words, line by line.

use super::curl;
use super::pasted::Pasted;
use super::requests::{of_another, of_code, of_curl, of_httpie, of_powershell};
use super::settings::{self, Reader, Setting, is_variable, unquoted};
use super::shell::{self, Variables};

/// Commands that run another one, which follows.
const AROUND: [&str; 5] = ["sudo", "time", "env", "&", "exec"];
/// Commands that send a request as `http` does.
const HTTPIE: [&str; 4] = ["http", "https", "xh", "xhs"];
/// Commands that send a request as PowerShell does.
const POWERSHELL: [&str; 4] = ["invoke-restmethod", "invoke-webrequest", "irm", "iwr"];
/// Commands whose words may be settings.
const OTHERS: [&str; 22] = [
    "docker",
    "docker-compose",
    "podman",
    "nerdctl",
    "helm",
    "kubectl",
    "npx",
    "bash",
    "sh",
    "jq",
    "cat",
    "tee",
    "echo",
    "python3",
    "export",
    "set",
    "setx",
    "setenv",
    "heroku",
    "unset",
    "sleep",
    "ls",
];

/// Takes a text apart. Blocks of PEM have been taken out of it already.
pub(super) fn read(text: &str, pasted: &mut Pasted) {
    let mut reading = Reading {
        text,
        pasted,
        reader: Reader::default(),
        variables: Variables::default(),
        assigned: Vec::new(),
        path: None,
        ends: Vec::new(),
    };
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value @ (serde_json::Value::Object(_) | serde_json::Value::Array(_))) => reading.reader.json(&value, &[]),
        _ => reading.lines(),
    }
    let Reading { mut reader, assigned, path, pasted, .. } = reading;
    if let Some((path, at)) = path.zip(reader.found.iter().position(|setting| setting.name == "host")) {
        let host = reader.found.remove(at).value;
        pasted.address(&format!("https://{host}{path}"));
    }
    finish(reader, &assigned, pasted);
}

/// A text while it is read.
struct Reading<'t> {
    text: &'t str,
    pasted: &'t mut Pasted,
    reader: Reader,
    variables: Variables,
    /// What commands assigned, by name.
    assigned: Vec<String>,
    /// The path of a request as it goes over the wire; its host follows in a header.
    path: Option<String>,
    /// Words that end a text within the text: `<< EOF`.
    ends: Vec<String>,
}

impl Reading<'_> {
    fn lines(&mut self) {
        let lines: Vec<&str> = self.text.lines().collect();
        let starts: Vec<usize> =
            lines.iter().scan(0, |at, line| Some(std::mem::replace(at, *at + line.len() + 1))).collect();
        let mut at = 0;
        while let Some(line) = lines.get(at) {
            let start = starts[at] + (line.len() - line.trim_start().len());
            if self.ends.iter().any(|end| end == line.trim()) || self.variable(line.trim()) {
                at += 1;
            } else if let Some(end) = self.commands(start) {
                at = starts.partition_point(|start| *start < end).max(at + 1);
            } else {
                let taken = self.reader.read(&lines[at..]);
                if taken == 0 {
                    self.words(line.trim());
                }
                at += taken.max(1);
            }
        }
        for setting in &mut self.reader.found {
            setting.value = self.variables.applied(&setting.value);
        }
    }

    /// `$name = value`, as PowerShell writes it.
    fn variable(&mut self, line: &str) -> bool {
        let assigned = line.strip_prefix('$').and_then(|line| line.split_once(" = "));
        let Some((name, value)) = assigned.filter(|(_, value)| !value.trim_start().starts_with(['@', '[', '{'])) else {
            return false;
        };
        self.assign(name.trim_start_matches("env:"), unquoted(value));
        true
    }

    fn assign(&mut self, name: &str, value: &str) {
        let value = self.variables.applied(value.trim_end_matches(';'));
        self.variables.set(name, &value);
        let name = name.to_ascii_lowercase();
        self.assigned.push(name.clone());
        if self.reader.found.len() < settings::MOST {
            self.reader.found.push(Setting { name, value });
        }
    }

    /// The commands that begin at this position, up to the end of a line; where that is. None if none begins there.
    fn commands(&mut self, from: usize) -> Option<usize> {
        if !begins_a_command(&self.text[from..]) {
            return None;
        }
        let mut from = from;
        loop {
            let end = self.command(from);
            // More may stand on the same line.
            let next = end + (self.text[end..].len() - self.text[end..].trim_start_matches([' ', '\t']).len());
            let joined = self.text[..end].ends_with([';', '|', '&']) && !self.text[next..].starts_with('\n');
            if !joined || next == self.text.len() {
                return Some(end);
            }
            from = next;
        }
    }

    /// One command; where it ends.
    fn command(&mut self, from: usize) -> usize {
        let command = shell::command(self.text, from, &self.variables);
        let mut words = command.words.into_iter().peekable();
        let mut assigns = false;
        while let Some(word) = words.peek() {
            match word.split_once('=') {
                Some((name, value)) if is_variable(name.trim_start_matches("$env:")) => {
                    let (name, value) = (name.trim_start_matches("$env:").to_owned(), value.to_owned());
                    self.assign(&name, &value);
                }
                _ if word == "export" || word == "set" => assigns = true,
                _ if AROUND.contains(&word.as_str()) => {}
                _ => break,
            }
            words.next();
        }
        let name = words.next().map(|word| bare_name(&word));
        let is_request = match name.as_deref() {
            Some("curl" | "wget") => {
                of_curl(curl::parts(words), self.pasted);
                true
            }
            Some(name) if HTTPIE.contains(&name) => {
                of_httpie(words, self.pasted);
                true
            }
            Some(name) if POWERSHELL.contains(&name) => {
                of_powershell(&self.text[from..command.end], words, self.pasted, &mut self.reader);
                true
            }
            Some(name) => {
                of_another(name, words, self.pasted, &mut self.reader, assigns);
                false
            }
            None => false,
        };
        let Some(here) = command.here else { return command.end };
        // What is sent says nothing of a connector; what another command writes into a file does.
        let mut at = command.end;
        for line in self.text[command.end..].lines().take_while(|_| is_request) {
            at += line.len() + 1;
            if line.trim() == here {
                return at.min(self.text.len());
            }
        }
        self.ends.push(here);
        command.end
    }

    /// A line that is neither a command nor a setting.
    fn words(&mut self, line: &str) {
        // The first line of a request, as it goes over the wire.
        if let Some((before, version)) = line.split_once(" HTTP/")
            && version.len() <= 3
        {
            self.path = before.split(' ').nth(1).map(str::to_owned);
            return;
        }
        if line.contains(['(', '{']) && line.contains(['"', '\'']) {
            return of_code(line, self.pasted, &mut self.reader);
        }
        for word in line.split_whitespace() {
            let bare = word.trim_matches(['"', '\'', '`', ',', ';', '(', ')']);
            if bare.is_empty() || (looks_like_an_address(bare) && self.pasted.address(bare)) {
                continue;
            }
            self.pasted.words.push(bare.to_owned());
        }
    }
}

/// The name of a command, in small letters, without the ending that Windows gives it.
fn bare_name(word: &str) -> String {
    word.to_ascii_lowercase().trim_end_matches(".exe").to_owned()
}

/// Whether a command is the first thing in a text.
fn begins_a_command(text: &str) -> bool {
    let first = text.split(char::is_whitespace).next().unwrap_or_default();
    let name = bare_name(first);
    let lists = [&AROUND[..], &HTTPIE, &POWERSHELL, &OTHERS];
    let is_command = matches!(&*name, "curl" | "wget") || lists.iter().any(|list| list.contains(&&*name));
    // `http = …` is a setting.
    let behind = text[first.len()..].trim_start_matches([' ', '\t']);
    if is_command {
        return !behind.starts_with(['=', ':', '{', '[']);
    }
    first.split_once('=').is_some_and(|(name, value)| {
        is_variable(name.trim_start_matches("$env:"))
            && !value.is_empty()
            && !value.starts_with(['>', '=', '[', '{', '@'])
    })
}

/// Whether a word that stands for itself is an address: with a scheme, a dot or a port in its host.
fn looks_like_an_address(word: &str) -> bool {
    if word.contains("://") {
        return true;
    }
    let host = word.split(['/', '?', '#']).next().unwrap_or_default();
    let (name, port) = host.rsplit_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let numeric = |port: &str| !port.is_empty() && port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
    match port {
        Some(port) if numeric(port) => !name.is_empty(),
        Some(_) => host.starts_with('['),
        None => name == "localhost" || (name.contains('.') && !name.starts_with("eyJ")),
    }
}

/// What the settings say in other ways: headers, and names that are values.
fn finish(reader: Reader, assigned: &[String], pasted: &mut Pasted) {
    pasted.more |= reader.more;
    let mut found = reader.found.into_iter().peekable();
    while let Some(Setting { name, value }) = found.next() {
        let (above, last) = name.rsplit_once('.').unwrap_or(("", &name));
        // Kubernetes: `name: SITE`, `value: company.com`.
        if last == "name"
            && is_variable(&value)
            && let Some(next) =
                found.next_if(|next| next.name.strip_suffix("value").is_some_and(|n| n.trim_end_matches('.') == above))
        {
            pasted.settings.push(Setting { name: value.to_ascii_lowercase(), value: next.value });
            continue;
        }
        let in_headers = above.rsplit('.').next().is_some_and(|above| above.contains("header"));
        let alone =
            above.is_empty() && (last == "authorization" || (last.contains('-') && !last.contains(['_', ' ', '/'])));
        // Fluent Bit: `Header Authorization Splunk …`.
        let spaced = (last == "header").then(|| value.split_once([' ', ':'])).flatten();
        if let Some((name, value)) = spaced {
            pasted.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        } else if in_headers || (alone && !value.is_empty()) {
            pasted.headers.push((last.to_owned(), value));
        } else if name == "_" || (name.is_empty() && value.is_empty()) {
        } else if assigned.contains(&name) && pasted.url.is_some() && is_used(&value, pasted) {
            // It was put in where it is named.
        } else if name.is_empty() && looks_like_an_address(&value) && pasted.address(&value) {
        } else {
            pasted.settings.push(Setting { name, value });
        }
    }
    pasted.settings.truncate(settings::MOST);
}

/// Whether a value that was assigned stands in the request already.
fn is_used(value: &str, pasted: &Pasted) -> bool {
    let host =
        pasted.url.as_ref().is_some_and(|url| value.len() > 3 && url.as_str().contains(value.trim_end_matches('/')));
    let user = pasted.user.iter().any(|(name, password)| [name, password].iter().any(|part| part.contains(value)));
    host || user || pasted.headers.iter().any(|(_, header)| header.contains(value))
}
