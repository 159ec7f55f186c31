//! Receivers that do what no receiver should: a row for each, what it does and what comes of it.
//!
//! Whatever it is, it ends by itself, the failure says so in a sentence, and the connection is not used again. Each row has a runtime, and so
//! a clock, of its own: where a receiver keeps us waiting, time passes as soon as it has begun to.

use std::fmt::Write as _;

use tokio::io::AsyncWrite;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use super::certificates::{ca, endpoint_with, issued, params, server_config};
use super::*;

/// What the URL says, and what the port does.
#[derive(Clone, Copy, PartialEq)]
enum Port {
    Http,
    Https,
    /// The URL says `https`, the port does as the row says without any TLS.
    RawUnderHttps,
    /// TLS, with so many session tickets after the handshake.
    Tickets(usize),
}

/// A step of what a receiver does with a connection. It ends early once the other side has gone.
enum Act {
    /// Reads one request.
    Reads,
    /// Reads one byte.
    Begins,
    Says(Vec<u8>),
    /// Says it again and again.
    Repeats(Vec<u8>),
    /// Says it again and again, a byte a second.
    Drips(&'static [u8]),
    /// Keeps the connection, and says nothing.
    Waits,
    /// Ends the connection as a crash does.
    Resets,
}

enum End {
    /// Fails, with one of these codes.
    Fails(&'static [&'static str]),
    /// Is answered with this status all the same. The next request goes over a new connection.
    Answers(u16),
    /// Either: what arrives first decides.
    Either(&'static str, u16),
}

struct Case {
    name: &'static str,
    port: Port,
    body: usize,
    acts: Vec<Act>,
    end: End,
}

fn case(name: &'static str, end: End, acts: Vec<Act>) -> Case {
    Case { name, port: Port::Http, body: 2, acts, end }
}

impl Case {
    fn over(self, port: Port) -> Self {
        Self { port, ..self }
    }

    /// More than the sockets' buffers hold, so that it is written only if it is read.
    fn large(self) -> Self {
        Self { body: 32 << 20, ..self }
    }
}

fn says(what: &str) -> Act {
    Act::Says(what.as_bytes().to_vec())
}

fn repeats(what: &str) -> Act {
    Act::Repeats(what.as_bytes().to_vec())
}

const EXCESS: End = End::Fails(&["network_excess"]);
/// Which of the two depends on how much of it is read at once.
const ENDLESS: End = End::Fails(&["network_malformed", "network_excess"]);
const MALFORMED: End = End::Fails(&["network_malformed"]);
const NOT_HTTP: End = End::Fails(&["network_not_http"]);
const RESET: End = End::Fails(&["network_reset"]);
const TIMEOUT: End = End::Fails(&["network_timeout"]);
const TURN: End = End::Fails(&["network_out_of_turn"]);
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

fn interim_and_heads() -> Vec<Case> {
    use Act::{Drips, Reads};
    let long = format!("HTTP/1.1 102 Processing\r\nX-Long: {}\r\n\r\n", "x".repeat(8_000));
    let many = (0..200).fold("HTTP/1.1 200 OK\r\n".to_owned(), |mut head, n| {
        write!(head, "X-{n}: 1\r\n").unwrap();
        head
    });
    let wide = format!("HTTP/1.1 200 OK\r\nX-Wide: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(1_000_000));
    vec![
        case("103 without end", EXCESS, vec![Reads, repeats("HTTP/1.1 103 Early Hints\r\n\r\n")]),
        case("100 without end", EXCESS, vec![Reads, repeats("HTTP/1.1 100 Continue\r\n\r\n")]),
        case("102 with large headers without end", EXCESS, vec![Reads, Act::Repeats(long.into_bytes())]),
        case("an unknown 1xx without end", EXCESS, vec![Reads, repeats("HTTP/1.1 199 \r\nA: b\r\n\r\n")]),
        case("103 without end, in TLS", EXCESS, vec![Reads, repeats("HTTP/1.1 103 Early Hints\r\n\r\n")])
            .over(Port::Https),
        case("103 by drips", TIMEOUT, vec![Reads, Drips(b"HTTP/1.1 103 Early Hints\r\n\r\n")]),
        case(
            "header lines without end",
            EXCESS,
            vec![Reads, says("HTTP/1.1 200 OK\r\n"), repeats("X-Padding: aaaaaaa\r\n")],
        ),
        case("a header of 1 MB", EXCESS, vec![Reads, Act::Says(wide.into_bytes()), Act::Waits]),
        case("200 headers", EXCESS, vec![Reads, says(&(many + "\r\n")), Act::Waits]),
        case("a header's name without end", EXCESS, vec![Reads, says("HTTP/1.1 200 OK\r\n"), repeats("x")]),
        case("a status line without end", EXCESS, vec![Reads, says("HTTP/1.1 200 "), repeats("O")]),
        case("empty lines without end", EXCESS, vec![Reads, repeats("\r\n")]),
        case(
            "a head by drips",
            TIMEOUT,
            vec![Reads, Drips(b"HTTP/1.1 200 OK\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")],
        ),
        case(
            "a head by drips, in TLS",
            TIMEOUT,
            vec![Reads, Drips(b"HTTP/1.1 200 OK\r\nX-Slow: aaaaaaaaaaaaaaaaaaa\r\n")],
        )
        .over(Port::Https),
        case("a status of four digits", MALFORMED, vec![Reads, says("HTTP/1.1 2000 OK\r\n\r\n")]),
        case("NUL in a header", MALFORMED, vec![Reads, says("HTTP/1.1 200 OK\r\nA: \0\r\n\r\n")]),
        case("HTTP/0.9", NOT_HTTP, vec![Reads, says("<html>hello</html>\r\n\r\n")]),
        case("HTTP/2", NOT_HTTP, vec![Reads, says("\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64")]),
        case("another protocol's greeting", NOT_HTTP, vec![says("220 mail ESMTP\r\n"), Act::Waits]),
        case(
            "an answer before any request",
            End::Either("network_not_http", 200),
            vec![says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")],
        ),
        case(
            "101",
            TURN,
            vec![Reads, says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")],
        ),
        case("101 and a flood", TURN, vec![Reads, says("HTTP/1.1 101 Switching Protocols\r\n\r\n"), repeats("x")]),
    ]
}

fn bodies() -> Vec<Case> {
    use Act::{Begins, Drips, Reads, Resets, Waits};
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let length = |length: &str| says(&format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nok"));
    vec![
        case("a chunk extension without end", ENDLESS, vec![Reads, says(CHUNKED), says("1;"), repeats("x")]),
        case(
            "chunk extensions without end",
            ENDLESS,
            vec![Reads, says(CHUNKED), repeats("1;xxxxxxxxxxxxxxxx\r\na\r\n")],
        ),
        case("a chunk size of zeros without end", EXCESS, vec![Reads, says(CHUNKED), repeats("0")]),
        case("blanks after a chunk size without end", EXCESS, vec![Reads, says(CHUNKED), says("1"), repeats(" ")]),
        case("a chunk size beyond counting", MALFORMED, vec![Reads, says(CHUNKED), says("fffffffffffffffff\r\n")]),
        case("a chunk that is longer than its size", MALFORMED, vec![Reads, says(CHUNKED), says("1\r\naa\r\n")]),
        case("a trailer without end", ENDLESS, vec![Reads, says(CHUNKED), says("0\r\nA: "), repeats("x")]),
        case("trailers without end", ENDLESS, vec![Reads, says(CHUNKED), says("0\r\n"), repeats("A: b\r\n")]),
        case(
            "a body by drips",
            TIMEOUT,
            vec![Reads, says("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"), Drips(b"x")],
        ),
        case("chunks by drips", TIMEOUT, vec![Reads, says(CHUNKED), Drips(b"1\r\nx\r\n")]),
        case("chunks by drips, in TLS", TIMEOUT, vec![Reads, says(CHUNKED), Drips(b"1\r\nx\r\n")]).over(Port::Https),
        case("chunks of a byte without end", EXCESS, vec![Reads, says(CHUNKED), repeats("1\r\nx\r\n")]),
        case(
            "chunks without end",
            End::Answers(200),
            vec![Reads, says(CHUNKED), repeats("10\r\naaaaaaaaaaaaaaaa\r\n")],
        ),
        case(
            "a body without end",
            End::Answers(200),
            vec![Reads, says("HTTP/1.1 200 OK\r\n\r\n"), Act::Repeats(vec![b'x'; 4_096])],
        ),
        case(
            "a body of exabytes",
            End::Answers(200),
            vec![Reads, length("9999999999999999999"), Act::Repeats(vec![b'x'; 4_096])],
        ),
        case("a length that is too large", RESET, vec![Reads, length("100")]),
        case("a length that is too large, kept open", TIMEOUT, vec![Reads, length("100"), Waits]),
        case("a length that is too small", End::Answers(200), vec![Reads, length("1"), Waits]),
        case("a negative length", MALFORMED, vec![Reads, length("-1"), Waits]),
        case("a length beyond counting", MALFORMED, vec![Reads, length("99999999999999999999"), Waits]),
        case("two lengths", MALFORMED, vec![Reads, length("2\r\nContent-Length: 3"), Waits]),
        case("a second answer", End::Answers(200), vec![Reads, says(&ok.repeat(2)), Waits]),
        case(
            "an interim answer",
            End::Answers(200),
            vec![Reads, says("HTTP/1.1 103 Early Hints\r\n\r\n"), says(ok), Reads, says(ok)],
        ),
        case("success, to a request that is not read", TURN, vec![Begins, says(ok), Waits]).large(),
        case("success, to a request that is not read, in TLS", TURN, vec![Begins, says(ok), Waits])
            .large()
            .over(Port::Https),
        case(
            "refusal, to a request that is not read",
            End::Answers(413),
            vec![Begins, says("HTTP/1.1 413 \r\nContent-Length: 0\r\n\r\n"), Waits],
        )
        .large(),
        case(
            "refusal, before the request is read",
            End::Answers(413),
            vec![Begins, says("HTTP/1.1 413 \r\nContent-Length: 0\r\n\r\n"), Reads, Reads],
        )
        .large(),
        case("silence", TIMEOUT, vec![Reads, Waits]),
        case("a request that is never read", TIMEOUT, vec![Begins, Waits]).large(),
        case("a reset at once", RESET, vec![Resets]),
        case("a reset within the request", RESET, vec![Begins, Resets]).large(),
        case("a reset after the request", RESET, vec![Reads, Resets]),
        case(
            "a reset within an interim answer",
            RESET,
            vec![Reads, says("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 1"), Resets],
        ),
        case("a reset within the head", RESET, vec![Reads, says("HTTP/1.1 200 O"), Resets]),
        case("a reset within the body", RESET, vec![Reads, length("100"), Resets]),
        case("a reset within a chunk", RESET, vec![Reads, says(CHUNKED), says("5\r\nhe"), Resets]),
    ]
}

fn handshakes() -> Vec<Case> {
    use Act::{Begins, Reads, Resets, Waits};
    const TLS_TIMEOUT: End = End::Fails(&["network_tls_timeout"]);
    // Which of the two depends on where rustls draws its own lines.
    const FLOOD: End = End::Fails(&["tls_failed", "network_excess"]);
    // The head of a ServerHello that announces 16 MB, and a record of its body.
    let hello = [b"\x16\x03\x03\x00\x04\x02\xff\xff\xff".as_slice(), b"\x16\x03\x03\x40\x00", &[0; 0x4000]].concat();
    let raw = |case: Case| case.over(Port::RawUnderHttps);
    vec![
        raw(case("a handshake that stalls", TLS_TIMEOUT, vec![Begins, Waits])),
        raw(case(
            "a handshake by drips",
            TLS_TIMEOUT,
            vec![Begins, Act::Drips(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03\x00")],
        )),
        raw(case("a handshake of empty records", FLOOD, vec![Begins, repeats("\x16\x03\x03\0\0")])),
        raw(case("a handshake of cipher changes", FLOOD, vec![Begins, repeats("\x14\x03\x03\0\x01\x01")])),
        raw(case("a handshake of warnings", FLOOD, vec![Begins, repeats("\x15\x03\x03\0\x02\x01\x5a")])),
        raw(case("a handshake of one message without end", FLOOD, vec![Begins, Act::Repeats(hello)])),
        raw(case("zeros for a handshake", End::Fails(&["tls_not_spoken", "tls_failed"]), vec![Begins, repeats("\0")])),
        raw(case("a reset within the handshake", RESET, vec![Begins, Resets])),
        case("session tickets without end", EXCESS, vec![Reads, Waits]).over(Port::Tickets(2_000)),
    ]
}

/// Acts until it is done, or the other side has gone. Tells `begun` before it keeps the other side waiting.
async fn perform<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    acts: &[Act],
    begun: &Mutex<Option<oneshot::Sender<()>>>,
) -> Option<()> {
    let tell = || begun.lock().take().map(|begun| begun.send(()));
    for act in acts {
        match act {
            Act::Reads => drop(read_request(stream).await?),
            Act::Begins => drop(stream.read_u8().await.ok()?),
            Act::Says(what) => {
                stream.write_all(what).await.ok()?;
                stream.flush().await.ok()?;
            }
            Act::Repeats(what) => {
                let much = what.repeat(16_384 / what.len() + 1);
                loop {
                    stream.write_all(&much).await.ok()?;
                }
            }
            Act::Drips(what) => {
                tell();
                let mut tick = tokio::time::interval(Duration::from_secs(1));
                for byte in what.iter().cycle() {
                    tick.tick().await;
                    stream.write_all(&[*byte]).await.ok()?;
                    stream.flush().await.ok()?;
                }
            }
            Act::Waits => {
                tell();
                std::future::pending::<()>().await;
            }
            Act::Resets => return Some(()),
        }
    }
    Some(())
}

/// Plays the row once, and once more where it was answered.
async fn play(case: Arc<Case>) {
    let (begun, has_begun) = oneshot::channel();
    let begun = Arc::new(Mutex::new(Some(begun)));
    let authority = ca("hostile");
    let mut config = server_config(issued(&authority, &params("siem.test")));
    if let Port::Tickets(count) = case.port {
        config.send_tls13_tickets = count;
    }
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let played = Arc::clone(&case);
    let server = Server::start(move |_, mut stream| {
        let (case, begun, acceptor) = (Arc::clone(&played), Arc::clone(&begun), acceptor.clone());
        async move {
            if matches!(case.acts.last(), Some(Act::Resets)) {
                stream.set_zero_linger().unwrap();
            }
            match case.port {
                Port::Http | Port::RawUnderHttps => drop(perform(&mut stream, &case.acts, &begun).await),
                Port::Https | Port::Tickets(_) => {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    perform(&mut stream, &case.acts, &begun).await;
                }
            }
        }
    })
    .await;

    let endpoint = endpoint_with(Some(&authority.pem()));
    let scheme = if case.port == Port::Http { "http" } else { "https" };
    let url = format!("{scheme}://siem.test:{}/in", server.address.port());
    let keeps_waiting = matches!(case.end, End::Fails(codes) if codes.iter().all(|code| code.ends_with("timeout")));
    let options = if keeps_waiting { SendOptions::default() } else { NEVER };
    let ask = {
        let (endpoint, body) = (endpoint.clone(), Bytes::from(vec![b'x'; case.body]));
        move || {
            let (endpoint, request) = (endpoint.clone(), SignedRequest { body: body.clone(), ..request(&url) });
            async move { endpoint.send(request, options).await }
        }
    };
    let mut asking = tokio::spawn(ask());
    let answer = tokio::select! {
        answer = &mut asking => answer,
        // Only where it is all that will happen: time that passes by itself overtakes what is on its way.
        _ = has_begun, if keeps_waiting => {
            tokio::time::pause();
            asking.await
        }
    };
    let answer = answer.expect("no panic");
    match (&case.end, &answer) {
        (End::Answers(expected) | End::Either(_, expected), Ok(exchange)) => {
            assert_eq!(exchange.reply.status, *expected);
            assert!(exchange.reply.body.len() <= BODY_CAP);
        }
        (End::Fails(codes), Err(failure)) => assert!(codes.contains(&&*failure.cause().code), "{:?}", failure.kind),
        (End::Either(code, _), Err(failure)) => assert_eq!(failure.cause().code, *code),
        (_, other) => panic!("{other:?}"),
    }
    if let Err(failure) = &answer {
        let said = failure.cause().message;
        assert!(said.contains("siem.test:") && said.ends_with('.') && said.contains(": "), "{said}");
        assert_eq!(failure.misconfigured(), failure.kind == FailureKind::NotTls);
        assert!(failure.stages.last().is_some_and(|stage| !stage.ok), "{:?}", failure.stages);
    }
    drop(answer);
    assert_eq!(endpoint.shared.answers.total(), 0);
    if let End::Answers(_) = case.end {
        ask().await.ok();
        assert_eq!(server.connections(), 2, "a connection was used again");
    }
}

/// Plays all rows, each with a runtime of its own, and tells of all that went otherwise.
fn play_all(cases: Vec<Case>) {
    let failed: Vec<&str> = cases
        .into_iter()
        .filter_map(|case| {
            let name = case.name;
            let played = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(play(Arc::new(case)));
            });
            played.join().err().map(|_| name)
        })
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn heads() {
    play_all(interim_and_heads());
}

#[test]
fn answers() {
    play_all(bodies());
}

#[test]
fn tls() {
    play_all(handshakes());
}
