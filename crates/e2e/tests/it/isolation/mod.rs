//! No org sees or changes anything of another one: every route of the API and of the page, against everybody who must not pass.
//!
//! The victim owns one of everything ([`estate`]), and every text of theirs has a mark. A stranger's answer must hold neither the mark nor
//! an id that the request did not name, it must be the one that somebody gets who names nothing that exists, and the victim must be the
//! same afterwards. Whoever may ask is shown the thing by the same sample, so that a wrong sample fails too. What the matrix would miss,
//! the planted holes show ([`holes`]).
//!
//! If you add a route, add its sample: one line in `api.rs` or `page.rs`. The test names the routes that have none.

use toktra_siem_testkit::prelude::*;

mod api;
mod cast;
mod digest;
mod estate;
mod holes;
mod line;
mod matrix;
mod page;

use std::collections::BTreeSet;

use cast::{Cast, Door, Standing};
use estate::Estate;
use holes::{Hole, Holes, How};
use matrix::{Matrix, samples};

#[tokio::test]
async fn nobody_passes_who_must_not() {
    let world = World::here().await;
    let (victim, other) = (Estate::make(&world, "victim").await, Estate::make(&world, "other").await);
    let cast = Cast::of(&world, &victim, &other).await;
    let mut matrix = Matrix::new(&world, &victim, &other, &cast);
    matrix.run(&samples()).await;
    assert!(matrix.findings.is_empty(), "{}", matrix.report());
    assert!(matrix.asked > 3_000, "only {} questions were asked", matrix.asked);
}

#[tokio::test]
async fn whoever_may_change_something_does() {
    for at_the_page in [false, true] {
        let world = World::here().await;
        let (victim, other) = (Estate::make(&world, "victim").await, Estate::make(&world, "other").await);
        let cast = Cast::of(&world, &victim, &other).await;
        let mut matrix = Matrix::new(&world, &victim, &other, &cast);
        for standing in [Standing::Admin, Standing::Platform] {
            let is_it =
                |actor: &&cast::Actor| actor.standing == standing && matches!(actor.door, Door::Page(_)) == at_the_page;
            if let Some(actor) = cast.actors.iter().find(is_it) {
                matrix.changes(&samples(), actor).await;
            }
        }
        assert!(matrix.findings.is_empty(), "{}", matrix.report());
        assert!(matrix.asked > 20, "only {} changes were made", matrix.asked);
    }
}

#[test]
fn a_route_without_a_sample_is_named() {
    let mut lines = matrix::lines();
    lines.retain(|line| line.route != "GET /v1/siem/jobs/{id}" && line.route != "POST /jobs/{id}/cancel");
    let missing = matrix::matched(lines).map(|samples| samples.len()).unwrap_err();
    assert_eq!(missing, ["GET /v1/siem/jobs/{id}", "POST /jobs/{id}/cancel"]);
}

/// Lists, objects, changes, exports, filters, live views and refusals that say too much.
const PLANTED: &[Hole] = &[
    ("GET /v1/siem/jobs", How::Always),
    ("GET /v1/siem/deliveries/{id}", How::Always),
    ("GET /v1/siem/accounting", How::Anonymously),
    ("GET /v1/siem/connectors/{id}/deliveries", How::If("text/csv")),
    ("GET /v1/audit", How::If("object=")),
    ("GET /v1/events/{event_id}", How::Tells("event")),
    ("POST /v1/siem/connectors/{id}/signing-secret/rotate", How::Silently),
    ("POST /v1/siem/connectors/{id}/test", How::Always),
    ("GET /users", How::Always),
    ("GET /deliveries/{id}", How::Always),
    ("GET /deliveries/export", How::Always),
    ("GET /jobs/{id}/live", How::Always),
    ("POST /jobs/{id}/cancel", How::Silently),
];

#[tokio::test]
async fn holes_that_are_planted_are_found_and_nothing_else() {
    let holes = Holes::default();
    let options = Options { in_front: Some(holes::in_front(Holes::clone(&holes))), ..Options::default() };
    let world = World::here_with(options).await;
    let (victim, other) = (Estate::make(&world, "victim").await, Estate::make(&world, "other").await);
    let cast = Cast::of(&world, &victim, &other).await;
    *holes.lock() = holes::Plan { holes: PLANTED.to_vec(), owner: cast.owner.clone(), values: victim.values.clone() };
    let mut matrix = Matrix::new(&world, &victim, &other, &cast);
    matrix.run(&samples()).await;
    let found: BTreeSet<&str> = matrix.routes().iter().map(|route| route.split('?').next().unwrap()).collect();
    let planted: BTreeSet<&str> = PLANTED.iter().map(|(route, _)| *route).collect();
    assert_eq!(found, planted, "{}", matrix.report());
}
