//! The configuration as a whole: which source wins, that every fault is named at once, and that no secret is ever repeated.

use std::num::NonZeroU32;
use std::path::Path;

use insta::assert_snapshot;
use secrecy::ExposeSecret as _;
use toktra_siem_core::event::{EventType, Severity};

use toktra_siem_core::ids::StreamKind;

use super::settings::{self, Kind};
use super::source::{Environment, Values};
use super::{Config, ConfigError, report};

/// A word that no output may hold.
const SECRET: &str = "hunter2hunter2";

fn values(file: &str, variables: &[(&str, &str)]) -> Values {
    let mut values = Values::default();
    if !file.is_empty() {
        values.take_file(Path::new("toktra-siem.toml"), file);
    }
    values.take_environment(&Environment::of(variables.iter().copied()));
    values
}

fn load(file: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::from_values(values(file, variables))
}

#[test]
fn nothing_given_is_a_whole_configuration() {
    let config = load("", &[]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.lifetimes.payloads.as_secs(), 30 * 86_400);
    assert_eq!(config.rate_limit, NonZeroU32::new(600));
    assert!(config.connectors.is_empty() && config.notes.is_empty() && config.signing.current.is_none());
}

#[test]
fn the_environment_wins_setting_by_setting_and_an_empty_variable_counts_as_absent() {
    let file =
        "listen = \"127.0.0.1:1\"\nretention = \"7d\"\nmax_org_backlog = 5\negress_allow = [\"10.0.0.0/8\", \"::1\"]\n";
    let config = load(file, &[("TOKTRA_SIEM_LISTEN", "127.0.0.1:2"), ("TOKTRA_SIEM_RETENTION", "")]).unwrap();
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.lifetimes.payloads.as_secs(), 7 * 86_400);
    assert_eq!(config.max_org_backlog, Some(5));
    assert_eq!(config.egress_allow.len(), 2);
}

#[test]
fn the_rate_limit_can_be_set_and_switched_off() {
    let limit = |text| load("", &[("TOKTRA_SIEM_RATE_LIMIT", text)]).map(|config| config.rate_limit);
    assert_eq!(limit("5").unwrap(), NonZeroU32::new(5));
    assert_eq!(limit("0").unwrap(), None);
    assert_eq!(load("rate_limit = 7\n", &[]).unwrap().rate_limit, NonZeroU32::new(7));
    for wrong in ["-1", "many", "4294967296"] {
        assert!(limit(wrong).unwrap_err().to_string().contains("TOKTRA_SIEM_RATE_LIMIT"), "{wrong}");
    }
}

#[test]
fn the_variables_of_the_product_specification_make_a_splunk_connector() {
    let variables = [
        ("SIEM_SPLUNK_HEC_URL", "https://splunk.company.com:8088"),
        ("SIEM_SPLUNK_HEC_TOKEN", "your-hec-token"),
        ("SIEM_SIGNING_SECRET", "your-signing-secret"),
    ];
    let config = load("", &variables).unwrap();
    assert_eq!(config.signing.current.unwrap().expose_secret(), "your-signing-secret");
    let [splunk] = config.connectors.as_slice() else { panic!("one connector") };
    let text = |name| splunk.settings.text(name).unwrap();
    assert_eq!((text("hec_url"), text("index")), ("https://splunk.company.com:8088", "toktra"));
}

#[test]
fn a_file_describes_the_same_connectors_and_the_environment_may_add_their_secrets() {
    let file = r#"
signing_secret = "s"
[datadog]
site = "datadoghq.eu"
send_metrics = false
filter.severity = ["high", "critical"]
[datadog.filter]
event_types = ["lockout"]
"#;
    // A table that is opened twice is TOML's own fault; the second spelling alone is the usual one.
    assert!(load(file, &[]).is_err());
    let file = file
        .replace("filter.severity = [\"high\", \"critical\"]\n", "")
        .replace("[datadog.filter]\n", "[datadog.filter]\nseverity = [\"high\", \"critical\"]\n");
    let config = load(&file, &[("SIEM_DATADOG_API_KEY", "0123456789abcdef0123456789abcdef")]).unwrap();
    let [datadog] = config.connectors.as_slice() else { panic!("one connector") };
    assert!(!datadog.settings.sends(StreamKind::Metrics));
    assert_eq!(datadog.filter.severity, [Severity::High, Severity::Critical]);
    assert_eq!(datadog.filter.event_types, [EventType::Lockout]);
}

#[test]
fn every_fault_is_named_at_once_with_its_place_and_without_secrets() {
    let file = r#"
listen = "localhost:8080"
retenton = "30d"
max_org_backlog = "many"
log = true
[splunk]
hec_token = "hunter2hunter2 with spaces"
indexer_ack = "perhaps"
[splnk]
index = "x"
"#;
    let variables = [
        ("TOKTRA_SIEM_DATABASE_URL", "postgres://toktra:hunter2hunter2@db/toktra"),
        ("TOKTRA_SIEM_API_KEY", SECRET),
        ("TOKTRA_SIEM_ENCRYPTION_KEY", SECRET),
        ("TOKTRA_SIEM_EGRESS_ALLOW", "10.0.0.0/8,internal.example"),
        ("TOKTRA_SIEM_RETENTION", "30d"),
        ("TOKTRA_SIEM_HISTORY_RETENTION", "1w"),
        ("TOKTRA_SIEM_MAX_DISK", "all"),
        ("TOKTRA_SIEM_ADMIN_PASSWORD", SECRET),
        ("SIEM_SIGNING_SECRET_NEXT", SECRET),
        ("SIEM_ELASTICSEARCH_URL", "https://es.example:9200"),
        ("SIEM_ELASTICSEARCH_CLOUD_ID", "x"),
        ("SIEM_ELASTICSEARCH_FILTER_SEVERITY", "high,urgent"),
        ("SIEM_DATADOG_SITE", "datadoghq.example"),
    ];
    let error = load(file, &variables).unwrap_err().to_string();
    assert!(!error.contains(SECRET), "{error}");
    assert_snapshot!("faults", error);
}

#[test]
fn a_key_in_the_place_of_a_certificate_is_not_repeated() {
    let variables = [("SIEM_SPLUNK_HEC_URL", "https://s.example:8088"), ("SIEM_SPLUNK_HEC_TOKEN", "token")];
    for variable in ["SIEM_SPLUNK_TLS_CA", "SIEM_SPLUNK_TLS_CLIENT_CERT"] {
        // The body of a key of an elliptic curve, one with its armour, and one that an editor broke.
        for key in ["MHcCAQEEIcanary", "-----BEGIN EC PRIVATE KEY-----\nMHccanary", "BEGIN-CANARY-----canary"] {
            let given = [variables[0], variables[1], (variable, key)];
            let shown = report::text(&self::values("", &given));
            assert!(!shown.to_lowercase().contains("canary"), "{shown}");
            let error = load("", &given).unwrap_err().to_string();
            assert!(error.contains(variable) && !error.to_lowercase().contains("canary"), "{error}");
        }
    }
}

#[test]
fn a_file_that_is_no_toml_is_reported_by_line_without_its_text() {
    let error =
        load("listen = \"127.0.0.1:1\"\n[splunk\nhec_token = \"hunter2hunter2\"\n", &[]).unwrap_err().to_string();
    assert!(error.contains("toktra-siem.toml, line 2") && !error.contains(SECRET), "{error}");
}

#[test]
fn what_is_there_twice_is_named_and_hides_no_other_fault() {
    let file = "listen = \"127.0.0.1:1\"\nlisten = \"x\"\nbogus = 1\n[splunk]\nindex = \"a\"\n[splunk]\nhec_url = 7\n";
    let error = load(file, &[]).unwrap_err().to_string();
    assert!(error.contains("toktra-siem.toml, line 2, `listen`: is there already"), "{error}");
    assert!(error.contains("line 6, `splunk`: is there already") && error.contains("line 3, `bogus`"), "{error}");
    let syntax = load("retention = 30d\nlisten = [\n", &[]).unwrap_err().to_string();
    assert!(syntax.contains("line 1: is not TOML") && syntax.contains("line 2: is not TOML"), "{syntax}");
}

#[test]
fn unknown_variables_are_noted_by_name_with_the_nearest_known_one() {
    let variables = [
        ("TOKTRA_SIEM_LISTN", SECRET),
        ("SIEM_SPLUNK_TOKEN", SECRET),
        ("SIEM_SOMETHING_ELSE_ENTIRELY", "1"),
        // Kubernetes makes these for a Service of that name.
        ("TOKTRA_SIEM_SERVICE_HOST", "10.0.0.1"),
        ("TOKTRA_SIEM_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("TOKTRA_SIEM_URL", "http://127.0.0.1:8080"),
        ("UNRELATED", "1"),
    ];
    let notes: Vec<String> = load("", &variables).unwrap().notes.iter().map(ToString::to_string).collect();
    assert!(!notes.join("\n").contains(SECRET));
    assert_snapshot!("notes", notes.join("\n"));
}

#[test]
fn the_effective_configuration_masks_every_secret() {
    let file = "retention = \"7d\"\n[elasticsearch]\nurl = \"https://es.example:9200\"\napi_key = \"aWQ6aHVudGVyMmh1bnRlcjI=\"\n";
    let variables = [
        ("TOKTRA_SIEM_API_KEY", "hunter2hunter2hunter2hunter2hunter2"),
        ("TOKTRA_SIEM_DATABASE_URL", "postgres://toktra:hunter2hunter2@db/toktra"),
        ("SIEM_SIGNING_SECRET", SECRET),
    ];
    let shown = report::text(&values(file, &variables));
    assert!(!shown.contains(SECRET) && !shown.contains("aWQ6"), "{shown}");
    assert_snapshot!("effective", shown);
}

#[test]
fn a_named_file_has_to_be_there_the_usual_one_does_not() {
    let none = Environment::default();
    assert!(
        Config::load(Some(Path::new("no/such/file.toml")), &none)
            .unwrap_err()
            .to_string()
            .contains("no/such/file.toml")
    );
    let named = Environment::of([("TOKTRA_SIEM_CONFIG", "no/such/file.toml")]);
    assert!(Config::load(None, &named).is_err());
}

#[test]
fn the_first_admin_needs_an_address_and_a_password_that_is_fit() {
    let faults = |email: &str, password: &str| {
        let variables = [("TOKTRA_SIEM_ADMIN_EMAIL", email), ("TOKTRA_SIEM_ADMIN_PASSWORD", password)];
        load("", &variables).map(|config| config.first_admin.unwrap()).map_err(|error| error.to_string())
    };
    let admin = faults(" Jo@company.com", "correct horse battery").unwrap();
    assert_eq!(admin.email.as_str(), "jo@company.com");
    for (email, password, place) in [
        ("jo", "correct horse battery", "TOKTRA_SIEM_ADMIN_EMAIL"),
        ("jo@company.com", "hunter2", "TOKTRA_SIEM_ADMIN_PASSWORD"),
        ("jo@company.com", "JO@company.com", "TOKTRA_SIEM_ADMIN_PASSWORD"),
        ("jo@company.com", "Password1234", "TOKTRA_SIEM_ADMIN_PASSWORD"),
    ] {
        let error = faults(email, password).unwrap_err();
        assert!(error.contains(place) && !error.contains(password), "{error}");
    }
}

#[test]
fn every_setting_that_knows_its_values_refuses_others_and_says_which_it_knows() {
    for setting in settings::Table::default().all() {
        let choice: Vec<&str>;
        let words: &[&str] = match setting.kind {
            Kind::Text | Kind::Path | Kind::PrivateKey | Kind::Headers => continue,
            Kind::OneOf(words) | Kind::AnyOf(words) => words,
            Kind::Choice(words) => {
                choice = words.iter().map(|(word, _)| *word).collect();
                &choice
            }
            Kind::Flag => &["true", "false"],
            Kind::LogFilter => &["error", "warn", "info", "debug", "trace"],
            Kind::Duration => &["90s", "30d"],
            Kind::Budget => &["10GB", "80%"],
            Kind::Networks => &["10.0.0.0/8"],
            Kind::Address => &["127.0.0.1:8080"],
            Kind::Count => &["number"],
            Kind::Ratio => &["0.01"],
            Kind::Keys => &["64 hex digits"],
            Kind::Proxy => &["http://proxy.company.com:3128"],
            Kind::Hosts => &["10.0.0.0/8", "company.internal"],
            Kind::Url | Kind::Pem => &[],
        };
        let wrong: &[&str] = match setting.kind {
            Kind::Url => &["ftp://x", "http://"],
            Kind::Hosts => &["*", "http://x", "host:8080", "1,x", ","],
            _ => &["verbose", "-1", "1,x"],
        };
        for wrong in wrong {
            let error = load("", &[(&setting.variable, *wrong)]).unwrap_err().to_string();
            assert!(error.contains(&*setting.variable), "{} = {wrong}: {error}", setting.variable);
            assert!(words.iter().all(|word| error.contains(word)), "{} = {wrong}: {error}", setting.variable);
        }
    }
}

/// What the file gives bare counts as the text that it is written as, for every setting alike.
#[test]
fn a_bare_number_or_flag_of_the_file_is_read_as_its_text() {
    for setting in settings::Table::default().all() {
        for scalar in ["0", "1", "30", "1_000", "0.01", "1e-2", "-1", "true", "false"] {
            let with = |value: &str| {
                let loaded = load(&format!("{} = {value}\n", setting.key), &[]);
                loaded.map(|config| format!("{config:?}")).map_err(|error| error.to_string())
            };
            let (bare, text) = (with(scalar), with(&format!("\"{}\"", scalar.replace('_', ""))));
            if setting.secret {
                assert!(
                    bare.as_ref().is_err_and(|why| why.contains("in quotes")),
                    "{} = {scalar}: {bare:?}",
                    setting.key
                );
            } else {
                assert_eq!(bare, text, "{} = {scalar}", setting.key);
            }
        }
    }
    let sample = |value: &str| {
        load(&format!("otlp_endpoint = \"http://127.0.0.1:4318\"\ntraces_sample = {value}\n"), &[])
            .map(|config| config.traces.unwrap().sample)
    };
    for (value, share) in [("0.01", 0.01), ("1", 1.0), ("0", 0.0), ("1e-2", 0.01), ("\"0.5\"", 0.5)] {
        assert!((sample(value).unwrap() - share).abs() < f64::EPSILON, "{value}");
    }
    for wrong in ["1.5", "-0.1", "nan", "inf", "true", "2025-01-01"] {
        assert!(sample(wrong).unwrap_err().to_string().contains("a number from 0 to 1"), "{wrong}");
    }
    let unit = load("retention = 30\nmax_disk = 500\nmax_connections = 0x10\n", &[]).unwrap_err().to_string();
    assert!(unit.contains("`30` cannot be read; give a time with its unit, such as `90s`"), "{unit}");
    assert!(unit.contains("`500` cannot be read; give a size, such as `500MB`"), "{unit}");
    assert!(unit.contains("`max_connections`: must be a whole number"), "{unit}");
}

/// One rule for every setting, wherever it is given, and nothing is repeated of it.
#[test]
fn what_clings_to_a_value_is_refused_or_noted() {
    let clings = [
        ("hunter2\r", "carriage return"),
        ("hunter2hunter2\r\n", "carriage return"),
        ("hunter2\u{7}", "control character"),
        ("\"hunter2hunter2\"", "quotation marks"),
        ("'hunter2hunter2'", "quotation marks"),
    ];
    for setting in settings::Table::default().all() {
        for (text, said) in clings {
            let pem = matches!(setting.kind, Kind::Pem | Kind::PrivateKey);
            if (setting.kind.spans_lines() && text.contains('\r')) || (pem && said == "quotation marks") {
                continue;
            }
            let noted = setting.key.starts_with("signing_secret");
            let rest: &[(&str, &str)] = if noted { &[("SIEM_SIGNING_SECRET", "s")] } else { &[] };
            let given = [rest, &[(&setting.variable, text)]].concat();
            let found = match load("", &given) {
                Ok(config) => {
                    assert!(noted, "{} = {text:?} was taken", setting.variable);
                    config.notes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
                }
                Err(error) => error.to_string(),
            };
            let told = found.contains(&*setting.variable) && found.contains(said);
            assert!(told && !found.contains("hunter2"), "{} = {text:?}: {found}", setting.variable);
            let in_file = format!("{} = {}\n", setting.key, serde_json::Value::from(text));
            assert!(noted || load(&in_file, &[]).unwrap_err().to_string().contains(said), "{in_file}");
        }
    }
}

#[test]
fn a_setting_can_be_a_credential_which_the_environment_overrides() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("TOKTRA_SIEM_API_KEY", &format!("{SECRET}-{SECRET}-{SECRET}\n"));
    write("SIEM_SPLUNK_HEC_TOKEN", SECRET);
    write("SIEM_SIGNING_SECRET", "");
    write("TOKTRA_SIEM_RETENTION", "7d\n");
    write("TOKTRA_SIEM_ADMIN_PASSWRD", SECRET);
    write("somebody-elses", SECRET);
    let file = dir.path().join("toktra-siem.toml");
    std::fs::write(&file, "retention = \"9d\"\n[splunk]\nhec_url = \"https://s.example\"\n").unwrap();
    let with = |more: &[(&str, &str)]| {
        let directory = [("CREDENTIALS_DIRECTORY", dir.path().to_str().unwrap())];
        Values::default().read(Some(&file), &Environment::of([&directory, more].concat()))
    };
    let shown = report::text(&with(&[]));
    assert!(shown.contains("TOKTRA_SIEM_RETENTION") && !shown.contains(SECRET), "{shown}");
    let config = Config::from_values(with(&[])).unwrap();
    assert_eq!(config.api_key.as_ref().unwrap().expose_secret(), format!("{SECRET}-{SECRET}-{SECRET}"));
    assert_eq!(config.lifetimes.payloads.as_secs(), 7 * 86_400);
    assert!(config.signing.current.is_none() && config.connectors.len() == 1);
    let notes = |config: &Config| config.notes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(notes(&config).contains("Did you mean `TOKTRA_SIEM_ADMIN_PASSWORD`"), "{}", notes(&config));
    let config = Config::from_values(with(&[("TOKTRA_SIEM_RETENTION", "3d")])).unwrap();
    assert_eq!(config.lifetimes.payloads.as_secs(), 3 * 86_400);
    assert!(
        notes(&config).contains("is not used, because the variable TOKTRA_SIEM_RETENTION is set too"),
        "{}",
        notes(&config)
    );
    assert!(!notes(&config).contains(SECRET));

    write("TOKTRA_SIEM_API_KEY", "\"in-quotation-marks-0123456789-0123456789\"\n");
    std::fs::create_dir(dir.path().join("SIEM_DATADOG_API_KEY")).unwrap();
    let error = Config::from_values(with(&[])).unwrap_err().to_string();
    assert!(error.contains("TOKTRA_SIEM_API_KEY: begins and ends with quotation marks"), "{error}");
    assert!(error.contains("SIEM_DATADOG_API_KEY: cannot be read"), "{error}");

    let nowhere = Environment::of([("CREDENTIALS_DIRECTORY", "/nowhere/at/all")]);
    let error = Config::from_values(Values::default().read(Some(&file), &nowhere)).unwrap_err().to_string();
    assert!(error.contains("CREDENTIALS_DIRECTORY: names /nowhere/at/all, which cannot be read"), "{error}");
}

#[test]
fn no_directory_is_made_of_what_only_a_shell_understands() {
    let variables = [("TOKTRA_SIEM_DATA_DIR", "~/data"), ("TOKTRA_SIEM_CONFIG", "'toktra-siem.toml'\r")];
    let error = Config::load(None, &Environment::of(variables)).unwrap_err().to_string();
    assert!(error.contains("TOKTRA_SIEM_DATA_DIR: begins with `~`, which only a shell understands"), "{error}");
    assert!(error.contains("TOKTRA_SIEM_CONFIG: ends with a carriage return"), "{error}");
    let file = load("data_dir = \"$HOME/data\"\n", &[]).unwrap_err().to_string();
    assert!(file.contains("line 1, `data_dir`: begins with `$`"), "{file}");
    let splunk = [("SIEM_SPLUNK_HEC_URL", "https://s.example"), ("SIEM_SPLUNK_HEC_TOKEN", "token")];
    let path = load("", &[splunk[0], splunk[1], ("SIEM_SPLUNK_TLS_CA", "~/ca.pem")]).unwrap_err().to_string();
    assert!(path.contains("SIEM_SPLUNK_TLS_CA: begins with `~`"), "{path}");
}

#[test]
fn the_password_of_the_first_admin_is_what_can_be_typed() {
    for password in ["correct horse battery\n", "correct horse battery\r\n", "\"correct horse battery\""] {
        let variables = [("TOKTRA_SIEM_ADMIN_EMAIL", "jo@company.com"), ("TOKTRA_SIEM_ADMIN_PASSWORD", password)];
        let error = load("", &variables).unwrap_err().to_string();
        assert!(error.starts_with("The configuration cannot be used. TOKTRA_SIEM_ADMIN_PASSWORD: "), "{error}");
        assert!(!error.contains("horse"), "{error}");
    }
}

#[test]
fn a_proxy_is_named_with_what_goes_past_it_and_its_password_is_never_shown() {
    let file = r#"
egress_proxy = "http://svc:hunter2hunter2@proxy.company.com:3128"
egress_no_proxy = ["10.0.0.0/8", ".company.internal"]
egress_proxy_dns = "proxy"
"#;
    let config = load(file, &[]).unwrap();
    assert_eq!(config.egress_proxy.as_ref().unwrap().to_string(), "proxy.company.com:3128");
    assert!(config.notes.is_empty(), "{:?}", config.notes);
    for given in ["http://svc:hunter2hunter2@proxy:3128", "svc:hunter2hunter2@proxy:3128"] {
        let shown = report::text(&values("", &[("TOKTRA_SIEM_EGRESS_PROXY", given)]));
        assert!(shown.contains("(set)") && !shown.contains(SECRET), "{shown}");
        let config = load("", &[("TOKTRA_SIEM_EGRESS_PROXY", given)]).unwrap();
        assert!(!format!("{config:?}").contains(SECRET));
    }
    let plain = report::text(&values("", &[("TOKTRA_SIEM_EGRESS_PROXY", "http://proxy:3128")]));
    assert!(plain.contains("= http://proxy:3128"), "{plain}");
    for wrong in ["https://svc:hunter2hunter2@proxy:3128", "http://svc:hunter2hunter2#@proxy:3128", "socks5://proxy:1"]
    {
        let refused = load("", &[("TOKTRA_SIEM_EGRESS_PROXY", wrong)]).unwrap_err().to_string();
        assert!(refused.contains("TOKTRA_SIEM_EGRESS_PROXY") && !refused.contains(SECRET), "{refused}");
    }
}

/// The variables that other programs go by are not used, and that is said.
#[test]
fn a_proxy_of_the_environment_that_is_not_used_is_noted() {
    let notes = |variables: &[(&str, &str)]| -> Vec<String> {
        load("", variables).unwrap().notes.iter().map(ToString::to_string).collect()
    };
    for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        let found = notes(&[(name, "http://svc:hunter2hunter2@proxy:3128")]);
        let [only] = found.as_slice() else { panic!("one note: {found:?}") };
        assert!(only.starts_with(name) && only.contains("TOKTRA_SIEM_EGRESS_PROXY"), "{only}");
        assert!(!only.contains(SECRET), "{only}");
        assert_eq!(notes(&[(name, "http://proxy:1"), ("TOKTRA_SIEM_EGRESS_PROXY", "http://proxy:1")]), [""; 0]);
        assert_eq!(notes(&[(name, "")]), [""; 0]);
    }
    let file = load("egress_proxy = \"http://proxy:1\"\n", &[("HTTPS_PROXY", "http://proxy:2")]).unwrap();
    assert!(file.notes.is_empty());
    let alone = notes(&[("TOKTRA_SIEM_EGRESS_NO_PROXY", "10.0.0.0/8"), ("TOKTRA_SIEM_EGRESS_PROXY_DNS", "proxy")]);
    assert!(alone.len() == 2 && alone.iter().all(|note| note.contains("does nothing")), "{alone:?}");
}

#[test]
fn a_file_with_secrets_that_others_may_read_is_noted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("toktra-siem.toml");
    let notes = |text: &str, mode: u32| {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        Config::from_values(Values::default().read(Some(&file), &Environment::of::<&str, &str>([])))
            .unwrap()
            .notes
            .len()
    };
    let secret = format!("api_key = \"{SECRET}-{SECRET}-{SECRET}\"\n");
    assert_eq!((notes(&secret, 0o644), notes(&secret, 0o640), notes(&secret, 0o600)), (1, 1, 0));
    assert_eq!(notes("retention = \"9d\"\n", 0o644), 0);
}

#[test]
fn the_report_says_how_many_encryption_keys_there_are() {
    let key = "ab".repeat(32);
    let shown = |keys: &str| {
        let given = [("TOKTRA_SIEM_ENCRYPTION_KEY", keys)];
        report::text(&Values::default().read(None, &Environment::of(given)))
    };
    assert!(shown(&format!("{key},{key}")).contains("(set), 2 keys") && !shown(&key).contains("keys"));
}
