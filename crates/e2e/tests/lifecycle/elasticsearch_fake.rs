//! Every row of the reply table of Elasticsearch and OpenSearch (Elasticsearch's reference, "Bulk API"), played by the
//! strict fake. All rows of a table run side by side on one server, each with a connector and a fake of its own.

use toktra_siem_fake::elasticsearch::{
    Elasticsearch, Endpoint, Fault, Flavour, ItemFault, Items, Privileges, error_reply,
};
use toktra_siem_testkit::prelude::*;

/// The events of every row, posted together.
const IDS: [&str; 3] = [
    "0190d3a5-7e8b-4cc3-98c4-000000000001",
    "0190d3a5-7e8b-4cc3-98c4-000000000002",
    "0190d3a5-7e8b-4cc3-98c4-000000000003",
];

/// How a row ends.
enum End {
    /// All three arrive.
    Delivered,
    /// All three arrive, and a delivery says this beside it.
    Warned(&'static str),
    /// So many are rejected, for this cause; the others arrive.
    Rejected(u64, &'static str),
    /// So many wait for a person, for this cause; the others arrive. After a save, these do too.
    Held(u64, &'static str),
}

/// One row: what the fake does, and what must come of it.
struct Row {
    name: &'static str,
    script: Vec<Behaviour<Fault>>,
    always: Option<Behaviour<Fault>>,
    /// The number of events in each bulk request. Where events are held, probes may follow.
    sent: &'static [usize],
    end: End,
}

fn once(name: &'static str, behaviour: Behaviour<Fault>, sent: &'static [usize], end: End) -> Row {
    Row { name, script: vec![behaviour], always: None, sent, end }
}

fn always(name: &'static str, behaviour: Behaviour<Fault>, sent: &'static [usize], end: End) -> Row {
    Row { name, script: Vec::new(), always: Some(behaviour), sent, end }
}

/// The second event ends with this status, in whatever request it is.
fn second(status: u16) -> Behaviour<Fault> {
    let items = Items::OfEvents(vec![IDS[1].to_owned()]);
    Behaviour::fault(Fault::Items(vec![ItemFault::new(items, status)]))
}

fn whole(status: u16) -> Behaviour<Fault> {
    Behaviour::reply(error_reply(status, "some_exception", "because"))
}

fn item_rows() -> Vec<Row> {
    let all = Items::At(vec![0, 1, 2]);
    let flood = ItemFault::flood_stage(Items::OfEvents(vec![IDS[1].to_owned()]));
    vec![
        once("item 429", second(429), &[3, 1], End::Delivered),
        once("item 408", second(408), &[3, 1], End::Delivered),
        once("item 500", second(500), &[3, 1], End::Delivered),
        once("item 503", second(503), &[3, 1], End::Delivered),
        once("every item 429", Behaviour::fault(Fault::Items(vec![ItemFault::new(all, 429)])), &[3, 3], End::Delivered),
        once("item 409", second(409), &[3], End::Delivered),
        once("item in the failure store", second(201), &[3], End::Warned("elasticsearch_failure_store")),
        once("item 400", second(400), &[3], End::Rejected(1, "elasticsearch_document_parsing_exception")),
        always("item 401", second(401), &[3, 1, 1, 1], End::Held(1, "elasticsearch_forbidden")),
        always("item 403", second(403), &[3, 1, 1, 1], End::Held(1, "elasticsearch_forbidden")),
        always("item 404", second(404), &[3, 1, 1, 1], End::Held(1, "elasticsearch_index_missing")),
        always(
            "item at the flood stage",
            Behaviour::fault(Fault::Items(vec![flood])),
            &[3, 1, 1, 1],
            End::Held(1, "elasticsearch_disk_flood_stage"),
        ),
        once("too few items", Behaviour::fault(Fault::FewerItems(1)), &[3, 3], End::Delivered),
    ]
}

fn request_rows() -> Vec<Row> {
    let flood = || Behaviour::reply(error_reply(429, "cluster_block_exception", "disk usage exceeded flood-stage"));
    let redirect = || Behaviour::reply(Reply::empty(302).with_header("location", "http://127.0.0.1:1/_bulk"));
    // In halves; the first event is refused alone as well, three times.
    let split = &[3, 1, 2];
    let refused = |status: u16| vec![whole(status), whole(status), Behaviour::strict(), whole(status), whole(status)];
    vec![
        always("401", whole(401), &[3, 3, 3], End::Held(3, "elasticsearch_http_401")),
        always("403", whole(403), &[3, 3, 3], End::Held(3, "elasticsearch_forbidden")),
        always("404", whole(404), &[3, 3, 3], End::Held(3, "elasticsearch_wrong_path")),
        always("a redirect", redirect(), &[3, 3, 3], End::Held(3, "elasticsearch_redirect")),
        always(
            "a page",
            Behaviour::reply(Reply::html(200, "Sign in")),
            &[3, 3, 3],
            End::Held(3, "elasticsearch_unexpected_success"),
        ),
        always("the flood stage", flood(), &[3, 3, 3], End::Held(3, "elasticsearch_disk_flood_stage")),
        once("429", whole(429), &[3, 3], End::Delivered),
        once("500", whole(500), &[3, 3], End::Delivered),
        once("502", whole(502), &[3, 3], End::Delivered),
        once("503", whole(503), &[3, 3], End::Delivered),
        once("504", whole(504), &[3, 3], End::Delivered),
        once("an unreadable answer", Behaviour::reply(Reply::json(200, &json!({}))), &[3, 3], End::Delivered),
        once("no answer", Behaviour::close(), &[3, 3], End::Delivered),
        Row {
            name: "503 three times",
            script: vec![whole(503), whole(503), whole(503)],
            always: None,
            sent: &[3, 3, 3, 1, 2],
            end: End::Warned("elasticsearch_http_503"),
        },
        once("413", Behaviour::reply(Reply::empty(413)), split, End::Warned("elasticsearch_too_large")),
        Row {
            name: "413 of one",
            script: refused(413),
            always: None,
            sent: &[3, 1, 2, 1, 1],
            end: End::Rejected(1, "elasticsearch_too_large"),
        },
        once("400", whole(400), split, End::Warned("elasticsearch_http_400")),
        Row {
            name: "400 of one",
            script: refused(400),
            always: None,
            sent: &[3, 1, 2, 1, 1],
            end: End::Rejected(1, "elasticsearch_http_400"),
        },
    ]
}

/// How many events each bulk request held.
fn bulks(fake: &Elasticsearch) -> Vec<usize> {
    let requests = fake.requests();
    let bulks = requests.iter().filter(|request| request.path() == "/_bulk");
    bulks.map(|request| request.body.as_ref().unwrap().split(|byte| *byte == b'\n').count() / 2).collect()
}

fn codes(deliveries: &[Value]) -> Vec<&str> {
    deliveries.iter().filter_map(|delivery| delivery["cause"]["code"].as_str()).collect()
}

async fn ends_as_told(connector: &Connector, fake: &Elasticsearch, row: &Row) {
    let name = row.name;
    match row.end {
        End::Delivered | End::Warned(_) => {
            connector.accounted(&[("delivered", 3), ("failed", 0), ("pending", 0)]).await;
        }
        End::Rejected(count, _) => {
            connector.accounted(&[("delivered", 3 - count), ("rejected", count), ("pending", 0)]).await;
        }
        End::Held(count, code) => {
            connector.accounted(&[("delivered", 3 - count), ("failed", count)]).await;
            let health = connector.until_stands("misconfigured").await;
            assert_eq!(health["streams"][0]["last_error"]["cause"]["code"], code, "{name}: {health}");
            assert!(bulks(fake).starts_with(row.sent), "{name}: {:?}", bulks(fake));
            return;
        }
    }
    assert_eq!(bulks(fake), row.sent, "{name}");
    assert_eq!(connector.stands().await["state"], "healthy", "{name}");
    if let End::Warned(code) | End::Rejected(_, code) = row.end {
        let deliveries = connector.history().await;
        assert!(codes(&deliveries).contains(&code), "{name}: {deliveries:?}");
    }
}

async fn play(rows: Vec<Row>) {
    let world = World::start().await;
    let mut played = Vec::new();
    for row in rows {
        let fake = elasticsearch().await;
        fake.script(Endpoint::Bulk, row.script.iter().cloned());
        if let Some(behaviour) = &row.always {
            fake.always(Endpoint::Bulk, behaviour.clone());
        }
        let connector = world.connect_with(&fake, json!({ "name": row.name })).await;
        played.push((row, fake, connector));
    }
    let events: Vec<Value> = IDS.iter().map(|id| violation(json!({ "event_id": id }))).collect();
    assert_eq!(world.post_events(&events).await, IDS);
    for (row, fake, connector) in &played {
        ends_as_told(connector, fake, row).await;
    }
    for (row, fake, connector) in &played {
        fake.healthy();
        if let End::Held(..) = row.end {
            connector.patch(json!({ "config": { "max_in_flight": 8 } })).await;
        }
    }
    world.all_arrived().await;
    for (row, fake, connector) in &played {
        if let End::Held(..) = row.end {
            connector.accounted(&[("delivered", 3)]).await;
        }
        assert!(fake.violations().is_empty(), "{}: {:?}", row.name, fake.violations());
        assert!(fake.event_ids().values().all(|times| *times == 1), "{}: {:?}", row.name, fake.event_ids());
    }
    world.end().await;
}

#[tokio::test]
async fn each_item_is_judged_by_its_own_status() {
    play(item_rows()).await;
}

#[tokio::test]
async fn each_answer_to_the_whole_request_means_what_it_should() {
    play(request_rows()).await;
}

/// A product, and the template that it gets.
struct Product {
    name: &'static str,
    flavour: Flavour,
    version: &'static str,
    privileges: Privileges,
    script: Vec<Behaviour<Fault>>,
    /// How `tags` is mapped; `None` where the template is refused.
    free_object: Option<Value>,
}

fn products() -> Vec<Product> {
    let product = |name, flavour, version, free_object: Value| Product {
        name,
        flavour,
        version,
        privileges: Privileges::default(),
        script: Vec::new(),
        free_object: Some(free_object),
    };
    let blind = Privileges { monitor: false, ..Privileges::default() };
    let flattened = || json!({ "type": "flattened", "ignore_above": 8000 });
    let flat_object = || json!({ "type": "flat_object" });
    let plain = || json!({ "type": "object", "enabled": false });
    let unwell = || Behaviour::reply(error_reply(503, "unavailable", "no master"));
    vec![
        product("Elasticsearch 9", Flavour::Elasticsearch, "9.1.0", flattened()),
        product("Elasticsearch 7.17", Flavour::Elasticsearch, "7.17.28", flattened()),
        product("serverless", Flavour::Serverless, "8.11.0", flattened()),
        product("OpenSearch 3", Flavour::OpenSearch, "3.4.0", flat_object()),
        product("OpenSearch 2.5", Flavour::OpenSearch, "2.5.0", plain()),
        Product {
            privileges: blind,
            ..product("Elasticsearch without monitor", Flavour::Elasticsearch, "9.1.0", flattened())
        },
        Product {
            privileges: blind,
            ..product("serverless without monitor", Flavour::Serverless, "8.11.0", flattened())
        },
        Product {
            privileges: blind,
            ..product("OpenSearch without monitor", Flavour::OpenSearch, "3.4.0", flat_object())
        },
        Product {
            script: vec![unwell(), unwell()],
            ..product("a template that is taken the third time", Flavour::Elasticsearch, "9.1.0", flattened())
        },
        Product {
            privileges: Privileges { manage_index_templates: false, ..Privileges::default() },
            free_object: None,
            ..product("a template that is refused", Flavour::Elasticsearch, "9.1.0", Value::Null)
        },
    ]
}

/// The template stands as the product wants it, and stood before the first bulk.
fn check_template(fake: &Elasticsearch, product: &Product) {
    let name = product.name;
    let accepted = |request: &toktra_siem_fake::Recorded| request.status.is_some_and(|status| status.is_success());
    let requests = fake.requests();
    let first_bulk = requests.iter().position(|request| request.path() == "/_bulk").unwrap();
    let put = requests.iter().position(|request| request.path().starts_with("/_index_template/") && accepted(request));
    let Some(free_object) = &product.free_object else {
        assert_eq!(put, None, "{name}");
        return;
    };
    assert!(put.is_some_and(|put| put < first_bulk), "{name}");
    let template = &fake.templates()["toktra-security-events"]["template"];
    let properties = &template["mappings"]["properties"];
    assert_eq!(&properties["tags"], free_object, "{name}");
    assert_eq!(properties["details"]["properties"]["actual"]["type"], "double", "{name}");
    let sized = !template["settings"]["number_of_shards"].is_null();
    assert_eq!(sized, product.flavour != Flavour::Serverless, "{name}: {template}");
    // What an endpoint understands is found out by trying where it may not be asked, or its version does not tell.
    let unsure = !product.privileges.monitor || product.version == "2.5.0";
    let tried = |rule: &str| unsure && rule.starts_with("template: ");
    assert!(fake.violations().iter().all(|violation| tried(&violation.rule)), "{name}: {:?}", fake.violations());
}

#[tokio::test]
async fn each_product_gets_a_template_that_it_understands_before_the_first_event() {
    let world = World::start().await;
    let mut played = Vec::new();
    for product in products() {
        let fake = elasticsearch_with(product.flavour, |options| {
            product.version.clone_into(&mut options.version);
            options.privileges = product.privileges;
        })
        .await;
        fake.script(Endpoint::Template, product.script.iter().cloned());
        let connector = world.connect_with(&fake, json!({ "name": product.name })).await;
        played.push((product, fake, connector));
    }
    world.post_events(&[violation(json!({}))]).await;
    world.all_arrived().await;
    for (product, fake, connector) in &played {
        connector.accounted(&[("delivered", 1)]).await;
        check_template(fake, product);
        let applied = world.call(&connector.path("/index-template"), &json!({})).await;
        assert_eq!(applied["applied"], product.free_object.is_some(), "{}: {applied}", product.name);
        if product.free_object.is_none() {
            assert_eq!(applied["warning"]["code"], "elasticsearch_template_refused", "{applied}");
        }
    }
    let told = async || world.log().contains("manage_index_templates").then_some(());
    poll::until("the log tells of the refused template", told).await;
    world.end().await;
}

#[tokio::test]
async fn without_managing_the_template_nothing_but_events_is_sent() {
    let world = World::start().await;
    let fake = elasticsearch().await;
    world.connect_with(&fake, json!({ "config": { "manage_template": false } })).await;
    world.post_events(&[violation(json!({}))]).await;
    world.all_arrived().await;
    assert_eq!(fake.requests().len(), 1);
    assert_eq!(bulks(&fake), [1]);
    world.end().await;
}

/// VictoriaLogs answers every template call with 200 and `{}`; others have no such call, each in its own way.
#[tokio::test]
async fn a_service_without_templates_gets_its_events_and_one_lasting_warning() {
    let world = World::start().await;
    let mut played = Vec::new();
    for (status, body) in [(200, "{}"), (200, ""), (404, "404 page not found"), (405, ""), (501, "")] {
        let fake = elasticsearch().await;
        fake.always(Endpoint::Template, Behaviour::reply(Reply::text(status, "application/json", body)));
        let connector = world.connect_with(&fake, json!({ "name": format!("{status} {body}") })).await;
        played.push((fake, connector));
    }
    for _ in 0..2 {
        world.post_some(2).await;
        world.all_arrived().await;
    }
    for (fake, connector) in &played {
        connector.accounted(&[("delivered", 4)]).await;
        let health = connector.until_stands("healthy").await;
        let warning = &health["streams"][0]["warning"];
        assert_eq!(warning["code"], "elasticsearch_template_unsupported", "{health}");
        assert!(warning["message"].as_str().unwrap().contains("how numbers and dates are compared"), "{health}");
        let asked = fake.requests().iter().filter(|request| request.path().starts_with("/_index_template/")).count();
        assert!(asked <= 2, "it is found out once: {asked}");
        connector.patch(json!({ "config": { "manage_template": false } })).await;
    }
    for (_, connector) in &played {
        let calm = |health: &Value| health["streams"][0]["warning"].is_null().then_some(());
        world.until("the warning ends", &connector.path("/health"), calm).await;
    }
    world.end().await;
}
