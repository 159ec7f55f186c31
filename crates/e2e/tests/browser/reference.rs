//! `/docs`, the API's reference.

use toktra_siem_testkit::prelude::*;

use crate::looks::long_page_looks_right_everywhere;

#[tokio::test]
async fn the_reference_looks_right_everywhere() {
    let Some((world, page)) = World::browsed(setup()).await else { return };
    world.open(&page, "/docs").await;
    long_page_looks_right_everywhere(&page, "reference").await;
    world.end().await;
}

#[tokio::test]
async fn the_reference_is_read_without_javascript() {
    let Some((world, page)) = World::browsed(setup()).await else { return };
    page.without_javascript().await;
    world.open(&page, "/docs").await;
    page.wait_for_text("h1", "API").await;
    world.end().await;
}

#[tokio::test]
async fn the_reference_stands_still_while_it_loads() {
    let Some((world, page)) = World::browsed(setup()).await else { return };
    world.open(&page, "/docs").await;
    let moved = page.layout_shift().await;
    assert!(moved < 0.01, "layout shift of {moved}");
    world.end().await;
}
