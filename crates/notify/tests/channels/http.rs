//! Channels over HTTP.

use std::process::Stdio;

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use toktra_siem_base::clock::{Clock as _, SystemClock};
use toktra_siem_core::notice::ChannelKind;
use toktra_siem_egress::{EgressPolicy, Transport};
use toktra_siem_fake::pagerduty::{self, Pagerduty};
use toktra_siem_fake::slack::{self, Slack};
use toktra_siem_fake::teams::{self, Teams};
use toktra_siem_fake::webhook::{self, Shape, Webhook, WebhookOptions};
use toktra_siem_fake::{Behaviour, ReceiverOptions, Recorded, Reply, verify};
use toktra_siem_notify::{Courier, NotTold, Told};
use toktra_siem_testkit::real;

use crate::{CHANNEL, HOSTILE, NOW, courier, crowd, down, place, recovered, settings};

const KEY: &str = "0123456789abcdef0123456789abcdef";
const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn body(request: &Recorded) -> Value {
    serde_json::from_slice(request.body.as_ref().unwrap()).unwrap()
}

async fn slack() -> (Slack, toktra_siem_notify::Settings) {
    let slack = Slack::start(ReceiverOptions::default()).await.unwrap();
    let settings = settings(ChannelKind::Slack, &json!({ "url": slack.url() }));
    (slack, settings)
}

async fn teams() -> (Teams, toktra_siem_notify::Settings) {
    let teams = Teams::start(ReceiverOptions::default()).await.unwrap();
    let settings = settings(ChannelKind::Teams, &json!({ "url": teams.url() }));
    (teams, settings)
}

async fn pagerduty() -> (Pagerduty, toktra_siem_notify::Settings) {
    let duty = Pagerduty::start(KEY, ReceiverOptions::default()).await.unwrap();
    let config = json!({ "routing_key": KEY, "url": duty.base_url() });
    (duty, settings(ChannelKind::Pagerduty, &config))
}

async fn hook() -> (Webhook, toktra_siem_notify::Settings) {
    let options = WebhookOptions {
        path: "/hook?key=SecretOfTheHook".to_owned(),
        shape: Shape::Message,
        secret: Some(WHSEC.to_owned()),
        ..WebhookOptions::default()
    };
    let hook = Webhook::start(options).await.unwrap();
    let config = json!({ "url": hook.url(), "signing_secret": WHSEC });
    (hook, settings(ChannelKind::Webhook, &config))
}

#[tokio::test]
async fn slack_takes_a_message_and_a_test() {
    let (slack, settings) = slack().await;
    let notices = [down("Splunk prod", 1), recovered(2)];
    let told = courier(None).tell(CHANNEL, ChannelKind::Slack, &settings, &place(), &notices, NOW).await;
    assert_eq!(told, Told { number: 2, failure: None });
    insta::assert_json_snapshot!(body(&slack.requests()[0]));
    let test = courier(None).test(CHANNEL, "SOC", ChannelKind::Slack, &settings, &place(), NOW).await.unwrap();
    assert_eq!(test.message, "Slack answered 200 ok.");
    assert!(body(&slack.requests()[1]).to_string().contains("Nothing is wrong."));
    assert!(slack.violations().is_empty(), "{:?}", slack.violations());
    assert!(slack.requests()[0].headers.keys().all(|name| !name.as_str().starts_with("webhook-")));
}

#[tokio::test]
async fn teams_takes_a_message_and_a_test() {
    let (teams, settings) = teams().await;
    let notices = [down("Splunk prod", 1), recovered(2)];
    let told = courier(None).tell(CHANNEL, ChannelKind::Teams, &settings, &place(), &notices, NOW).await;
    assert_eq!(told, Told { number: 2, failure: None });
    insta::assert_json_snapshot!(body(&teams.requests()[0]));
    let test = courier(None).test(CHANNEL, "SOC", ChannelKind::Teams, &settings, &place(), NOW).await.unwrap();
    assert_eq!(test.message, "Teams took the message (202). Teams posts it afterwards: look into the channel.");
    assert!(teams.violations().is_empty(), "{:?}", teams.violations());
}

#[tokio::test]
async fn pagerduty_opens_an_incident_for_each_thread_and_resolves_it() {
    let (duty, settings) = pagerduty().await;
    let mut long = down("Splunk lab", 3);
    long.thread = "x".repeat(256);
    let notices = [down("Splunk prod", 1), down("Splunk test", 2), long.clone()];
    let tell = async |notices: &[_]| {
        courier(None).tell(CHANNEL, ChannelKind::Pagerduty, &settings, &place(), notices, NOW).await
    };
    assert_eq!(tell(&notices).await, Told { number: 3, failure: None });
    let open = duty.open();
    assert_eq!(open.len(), 3);
    assert_eq!(open[&notices[0].thread]["severity"], "error");
    assert!(open.keys().any(|key| key.starts_with("sha256:")));
    insta::assert_json_snapshot!(body(&duty.requests()[0]));
    let mut over = recovered(1);
    assert_eq!(tell(&[over.clone()]).await.number, 1);
    over.thread = long.thread;
    assert_eq!(tell(&[over]).await.number, 1);
    assert_eq!(duty.open().into_keys().collect::<Vec<_>>(), [notices[1].thread.clone()]);
    let test = courier(None).test(CHANNEL, "SOC", ChannelKind::Pagerduty, &settings, &place(), NOW).await.unwrap();
    assert_eq!(
        test.message,
        "PagerDuty took the test incident and resolved it (202). It is in the service's list of incidents."
    );
    assert_eq!(duty.open().len(), 1, "a test leaves nothing open");
    assert!(duty.violations().is_empty(), "{:?}", duty.violations());
}

#[tokio::test]
async fn pagerduty_says_how_many_arrived() {
    let (duty, settings) = pagerduty().await;
    let notices: Vec<_> = (1..=4).map(|number| down("Splunk", number)).collect();
    duty.script(
        pagerduty::Endpoint::Enqueue,
        [Behaviour::strict(), Behaviour::strict(), Behaviour::reply(Reply::empty(503))],
    );
    let told = courier(None).tell(CHANNEL, ChannelKind::Pagerduty, &settings, &place(), &notices, NOW).await;
    assert_eq!(told.number, 2);
    let failure = told.failure.unwrap();
    assert_eq!((failure.cause.code.as_ref(), failure.needs_a_person), ("pagerduty_server_error", false));
    assert_eq!(duty.counts().requests, 3);
}

#[tokio::test]
async fn a_webhook_is_signed_and_has_the_same_id_when_it_is_sent_again() {
    let (hook, settings) = hook().await;
    let now = SystemClock.now();
    let notices = [down("Splunk prod", 1), recovered(2)];
    for at in [now, now.plus(std::time::Duration::from_mins(1))] {
        let told = courier(None).tell(CHANNEL, ChannelKind::Webhook, &settings, &place(), &notices, at).await;
        assert_eq!(told, Told { number: 2, failure: None });
    }
    let tried = courier(None).test(CHANNEL, "SOC", ChannelKind::Webhook, &settings, &place(), now).await.unwrap();
    assert_eq!(tried.message, "The receiver answered 204.");
    let requests = hook.requests();
    let id = |at: usize| requests[at].header("webhook-id").unwrap();
    assert!(id(0) == id(1) && id(0) != id(2));
    let mut first = body(&requests[0]);
    assert_eq!(first["timestamp"], now.to_string());
    first["timestamp"] = NOW.to_string().into();
    insta::assert_json_snapshot!(first);
    assert_eq!(body(&requests[2])["type"], "notification.test");
    assert!(hook.violations().is_empty(), "{:?}", hook.violations());
    for request in &requests {
        verify::webhook(request, WHSEC, None).unwrap();
    }
    let Some(interpreter) = real::PYTHON.path() else { return };
    let script = "import sys, json\nfrom standardwebhooks.webhooks import Webhook\ncase = json.load(sys.stdin)\n\
                  print(json.dumps(Webhook(case['secret']).verify(case['body'], case['headers'])['type']))";
    for request in &requests {
        let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
        let headers: serde_json::Map<_, _> =
            names.iter().map(|name| ((*name).to_owned(), request.header(name).unwrap().into())).collect();
        let text = std::str::from_utf8(&request.wire).unwrap();
        let question = json!({ "secret": WHSEC, "body": text, "headers": headers });
        let mut command = tokio::process::Command::new(&interpreter);
        command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(question.to_string().as_bytes()).await.unwrap();
        let output = child.wait_with_output().await.unwrap();
        assert!(output.status.success(), "the library does not accept {text}");
        assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), body(request)["type"]);
    }
}

/// Names and causes that try to call everybody, to link, or to break out; far more of them than a message holds.
#[tokio::test]
async fn whatever_is_told_every_receiver_takes_it() {
    let mut place = place();
    place.org = HOSTILE.to_owned();
    let notices = crowd();
    let (slack, slack_settings) = slack().await;
    let (teams, teams_settings) = teams().await;
    let (duty, duty_settings) = pagerduty().await;
    let (hook, hook_settings) = hook().await;
    for (kind, settings) in [
        (ChannelKind::Slack, &slack_settings),
        (ChannelKind::Teams, &teams_settings),
        (ChannelKind::Pagerduty, &duty_settings),
        (ChannelKind::Webhook, &hook_settings),
    ] {
        for some in [&notices[..], &notices[..1]] {
            let told = courier(None).tell(CHANNEL, kind, settings, &place, some, NOW).await;
            assert_eq!(told, Told { number: some.len(), failure: None }, "{kind:?}");
        }
        courier(None).test(CHANNEL, HOSTILE, kind, settings, &place, NOW).await.unwrap();
    }
    let violations = [slack.violations(), teams.violations(), duty.violations(), hook.violations()].concat();
    assert!(violations.is_empty(), "{violations:?}");
    assert!(hook.requests().iter().all(|request| request.wire.len() <= 450_000));
    for request in slack.requests() {
        let text = String::from_utf8(request.wire.to_vec()).unwrap();
        assert!(
            !text.contains("<!")
                && !text.contains("<at>")
                && !text.contains("@channel")
                && !text.contains("<https://evil")
        );
        assert!(body(&request)["blocks"].as_array().unwrap().len() <= 50);
    }
    assert!(teams.requests().iter().all(|request| request.wire.len() <= 20_000));
    assert!(body(&teams.requests()[0]).to_string().contains("more messages, too many for this one"));
}

/// A receiver's answer: what is left of it.
struct Said {
    status: u16,
    body: &'static str,
    code: &'static str,
    person: bool,
    part: &'static str,
}

const fn said(status: u16, body: &'static str, code: &'static str, person: bool, part: &'static str) -> Said {
    Said { status, body, code, person, part }
}

fn assert_is(failure: &NotTold, said: &Said) {
    let message = &failure.cause.message;
    let found = (failure.cause.code.as_ref(), failure.needs_a_person);
    assert_eq!(found, (said.code, said.person), "{}: {message}", said.status);
    assert!(message.contains(said.part) && message.contains(&said.status.to_string()), "{message}");
    assert!(!message.contains("Secret") && !message.contains(KEY), "{message}");
}

#[tokio::test]
async fn what_slack_refuses_is_told_in_words() {
    let (slack, settings) = slack().await;
    for case in [
        said(400, "invalid_payload", "slack_invalid_payload", true, "could not read the message"),
        said(400, "user_not_found", "slack_user_not_found", true, "the person"),
        said(403, "action_prohibited", "slack_action_prohibited", true, "does not allow"),
        said(403, "invalid_token", "slack_no_service", true, "Create a new webhook"),
        said(404, "channel_not_found", "slack_channel_not_found", true, "the channel of the webhook"),
        said(
            404,
            "no_service /services/T0SECRET/B0SECRET/SecretOfTheWebhook",
            "slack_no_service",
            true,
            "does not exist",
        ),
        said(410, "channel_is_archived", "slack_channel_is_archived", true, "archived"),
        said(413, "", "slack_too_large", true, "too large"),
        said(302, "", "slack_redirect", true, "redirects"),
        said(500, "rollup_error", "slack_server_error", false, "sent again by itself"),
    ] {
        slack.script(slack::Endpoint::Hook, [Behaviour::reply(Reply::text(case.status, "text/plain", case.body))]);
        let failed =
            courier(None).test(CHANNEL, "SOC", ChannelKind::Slack, &settings, &place(), NOW).await.unwrap_err();
        assert_is(&failed, &case);
    }
    for (asked, granted) in [("30", 30), ("999999", 3_600)] {
        let busy = Reply::empty(429).with_header("retry-after", asked);
        slack.script(slack::Endpoint::Hook, [Behaviour::reply(busy)]);
        let told = courier(None).tell(CHANNEL, ChannelKind::Slack, &settings, &place(), &[recovered(1)], NOW).await;
        let failure = told.failure.unwrap();
        assert_is(&failure, &said(429, "", "slack_busy", false, "sent again by itself"));
        assert_eq!((told.number, failure.pause.unwrap().as_secs()), (0, granted));
    }
    slack.script(slack::Endpoint::Hook, [Behaviour::reply(Reply::html(200, "Sign in"))]);
    let page = courier(None).test(CHANNEL, "SOC", ChannelKind::Slack, &settings, &place(), NOW).await.unwrap_err();
    assert_is(&page, &said(200, "", "slack_web_page", true, "a web page"));
}

#[tokio::test]
async fn what_teams_refuses_is_told_in_words() {
    let (teams, settings) = teams().await;
    for case in [
        said(400, "", "teams_http_400", true, "When a Teams webhook request is received"),
        said(401, "", "teams_http_403", true, "Copy the URL again"),
        said(404, "sig=SecretOfTheWorkflow", "teams_no_workflow", true, "Create a new workflow"),
        said(413, "", "teams_too_large", true, "too large"),
        said(429, "", "teams_busy", false, "no more messages for now"),
        said(502, "", "teams_server_error", false, "sent again by itself"),
        said(200, "Webhook message delivery failed with error: HTTP error 413", "teams_not_posted", true, "old kind"),
        said(200, "Webhook message delivery failed with error: HTTP error 429", "teams_not_posted", false, "old kind"),
    ] {
        teams.script(teams::Endpoint::Workflow, [Behaviour::reply(Reply::text(case.status, "text/plain", case.body))]);
        let failed =
            courier(None).test(CHANNEL, "SOC", ChannelKind::Teams, &settings, &place(), NOW).await.unwrap_err();
        assert_is(&failed, &case);
    }
}

#[tokio::test]
async fn what_pagerduty_and_a_webhook_refuse_is_told_in_words() {
    let (duty, _) = pagerduty().await;
    let wrong = json!({ "routing_key": KEY.replace('f', "0"), "url": duty.base_url() });
    let wrong = settings(ChannelKind::Pagerduty, &wrong);
    let failed = courier(None).test(CHANNEL, "SOC", ChannelKind::Pagerduty, &wrong, &place(), NOW).await.unwrap_err();
    assert_is(&failed, &said(400, "", "pagerduty_invalid_event", true, "Invalid routing key"));
    let (hook, settings) = hook().await;
    for case in [
        said(401, "", "webhook_http_403", true, "signing secret"),
        said(404, "", "webhook_wrong_path", true, "nothing accepts messages"),
        said(410, "", "webhook_gone", true, "wants no more"),
        said(418, "", "webhook_refused", true, "refuses the message"),
        said(429, "", "webhook_busy", false, "for now"),
        said(408, "", "webhook_http_408", false, "in time"),
        said(301, "", "webhook_redirect", true, "redirects"),
        said(500, "key=SecretOfTheHook", "webhook_server_error", false, "by itself"),
    ] {
        hook.script(webhook::Endpoint::Hook, [Behaviour::reply(Reply::text(case.status, "text/plain", case.body))]);
        let failed =
            courier(None).test(CHANNEL, "SOC", ChannelKind::Webhook, &settings, &place(), NOW).await.unwrap_err();
        assert_is(&failed, &case);
    }
}

#[tokio::test]
async fn an_address_that_may_not_be_reached_gets_nothing() {
    let (slack, settings) = slack().await;
    let closed = Courier::new(Transport::new(EgressPolicy::default()), None);
    let failed = closed.test(CHANNEL, "SOC", ChannelKind::Slack, &settings, &place(), NOW).await.unwrap_err();
    assert_eq!((failed.cause.code.as_ref(), failed.needs_a_person), ("destination_forbidden", true));
    assert!(!failed.cause.message.contains("onnector") && !failed.cause.message.contains("Secret"), "{failed:?}");
    assert_eq!(slack.counts().requests, 0);
    slack.down().await;
    let failed = courier(None).test(CHANNEL, "SOC", ChannelKind::Slack, &settings, &place(), NOW).await.unwrap_err();
    assert_eq!((failed.cause.code.as_ref(), failed.needs_a_person), ("network_refused", false));
}

#[tokio::test]
async fn what_a_program_prints_of_settings_holds_no_secret() {
    let (hook, settings) = hook().await;
    let printed = format!("{settings:?}");
    assert!(!printed.contains("SecretOfTheHook") && !printed.contains(WHSEC), "{printed}");
    assert_eq!(settings.secrets["url"].expose_secret(), hook.url());
}
