//! The dialect of a Splunk connector on every face: described by the platform, taken by API, environment, page, command line and as code,
//! and delivered by. What depends on it, token and index, may be absent there and nowhere else.

use toktra_siem_fake::splunk::{Dialect, Splunk};
use toktra_siem_platform::Registry;
use toktra_siem_testkit::prelude::*;

use crate::acme::command_of;

async fn command(world: &World<Whole>, arguments: &[&str]) -> String {
    command_of(Registry::standard(), &world.base, arguments, &[]).await
}

async fn fake(dialect: Dialect) -> Splunk {
    splunk_with(|options| {
        options.dialect = dialect;
        options.anonymous = without_token(dialect);
    })
    .await
}

fn without_token(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::Cribl | Dialect::EdgeProcessor | Dialect::Otel)
}

/// The settings of a connector to this fake, as answers show them.
fn shown(dialect: Dialect, fake: &Splunk, token: bool) -> Value {
    let mut shown = json!({
        "hec_url": fake.base_url(), "dialect": dialect.word(), "sourcetype": "toktra:security", "indexer_ack": false, "strict": false,
        "compression": "none", "max_in_flight": 16,
    });
    shown["index"] = if dialect == Dialect::LogScale { "" } else { "toktra" }.into();
    if token {
        shown["hec_token"] = json!({ "set": true, "hint": "…5555" });
    }
    shown
}

async fn config_of(world: &World<Whole>, name: &str) -> Value {
    let all = world.read("/v1/siem/connectors").await;
    let one = all["items"].list().into_iter().find(|one| one["name"] == name);
    one.unwrap_or_else(|| panic!("{name}: {all}"))["config"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_face_takes_every_dialect() {
    let described = fake(Dialect::LogScale).await;
    let variables = [
        ("SIEM_SIGNING_SECRET", "a-signing-secret-of-the-default-org".to_owned()),
        ("SIEM_SPLUNK_HEC_URL", format!("{}/api/v1/ingest/hec", described.base_url())),
        ("SIEM_SPLUNK_HEC_TOKEN", CREDENTIAL.to_owned()),
        ("SIEM_SPLUNK_DIALECT", "logscale".to_owned()),
    ];
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let world = World::whole(Registry::standard(), &variables).await;
    assert_eq!(config_of(&world, "Splunk (environment)").await, shown(Dialect::LogScale, &described, true));
    it_is_told(&world).await;
    let tab = Tab::at(&world.base);
    tab.log_in(ADMIN).await;
    for dialect in Dialect::ALL {
        let fake = fake(dialect).await;
        by_api(&world, dialect, &fake).await;
        by_page(&world, &tab, dialect, &fake).await;
        by_command(&world, dialect, &fake).await;
        as_code(&world, dialect, &fake).await;
        assert!(fake.violations().is_empty(), "{dialect:?}: {:?}", fake.violations());
    }
    let exported = command(&world, &["connector", "export"]).await;
    for dialect in Dialect::ALL {
        assert_eq!(
            exported.contains(&format!("dialect: {}", dialect.word())),
            dialect != Dialect::Splunk,
            "{exported}"
        );
    }
    assert!(!exported.contains("index:"), "it is the default, or there is none: {exported}");
    world.ends().await;
}

async fn it_is_told(world: &World<Whole>) {
    let platforms = world.read("/v1/siem/platforms").await;
    let splunk = platforms["items"].list().iter().find(|item| item["id"] == "splunk").unwrap().clone();
    let field = |name: &str| splunk["fields"].list().iter().find(|field| field["name"] == name).unwrap().clone();
    assert_eq!(field("dialect")["limits"]["values"], json!(["splunk", "logscale", "cribl", "edge_processor", "otel"]));
    assert_eq!((&field("dialect")["default"], &field("hec_token")["required"]), (&json!("splunk"), &json!(true)));
    let without = json!({ "setting": "dialect", "values": ["cribl", "edge_processor", "otel"] });
    assert_eq!((&field("hec_token")["unless"], &field("strict")["unless"]), (&without, &Value::Null));
    assert_eq!(field("index")["unless"], json!({ "setting": "dialect", "values": ["logscale"] }));
    let document = world.read("/openapi.json").await;
    assert_eq!(document["components"]["schemas"]["NewSplunk"]["required"], json!(["hec_url"]));
    let wrong =
        json!({ "name": "x", "platform": "splunk", "config": { "hec_url": "https://s.example", "dialect": "humio" } });
    let refused = world.post("/v1/siem/connectors", &wrong).await.expect_status(422).json();
    assert_eq!(refused["error"]["fields"][0]["pointer"], "/config/dialect");
}

async fn by_api(world: &World<Whole>, dialect: Dialect, fake: &Splunk) {
    let chosen = dialect.word();
    let name = format!("{chosen} by api");
    let config = json!({ "hec_url": fake.base_url(), "dialect": chosen });
    let bare = json!({ "name": name, "platform": "splunk", "config": config });
    let asked = world.post("/v1/siem/connectors", &bare).await;
    let made = if without_token(dialect) {
        asked.expect_status(201).json()
    } else {
        assert_eq!(asked.expect_status(422).json()["error"]["fields"][0]["pointer"], "/config/hec_token", "{chosen}");
        world.make("/v1/siem/connectors", &with(bare, "config", with(config, "hec_token", CREDENTIAL))).await
    };
    assert_eq!(made["config"], shown(dialect, fake, !without_token(dialect)), "{chosen}");
    let path = format!("/v1/siem/connectors/{}", made.id());
    let test = world.call(&format!("{path}/test"), &json!({})).await;
    assert_eq!(test["delivered"], true, "{chosen}: {test}");
    let splunk = world.patch(&path, &json!({ "config": { "dialect": null } })).await;
    if without_token(dialect) {
        let refused = splunk.expect_status(422).json();
        assert_eq!(refused["error"]["fields"][0]["pointer"], "/config/hec_token", "{chosen}: {refused}");
    } else {
        assert_eq!(splunk.expect_status(200).json()["config"], shown(Dialect::Splunk, fake, true), "{chosen}");
    }
}

async fn by_page(world: &World<Whole>, tab: &Tab, dialect: Dialect, fake: &Splunk) {
    let chosen = dialect.word();
    let (name, url) = (format!("{chosen} by page"), fake.base_url());
    let token = if without_token(dialect) { "" } else { CREDENTIAL };
    // The form of a new connector comes with the default index, whatever is chosen then.
    let fields = [
        ("platform", "splunk"),
        ("name", name.as_str()),
        ("splunk_hec_url", url.as_str()),
        ("splunk_dialect", chosen),
        ("splunk_hec_token", token),
        ("splunk_index", "toktra"),
        ("splunk_sourcetype", "toktra:security"),
        ("compression", "none"),
    ];
    let tested = tab.post("/integrations/siem/test", &fields).await.expect_status(200).text();
    let receiver = match dialect {
        Dialect::Splunk => "Delivered to Splunk",
        Dialect::LogScale => "Delivered to LogScale",
        Dialect::Cribl => "Delivered to Cribl",
        Dialect::EdgeProcessor => "Delivered to Edge Processor",
        Dialect::Otel => "Delivered to OpenTelemetry Collector",
    };
    assert!(tested.contains(receiver), "{tested}");
    if token.is_empty() {
        let splunk: Vec<_> =
            fields.iter().map(|field| if field.0 == "splunk_dialect" { (field.0, "splunk") } else { *field }).collect();
        let refused = tab.post("/integrations/siem/new", &splunk).await.expect_status(422).text();
        assert!(!refused.contains("id=\"splunk_hec_token-fault\"></p>"), "{refused}");
    }
    let place = tab.post("/integrations/siem/new", &fields).await.expect_status(303);
    let place = place.header("location").unwrap().to_owned();
    assert_eq!(config_of(world, &name).await, shown(dialect, fake, !token.is_empty()), "{chosen}");
    let edit = tab.get(&format!("{place}/edit")).await.expect_status(200).text();
    assert!(edit.contains(&format!("<option value=\"{chosen}\" selected>")), "{edit}");
    let index = if dialect == Dialect::LogScale { ("", "") } else { ("toktra", "toktra") };
    let input = format!("value=\"{}\" placeholder=\"{}\" aria-describedby=\"splunk_index-hint", index.0, index.1);
    assert!(edit.contains(&input), "{edit}");
    let changed = [
        &[("revision", "1")],
        &fields[1..4],
        &[("splunk_hec_token", ""), ("splunk_index", index.0), ("splunk_sourcetype", "x")],
    ];
    tab.post(&format!("{place}/edit"), &changed.concat()).await.expect_status(303);
    let expected = with(shown(dialect, fake, !token.is_empty()), "sourcetype", "x");
    assert_eq!(config_of(world, &name).await, expected, "{chosen}");
    // A token that is not needed is removed by a hyphen.
    for (revision, typed, there) in [("2", CREDENTIAL, true), ("3", "-", false)] {
        if without_token(dialect) {
            let changed =
                [&[("revision", revision), ("splunk_hec_token", typed)], &fields[1..4], &fields[5..]].concat();
            tab.post(&format!("{place}/edit"), &changed).await.expect_status(303);
            assert_eq!(config_of(world, &name).await, shown(dialect, fake, there), "{chosen}");
        }
    }
}

async fn by_command(world: &World<Whole>, dialect: Dialect, fake: &Splunk) {
    let (chosen, url) = (dialect.word(), fake.base_url());
    let name = format!("{chosen} by command");
    let file = world.directory.path().join("token");
    std::fs::write(&file, CREDENTIAL).unwrap();
    let file = file.display().to_string();
    let add = ["connector", "add", "splunk", "--hec-url", &url, "--dialect", chosen, "--name", &name, "--test"];
    let token: &[&str] = if without_token(dialect) { &[] } else { &["--hec-token-file", &file] };
    let said = command(world, &[&add[..], token].concat()).await;
    assert!(said.contains("The test event arrived."), "{said}");
    assert_eq!(config_of(world, &name).await, shown(dialect, fake, !token.is_empty()), "{chosen}");
}

async fn as_code(world: &World<Whole>, dialect: Dialect, fake: &Splunk) {
    let (chosen, url) = (dialect.word(), fake.base_url());
    let file = world.directory.path().join("hec.yaml");
    let path = file.display().to_string();
    let apply = async |config: &str, more: &[&str]| {
        let text = format!(
            "connectors:\n  - name: {chosen} by file\n    platform: splunk\n    active: false\n    config:\n{config}"
        );
        std::fs::write(&file, text).unwrap();
        command(world, &[&["connector", "apply", "-f", &path], more].concat()).await
    };
    let token = if without_token(dialect) { String::new() } else { format!("      hec_token: {CREDENTIAL}\n") };
    let config = format!("      hec_url: {url}\n      dialect: {chosen}\n{token}");
    apply(&config, &[]).await;
    let made = config_of(world, &format!("{chosen} by file")).await;
    assert_eq!(made, shown(dialect, fake, !token.is_empty()), "{chosen}");
    let nothing = apply(&config, &["--dry-run"]).await;
    assert!(nothing.contains("No changes: 1 as described."), "{chosen}: {nothing}");
}
