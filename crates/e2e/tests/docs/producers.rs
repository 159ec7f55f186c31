//! The documented producers against what stands in front of a server: a proxy that answers for itself, and not in JSON.

use std::fs;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinHandle;
use toktra_siem_testkit::prelude::*;
use toktra_siem_testkit::real;

use crate::blocks::{Item, items};

/// What is answered, one request after the other: status, header and body.
const ANSWERS: [(u16, &str, &str); 5] = [
    (502, "Content-Type: text/html", "<html><h1>502 Bad Gateway</h1></html>"),
    (429, "Retry-After: 0", "{}"),
    (500, "Retry-After: 0", r#"{"error":{"code":"unavailable","message":"a defect"}}"#),
    (
        422,
        "Content-Type: application/json",
        r#"{"error":{"code":"invalid","message":"no","fields":[{"pointer":"/1/severity","code":"not_one_of","message":"severity: no"}]}}"#,
    ),
    (202, "Content-Type: application/json", r#"{"accepted":2,"duplicates":0,"events":[]}"#),
];

/// Answers as [`ANSWERS`] say; comes to the bodies of the requests.
async fn proxy() -> (String, JoinHandle<Vec<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answering = tokio::spawn(async move {
        let mut bodies = Vec::new();
        for (status, header, body) in ANSWERS {
            let (mut stream, _) = listener.accept().await.unwrap();
            bodies.push(request(&mut stream).await);
            let length = body.len();
            let head =
                format!("HTTP/1.1 {status} x\r\n{header}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
        bodies
    });
    (address, answering)
}

/// The body of a request.
async fn request(stream: &mut TcpStream) -> Vec<u8> {
    let mut seen = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0, "a request ends");
        let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&seen[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
        let body = &seen[end + 4..];
        if body.len() >= length.unwrap_or(0) {
            return body.to_vec();
        }
    }
}

#[tokio::test]
async fn the_documented_producers_lose_nothing_to_a_proxy() {
    let (Some(python), Some(node)) = (real::PYTHON.path(), real::NODE.path()) else { return };
    let text = fs::read_to_string(root().join("docs/api.md")).unwrap();
    let programs: Vec<_> = items(&text)
        .into_iter()
        .filter_map(|item| match item {
            Item::Block(block) if ["tries=8", "tries = 8"].iter().any(|mark| block.text.contains(mark)) => Some(block),
            _ => None,
        })
        .collect();
    assert_eq!(programs.len(), 2, "one in Python, one in JavaScript");
    let directory = tempfile::tempdir().unwrap();
    for program in programs {
        let (address, answering) = proxy().await;
        let (interpreter, ending) = if program.language == "python" { (&python, "py") } else { (&node, "mjs") };
        let file = directory.path().join(format!("producer.{ending}"));
        fs::write(&file, program.text.replace("127.0.0.1:8080", &address)).unwrap();
        let said = Command::new(interpreter).arg(&file).env("TOKTRA_SIEM_API_KEY", "key").output().await.unwrap();
        let told = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
        assert!(told.starts_with("2 accepted, 0 already there, 1 refused"), "{told}");
        let bodies = answering.await.unwrap();
        assert!(bodies[..4].iter().all(|body| *body == bodies[0]), "the same again");
        assert_ne!(bodies[4], bodies[0], "without what was refused");
    }
}
