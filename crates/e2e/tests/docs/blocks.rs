//! A page as the runner sees it: its fenced blocks, and the directions that stand between them as comments.

/// What the runner acts on, in the order of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// A fenced block.
    Block(Block),
    /// `<!-- docs: … -->`: what happens to the world between two blocks, invisible to readers.
    Direction {
        /// The line that it stands on, from one.
        line: usize,
        /// The words after `docs:`.
        text: String,
    },
}

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Block {
    /// The line of the opening fence, from one.
    pub(crate) line: usize,
    /// The first word behind the fence: what GitHub colours it by.
    pub(crate) language: String,
    /// The words behind it, which GitHub does not show.
    pub(crate) flags: Vec<String>,
    /// What stands between the fences, without their indentation.
    pub(crate) text: String,
    /// Why it is not run: the comment `<!-- no-run: … -->` right above it.
    pub(crate) reason: Option<String>,
}

impl Block {
    /// Whether this word stands behind its language.
    pub(crate) fn is(&self, flag: &str) -> bool {
        self.flags.iter().any(|given| given == flag)
    }

    /// The file that it is saved as: `file=NAME`.
    pub(crate) fn file(&self) -> Option<&str> {
        self.flags.iter().find_map(|flag| flag.strip_prefix("file="))
    }

    /// What is wrong with how it is marked.
    pub(crate) fn fault(&self) -> Option<String> {
        const RUN: &[&str] = &["no-run", "server", "forever", "fails"];
        let known: &[&str] = match self.language.as_str() {
            "sh" => RUN,
            "python" | "js" => &["no-run", "verify", "file"],
            "json" => &["output", "file"],
            "toml" => &["file"],
            "yaml" => &["no-run", "file"],
            "text" => &["output"],
            "" => return Some("a block needs a language, so that it can be run or read".to_owned()),
            _ if self.is("no-run") => &["no-run"],
            other => {
                return Some(format!("nothing here runs `{other}`: mark the block `no-run`, and say why above it"));
            }
        };
        let known_flag = |flag: &String| known.contains(&flag.split('=').next().unwrap_or_default());
        if let Some(flag) = self.flags.iter().find(|flag| !known_flag(flag)) {
            return Some(format!("`{flag}` is not known for `{}`", self.language));
        }
        if self.is("no-run") != self.reason.is_some() {
            return Some(
                "`no-run` and the comment `<!-- no-run: the reason -->` right above the block go together".to_owned(),
            );
        }
        if self.language == "text" && self.text.lines().any(is_command) {
            return Some("commands belong into a block of `sh`, where they are run".to_owned());
        }
        None
    }
}

/// Whether a line of plain text is one that somebody is meant to type.
fn is_command(line: &str) -> bool {
    ["$ ", "curl ", "toktra-siem ", "cargo ", "export "].iter().any(|start| line.starts_with(start))
}

/// Everything of the page that concerns the runner. An open fence takes the rest of the page.
pub(crate) fn items(page: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut reason: Option<String> = None;
    let mut lines = page.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let (text, number) = (line.trim_start(), index + 1);
        let indent = line.len() - text.len();
        if let Some(info) = text.strip_prefix("```") {
            let mut words = info.split_whitespace().map(str::to_owned);
            let mut block = Block {
                line: number,
                language: words.next().unwrap_or_default(),
                flags: words.collect(),
                reason: reason.take(),
                text: String::new(),
            };
            for (_, line) in lines.by_ref() {
                if line.trim() == "```" {
                    break;
                }
                let within = line.len() - line.trim_start().len();
                block.text.push_str(&line[within.min(indent)..]);
                block.text.push('\n');
            }
            items.push(Item::Block(block));
        } else if let Some(text) = comment(text, "docs:") {
            items.push(Item::Direction { line: number, text });
        } else if let Some(text) = comment(text, "no-run:") {
            reason = Some(text);
        } else if !text.is_empty() {
            reason = None;
        }
    }
    items
}

fn comment(line: &str, name: &str) -> Option<String> {
    let text = line.trim_end().strip_prefix("<!--")?.strip_suffix("-->")?.trim().strip_prefix(name)?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[test]
fn blocks_and_directions_are_found_in_order_with_their_marks() {
    let page = "# A\n\n```sh server\nserve\n```\n\n<!-- docs: stop the server -->\n\n1. x\n\n   ```python file=a.py\n   if x:\n       y\n   ```\n\
                <!-- no-run: needs an account -->\n```sh no-run\ny\n```\n";
    let block = |line, language: &str, flags: &[&str], text: &str, reason: Option<&str>| {
        Item::Block(Block {
            line,
            language: language.into(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            text: text.into(),
            reason: reason.map(Into::into),
        })
    };
    assert_eq!(
        items(page),
        [
            block(3, "sh", &["server"], "serve\n", None),
            Item::Direction { line: 7, text: "stop the server".into() },
            block(11, "python", &["file=a.py"], "if x:\n    y\n", None),
            block(16, "sh", &["no-run"], "y\n", Some("needs an account")),
        ]
    );
}

#[test]
fn no_block_escapes() {
    let fault = |page: &str| match items(page).remove(0) {
        Item::Block(block) => block.fault(),
        Item::Direction { .. } => panic!("a block was expected"),
    };
    for good in
        ["```sh\nls\n```", "```json output\n{}\n```", "<!-- no-run: x -->\n\n```nginx no-run\n```", "```text\na\n```"]
    {
        assert_eq!(fault(good), None, "{good}");
    }
    for bad in [
        "```\nls\n```",
        "```bash\nls\n```",
        "```nginx\n```",
        "```sh norun\nls\n```",
        "```sh no-run\nls\n```",
        "<!-- no-run: x -->\n```sh\nls\n```",
        "<!-- no-run: x -->\nprose\n```sh no-run\nls\n```",
        "<!-- no-run: -->\n```sh no-run\nls\n```",
        "```text\n$ ls\n```",
        "```text\ntoktra-siem serve\n```",
    ] {
        assert!(fault(bad).is_some(), "{bad}");
    }
}
