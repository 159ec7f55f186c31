//! Running a page from top to bottom.

use std::fs;

use toktra_siem_testkit::prelude::*;

use crate::blocks::{Block, Item, items};
use crate::desk::Desk;
use crate::session::{Said, Session, read};
use crate::{data, expect};

/// Runs the page at `path`, below the repository's root.
pub(crate) async fn run(path: &str) {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let items = items(&text);
    let faults: Vec<String> = items
        .iter()
        .filter_map(|item| match item {
            Item::Block(block) => block.fault().map(|fault| format!("{path}:{}: {fault}", block.line)),
            Item::Direction { .. } => None,
        })
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
    if !items.iter().any(needs_desk) {
        for item in &items {
            if let Item::Block(block) = item {
                data::check(block).unwrap_or_else(|fault| panic!("{path}:{}: {fault}", block.line));
            }
        }
        return;
    }
    let Some(desk) = Desk::new().await else { return };
    let session = Session::start(&desk.home(), &desk.steps(), &desk.variables()).await;
    let mut run = Run { path, desk, session, serving: false, last: None };
    // A page that starts no server itself is for readers who have one.
    if !items.iter().any(|item| matches!(item, Item::Block(block) if block.is("server"))) {
        run.serve("toktra-siem serve", 0).await;
    }
    for item in &items {
        match item {
            Item::Block(block) => run.block(block, &text).await,
            Item::Direction { line, text } => run.direction(*line, text).await,
        }
    }
    run.end().await;
}

/// Whether this cannot be checked by reading alone.
fn needs_desk(item: &Item) -> bool {
    match item {
        Item::Block(block) => !block.is("no-run") && matches!(block.language.as_str(), "sh" | "python" | "js" | "toml"),
        Item::Direction { .. } => true,
    }
}

struct Run<'p> {
    path: &'p str,
    desk: Desk,
    session: Session,
    serving: bool,
    /// What the block before wrote, for an `output` that follows it.
    last: Option<Said>,
}

impl Run<'_> {
    async fn block(&mut self, block: &Block, page: &str) {
        if block.is("output") {
            return self.output(block);
        }
        if block.is("no-run") {
            return;
        }
        if let Err(fault) = data::check(block) {
            self.fail(block.line, &fault, None);
        }
        if let Some(name) = block.file() {
            if !page.contains(&format!("`{name}`")) {
                self.fail(block.line, &format!("readers are not told that this is the file `{name}`"), None);
            }
            fs::write(self.desk.home().join(name), self.desk.played(&block.text)).expect("a file of the page");
            return;
        }
        let said = match block.language.as_str() {
            "sh" if block.is("server") => return self.serve(&block.text, block.line).await,
            "sh" if block.is("forever") => self.forever(block).await,
            "sh" if block.is("fails") => self.session.run_failing(&self.desk.played(&block.text)).await,
            "sh" => self.session.run(&self.desk.played(&block.text)).await,
            "python" => self.program(block, "python3", "py").await,
            "js" if block.text.contains("require(") => self.program(block, "node", "cjs").await,
            "js" => self.program(block, "node", "mjs").await,
            "toml" => self.configuration(block).await,
            _ => return,
        };
        match said {
            Ok(said) if block.is("fails") && said.code == 0 => {
                self.fail(block.line, "this is documented to fail, and did not", Some(&said));
            }
            Ok(said) => self.last = Some(said),
            Err(said) => self.fail(block.line, "this failed", Some(&said)),
        }
    }

    async fn program(&mut self, block: &Block, interpreter: &str, ending: &str) -> Result<Said, Said> {
        let file = self.desk.steps().join(format!("line-{}.{ending}", block.line));
        fs::write(&file, self.desk.played(&block.text)).expect("the directory for steps takes files");
        self.session.run(&format!("{interpreter} '{}'", file.display())).await
    }

    /// A configuration file is one that `config check` finds nothing wrong with. It names SIEMs by their real addresses, and is not used.
    async fn configuration(&mut self, block: &Block) -> Result<Said, Said> {
        let file = self.desk.steps().join(format!("line-{}.toml", block.line));
        fs::write(&file, &block.text).expect("the directory for steps takes files");
        self.session.run(&format!("toktra-siem --config '{}' config check", file.display())).await
    }

    /// A command that goes on until somebody interrupts it: here, once it has written something.
    async fn forever(&mut self, block: &Block) -> Result<Said, Said> {
        let step = self.session.run_behind(&self.desk.played(&block.text)).await;
        poll::until("the command says something", async || (!read(&step, "out").is_empty()).then_some(())).await;
        self.session.run(&format!("kill -INT {}", self.desk.pid())).await?;
        let code = self.session.wait_behind().await;
        let said = Said { code, stdout: read(&step, "out"), stderr: read(&step, "err") };
        if code == 0 { Ok(said) } else { Err(said) }
    }

    async fn serve(&mut self, block: &str, line: usize) {
        let step = self.session.run_behind(&self.desk.played(block)).await;
        let client = Client::new(&format!("http://{}", self.desk.address));
        let ready = poll::within(poll::PATIENCE, async || {
            let answer = client.try_send(http::Method::GET, "/readyz", &[], bytes::Bytes::new()).await;
            answer.is_ok_and(|answer| answer.status == 200).then_some(())
        });
        if ready.await.is_none() {
            self.fail(line, &format!("the server is not ready: {}", read(&step, "err")), None);
        }
        self.serving = true;
    }

    async fn stop(&mut self, line: usize) {
        let asked = self.session.run(&format!("kill -TERM {}", self.desk.pid())).await;
        if let Err(said) = asked {
            self.fail(line, "the server is gone", Some(&said));
        }
        let code = self.session.wait_behind().await;
        if code != 0 {
            self.fail(line, &format!("the server ended with {code}"), None);
        }
        self.serving = false;
    }

    async fn direction(&mut self, line: usize, text: &str) {
        match text {
            "stop the server" => self.stop(line).await,
            "start the server" => self.serve("toktra-siem serve", line).await,
            "Splunk is down" => self.desk.siems.splunk.down().await,
            "Splunk is up" => self.desk.siems.splunk.up().expect("its port is its own"),
            _ => match text.strip_prefix("until ") {
                Some(condition) => self.until(line, condition).await,
                None => self.fail(line, &format!("no such direction: {text}"), None),
            },
        }
    }

    async fn until(&mut self, line: usize, condition: &str) {
        let asked = format!("if {{ {condition}; }} >/dev/null 2>&1; then echo yes; else sleep 0.1; fi");
        let asked = self.desk.played(&asked);
        let session = &mut self.session;
        let met = poll::within(poll::PATIENCE, async || {
            let said = session.run(&asked).await;
            said.is_ok_and(|said| said.stdout == "yes\n").then_some(())
        });
        if met.await.is_none() {
            self.fail(line, "this was never true", None);
        }
    }

    fn output(&self, block: &Block) {
        let Some(said) = &self.last else { self.fail(block.line, "there is no command before this output", None) };
        let stdout = self.desk.shown(&said.stdout);
        let same = match block.language.as_str() {
            "json" => {
                let shown: Value = serde_json::from_str(&block.text).unwrap_or_else(|error| {
                    self.fail(block.line, &format!("this is no JSON: {error}"), None);
                });
                serde_json::from_str(&stdout).is_ok_and(|said| expect::json(&shown, &said))
            }
            _ => expect::text(&block.text, &stdout) || expect::text(&block.text, &self.desk.shown(&said.stderr)),
        };
        if !same {
            self.fail(block.line, "the command before says something else", Some(said));
        }
    }

    async fn end(mut self) {
        if self.serving {
            self.stop(0).await;
        }
        self.desk.siems.assert_unharmed();
        assert_eq!(self.desk.hook.violations(), []);
        assert_eq!(self.desk.slack.violations(), []);
    }

    fn fail(&self, line: usize, what: &str, said: Option<&Said>) -> ! {
        let wrote =
            said.map(|Said { code, stdout, stderr }| format!("\ncode {code}\n{stdout}\n{stderr}")).unwrap_or_default();
        panic!("{}:{line}: {what}{wrote}", self.path);
    }
}
