//! The browser itself is tried: it does what a person does, and its judgements find what is wrong. A judge that never finds anything would let every
//! page pass.

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{Browser, Page, Theme};
use crate::poll;

/// What the product's pages are served with, so far as it matters here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'";

const SOUND: &str = r#"<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>Sound</title>
<link rel="icon" href="/icon.svg"><link rel="stylesheet" href="/sound.css"><script src="/sound.js" defer></script>
<main><h1>Sound</h1><form><p><label>Name <input id="name" value="old"></label></p>
<p><label>Colour <select id="colour"><option value="r">Red</option><option value="g">Green</option></select></label></p>
<p><button id="save" type="button" data-kind="primary">Save</button></p></form>
<p id="said"></p><p id="late" hidden>late</p><noscript><p id="bare">bare</p></noscript></main></html>"#;

const SOUND_CSS: &str = "body { background: #fff; color: #111; font-size: 16px } button { padding: 12px }
@media (prefers-color-scheme: dark) { body { background: #000; color: #eee } }
@media (prefers-reduced-motion: reduce) { h1 { font-style: italic } }";

const SOUND_JS: &str = "const by = id => document.getElementById(id);
by('save').onclick = () => setTimeout(() => {
    by('late').hidden = false; by('said').innerText = by('name').value + ' ' + by('colour').value; history.pushState({}, '', '?saved');
}, 20);
document.onkeydown = e => { if (e.key === 'Escape') by('late').hidden = true; };";

/// Pale text, a picture without words, wider than a phone, what the policy forbids, an error, and something that jumps.
const BROKEN: &str = r#"<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>Broken</title>
<link rel="icon" href="/icon.svg"><link rel="stylesheet" href="/broken.css"><script src="/broken.js" defer></script>
<main><h1>Broken</h1><img src="/icon.svg"><p id="pale">pale</p><p id="wide">wide</p><p style="color: red">refused</p></main></html>"#;

const BROKEN_CSS: &str =
    "body { background: #fff } #pale { color: #ddd } #wide { width: 900px } #jump { height: 200px }";

const BROKEN_JS: &str = "console.error('said so');
setTimeout(() => { throw new Error('nobody caught'); }, 0);
requestAnimationFrame(() => requestAnimationFrame(() => {
    const jump = document.createElement('div'); jump.id = 'jump'; document.querySelector('h1').before(jump);
}));";

const ICON: &str = r#"<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16"/>"#;

/// Answers from the constants above until the test ends; returns where.
async fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    base
}

async fn answer(mut stream: TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_closed) => return,
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split_whitespace().nth(1).unwrap_or_default();
    let (kind, body) = match path.split('?').next().unwrap_or_default() {
        "/sound" => ("text/html", SOUND),
        "/sound.css" => ("text/css", SOUND_CSS),
        "/sound.js" => ("text/javascript", SOUND_JS),
        "/broken.css" => ("text/css", BROKEN_CSS),
        "/broken.js" => ("text/javascript", BROKEN_JS),
        "/icon.svg" => ("image/svg+xml", ICON),
        _ => ("text/html", BROKEN),
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\ncontent-security-policy: {POLICY}\r\n\
         set-cookie: seen=yes; Path=/; HttpOnly; SameSite=Lax\r\nconnection: close\r\n\r\n",
        body.len()
    );
    // A browser that has gone away needs no answer.
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

async fn open(path: &str) -> Option<(Browser, Page, String)> {
    let browser = Browser::start().await?;
    let base = serve().await;
    let page = browser.tab().await;
    page.goto(&format!("{base}{path}")).await;
    Some((browser, page, base))
}

#[tokio::test]
async fn a_page_is_read_and_used_as_a_person_would() {
    let Some((_browser, page, base)) = open("/sound").await else { return };
    assert_eq!((page.url().await, page.title().await), (format!("{base}/sound"), "Sound".to_owned()));
    assert_eq!(page.text("h1").await, "Sound");
    assert_eq!(page.texts("option").await, ["Red", "Green"]);
    assert_eq!(page.attr("#save", "data-kind").await.as_deref(), Some("primary"));
    assert_eq!(page.attr("#save", "title").await, None);
    assert!(page.exists("#late").await && !page.exists("#never").await);
    page.fill("#name", "it's \"new\"").await;
    assert_eq!(page.value("#name").await, "it's \"new\"");
    page.select("#colour", "g").await;
    page.click("#save").await;
    page.wait_for("#late").await;
    page.wait_for_text("#said", "it's \"new\" g").await;
    page.wait_for_url("?saved").await;
    page.press("Escape").await;
    page.wait_gone("#late").await;
    page.back().await;
    assert_eq!(page.url().await, format!("{base}/sound"));
    page.assert_quiet().await;
}

#[tokio::test]
async fn the_keyboard_moves_the_focus_both_ways() {
    let Some((_browser, page, _)) = open("/sound").await else { return };
    assert_eq!(page.active_element().await, "body");
    page.press("Tab").await;
    assert_eq!(page.active_element().await, "input#name \"Name\"");
    page.press("Tab Tab").await;
    assert_eq!(page.active_element().await, "button#save \"Save\"");
    page.press("Shift+Tab Shift+Tab a b").await;
    assert_eq!(page.value("#name").await, "ab");
}

#[tokio::test]
async fn a_sound_page_passes_every_judgement() {
    let Some((_browser, page, _)) = open("/sound").await else { return };
    page.assert_quiet().await;
    page.assert_accessible().await;
    page.size(360, 740).await;
    page.assert_fits().await;
    assert!(page.layout_shift().await.abs() < f64::EPSILON);
    // The icon comes after all else.
    let sent = u64::try_from(SOUND.len() + SOUND_CSS.len() + SOUND_JS.len() + ICON.len()).unwrap();
    poll::until("all that was sent has been counted", async || (page.transferred().await == sent).then_some(())).await;
}

#[tokio::test]
async fn what_is_wrong_with_a_page_is_found() {
    let Some((_browser, page, _)) = open("/broken").await else { return };
    page.wait_for("#jump").await;
    let complaints = page.complaints().await.join("\n");
    for expected in ["said so", "nobody caught", "Content Security Policy"] {
        assert!(complaints.contains(expected), "{expected}: {complaints}");
    }
    page.assert_quiet().await;
    let found = page.axe().await;
    let elements = |rule: &str| {
        let of_rule = found.iter().filter(|violation| violation.rule == rule);
        of_rule.flat_map(|violation| &violation.elements).cloned().collect::<String>()
    };
    assert!(elements("color-contrast").contains("#pale"), "{found:?}");
    assert!(elements("image-alt").contains("img"), "{found:?}");
    assert!(page.layout_shift().await > 0.0);
}

#[tokio::test]
async fn a_page_that_is_wider_than_a_phone_is_found_out() {
    let Some((_browser, page, _)) = open("/broken").await else { return };
    assert_eq!(page.sticking_out().await, Vec::<String>::new());
    page.size(360, 740).await;
    let found = page.sticking_out().await;
    assert!(
        found.len() == 1 && found[0].starts_with("p#wide in main ends at 9") && found[0].ends_with(" of 360: wide"),
        "{found:?}"
    );
}

#[tokio::test]
async fn conditions_hold_across_pages() {
    let Some((_browser, page, base)) = open("/sound").await else { return };
    let looks = async || {
        page.eval(
            "return [innerWidth, getComputedStyle(document.body).color, getComputedStyle(document.querySelector('h1')).fontStyle]",
        )
        .await
    };
    assert_eq!(looks().await, json!([1280, "rgb(17, 17, 17)", "normal"]));
    page.size(360, 740).await;
    page.color_scheme(Theme::Dark).await;
    page.reduced_motion().await;
    assert_eq!(looks().await, json!([360, "rgb(238, 238, 238)", "italic"]));
    page.goto(&format!("{base}/sound?again")).await;
    assert_eq!(looks().await, json!([360, "rgb(238, 238, 238)", "italic"]));
}

#[tokio::test]
async fn a_page_can_be_read_and_used_without_javascript() {
    let Some((_browser, page, base)) = open("/sound").await else { return };
    page.without_javascript().await;
    page.goto(&format!("{base}/sound?bare")).await;
    page.wait_for_text("#bare", "bare").await;
    page.fill("#name", "typed").await;
    page.click("#save").await;
    assert_eq!((page.value("#name").await, page.text("#said").await), ("typed".to_owned(), String::new()));
}

#[tokio::test]
async fn two_people_share_no_cookies_and_a_picture_is_of_the_whole_page() {
    let Some((browser, page, base)) = open("/sound").await else { return };
    let cookies = page.cookies().await;
    assert_eq!((cookies.len(), cookies[0].name.as_str(), cookies[0].value.as_str()), (1, "seen", "yes"));
    assert!(cookies[0].http_only && !cookies[0].secure && cookies[0].same_site.as_deref() == Some("Lax"));
    let other = browser.tab().await;
    other.goto(&format!("{base}/sound")).await;
    other.eval("document.cookie = 'mine=1'").await;
    assert_eq!((page.cookies().await.len(), other.cookies().await.len()), (1, 2));
    page.size(400, 100).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("page.png");
    page.screenshot(&file).await;
    let png = std::fs::read(file).unwrap();
    assert!(png.starts_with(b"\x89PNG"));
    // Width and height follow the signature and the first chunk's head.
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert!(number(16) == 400 && number(20) > 100, "{} x {}", number(16), number(20));
}
