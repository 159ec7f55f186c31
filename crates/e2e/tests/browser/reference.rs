//! `/docs`, the API's reference.

use crate::support::{browser, long_page_looks_right_everywhere, server};

#[tokio::test]
async fn the_reference_looks_right_everywhere() {
    let Some((_browser, page)) = browser().await else { return };
    let setup = server();
    let server = setup.start().await;
    page.goto(&format!("{}/docs", server.base())).await;
    long_page_looks_right_everywhere(&page, "reference").await;
    server.stop().await;
}

#[tokio::test]
async fn the_reference_is_read_without_javascript() {
    let Some((_browser, page)) = browser().await else { return };
    let setup = server();
    let server = setup.start().await;
    page.without_javascript().await;
    page.goto(&format!("{}/docs", server.base())).await;
    page.wait_for_text("h1", "API").await;
    server.stop().await;
}

#[tokio::test]
async fn the_reference_stands_still_while_it_loads() {
    let Some((_browser, page)) = browser().await else { return };
    let setup = server();
    let server = setup.start().await;
    page.goto(&format!("{}/docs", server.base())).await;
    let moved = page.layout_shift().await;
    assert!(moved < 0.01, "layout shift of {moved}");
    server.stop().await;
}
