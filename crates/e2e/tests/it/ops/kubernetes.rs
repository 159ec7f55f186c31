//! `ops/kubernetes/`: what Kubernetes' own schemas say of it, what a hardened cluster demands, and whether it agrees with the image.

use tokio::process::Command;
use toktra_siem_config::settings;
use toktra_siem_testkit::prelude::*;
use toktra_siem_testkit::real;

use super::{complaints, ops, read};

/// The newest release with every field, and an older one, since clusters are updated late.
const RELEASES: [&str; 2] = ["1.37", "1.28"];

/// All documents of a file of YAML, as JSON.
const DOCUMENTS: &str = r"
import json, sys, yaml
json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)
";

/// Every document, with unknown members forbidden, against one release.
const VALIDATE: &str = r"
import kubernetes_validate, sys, yaml
for document in yaml.safe_load_all(sys.stdin):
    kubernetes_validate.validate(document, sys.argv[1], strict=True)
";

/// The resources, by kind.
async fn resources() -> Option<Vec<Value>> {
    let mut python = Command::new(real::PYTHON.path()?);
    python.args(["-c", DOCUMENTS]);
    let told = said(python, read("kubernetes/toktra-siem.yaml").as_bytes()).await.done();
    Some(told.json().as_array().unwrap().clone())
}

fn of_kind<'r>(resources: &'r [Value], kind: &str) -> &'r Value {
    resources.iter().find(|resource| resource["kind"] == kind).unwrap_or_else(|| panic!("there is no {kind}"))
}

/// The values of an instruction of the Containerfile.
fn containerfile(instruction: &str) -> Vec<String> {
    let text = read("container/Containerfile").replace("\\\n", " ");
    let (_, last_stage) = text.split_once("FROM scratch").unwrap();
    let lines = last_stage.lines().filter_map(|line| line.strip_prefix(instruction));
    lines.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

#[tokio::test]
async fn kubernetes_takes_the_resources() {
    let Some(python) = real::PYTHON.path() else { return };
    let manifest = read("kubernetes/toktra-siem.yaml");
    for release in RELEASES {
        let validate = ["-c", VALIDATE, release];
        assert_eq!(complaints(&python, &validate, &manifest).await, None, "{release}");
        for (right, wrong) in [("replicas: 1", "replicas: one"), ("readOnlyRootFilesystem:", "readonlyRootFilesystem:")]
        {
            let spoilt = manifest.replacen(right, wrong, 1);
            assert!(complaints(&python, &validate, &spoilt).await.is_some(), "{wrong} is found");
        }
    }
}

#[tokio::test]
async fn the_pod_may_do_nothing_but_its_work() {
    let Some(resources) = resources().await else { return };
    let set = &of_kind(&resources, "StatefulSet")["spec"];
    assert_eq!(set["replicas"], 1, "the store is embedded");
    let pod = &set["template"]["spec"];
    let user = &pod["securityContext"];
    assert_eq!((&user["runAsNonRoot"], &user["seccompProfile"]["type"]), (&json!(true), &json!("RuntimeDefault")));
    let ids = format!("{}:{}", user["runAsUser"], user["runAsGroup"]);
    assert_eq!(containerfile("USER "), [ids]);
    assert_eq!(user["fsGroup"], user["runAsGroup"]);
    assert_eq!((&pod["automountServiceAccountToken"], &pod["enableServiceLinks"]), (&json!(false), &json!(false)));
    for shared in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(pod[shared].is_null(), "{shared}");
    }
    let container = &pod["containers"][0];
    let expected = json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
    });
    assert_eq!(container["securityContext"], expected);
    assert!(container["resources"]["limits"]["memory"].is_string() && container["resources"]["requests"].is_object());

    // A request body in flight is not cut off, and neither is what still delivers.
    let grace = settings::Table::default().by_key("shutdown_grace").unwrap().default.unwrap().trim_end_matches('s');
    assert!(pod["terminationGracePeriodSeconds"].number() > grace.parse().unwrap());

    let policy = &of_kind(&resources, "NetworkPolicy")["spec"];
    assert_eq!(policy["podSelector"]["matchLabels"], set["selector"]["matchLabels"]);
    assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
    for peer in
        policy["egress"].as_array().unwrap().iter().flat_map(|rule| rule["to"].as_array().cloned().unwrap_or_default())
    {
        assert!(
            peer["ipBlock"]["except"].as_array().is_some_and(|nets| !nets.is_empty()),
            "metadata is not reached: {peer}"
        );
    }
}

#[tokio::test]
async fn it_agrees_with_the_image_and_with_the_server() {
    let Some(resources) = resources().await else { return };
    let set = &of_kind(&resources, "StatefulSet")["spec"];
    let template = &set["template"];
    let container = &template["spec"]["containers"][0];
    let image = container["image"].as_str().unwrap();
    assert!(image.ends_with(&format!("/toktra-siem:{}", env!("CARGO_PKG_VERSION"))), "{image}");
    assert_eq!(container["args"], json!(["serve"]), "as CMD of the Containerfile");
    assert_eq!(containerfile("CMD "), [r#"["serve"]"#]);
    let port = containerfile("EXPOSE ")[0].parse::<u64>().unwrap();
    assert_eq!(container["ports"], json!([{"name": "http", "containerPort": port}]));
    let annotations = &template["metadata"]["annotations"];
    assert_eq!(annotations["prometheus.io/port"], port.to_string());
    let service = &of_kind(&resources, "Service")["spec"];
    assert_eq!((service["ports"][0]["port"].number(), &service["ports"][0]["targetPort"]), (port, &json!("http")));
    for selected in [&service["selector"], &set["selector"]["matchLabels"]] {
        for (label, value) in selected.as_object().unwrap() {
            assert_eq!(&template["metadata"]["labels"][label], value, "{label}");
        }
    }
    assert_eq!(set["serviceName"], of_kind(&resources, "Service")["metadata"]["name"]);

    let world = World::start().await;
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let asked = &container[probe]["httpGet"];
        assert_eq!(asked["port"], "http");
        world.anonymous().get(asked["path"].as_str().unwrap()).await.expect_status(200);
    }
    world.anonymous().get(annotations["prometheus.io/path"].as_str().unwrap()).await.expect_status(200);
    world.end().await;

    // What is mounted where the image and the settings expect it.
    let mounts = container["volumeMounts"].as_array().unwrap();
    let mount = |path: &str| mounts.iter().find(|mount| mount["mountPath"] == path).map(|mount| mount["name"].text());
    let data = &set["volumeClaimTemplates"][0]["metadata"]["name"];
    assert_eq!(mount(&containerfile("VOLUME ")[0]).as_deref(), data.as_str());
    let credentials =
        container["env"].as_array().unwrap().iter().find(|env| env["name"] == "CREDENTIALS_DIRECTORY").unwrap();
    assert_eq!(mount(credentials["value"].as_str().unwrap()).as_deref(), Some("secrets"));
    assert_eq!(mount("/tmp").as_deref(), Some("tmp"));
    let table = settings::Table::default();
    for (name, value) in of_kind(&resources, "ConfigMap")["data"].as_object().unwrap() {
        let setting = table.all().find(|setting| setting.variable == name.as_str());
        assert!(setting.is_some_and(|setting| !setting.secret) && value.is_string(), "{name} belongs in the Secret");
    }
}

/// As the kubelet mounts a Secret and a volume: links to a directory that it swaps, a directory of root's that the group may write.
#[tokio::test]
async fn the_server_takes_its_secrets_and_its_volume_as_kubernetes_mounts_them() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let place = tempfile::tempdir().unwrap();
    let (secrets, data) = (place.path().join("secrets"), place.path().join("data"));
    let version = secrets.join("..2026_11_29_00_00_00.1");
    std::fs::create_dir_all(&version).unwrap();
    std::fs::create_dir_all(data.join("lost+found")).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o2775)).unwrap();
    let key = "a-key-that-the-cluster-keeps-0123456789abcdef";
    std::fs::write(version.join("TOKTRA_SIEM_API_KEY"), key).unwrap();
    symlink("..2026_11_29_00_00_00.1", secrets.join("..data")).unwrap();
    symlink("..data/TOKTRA_SIEM_API_KEY", secrets.join("TOKTRA_SIEM_API_KEY")).unwrap();
    let setup = setup().env("TOKTRA_SIEM_API_KEY", "").env("CREDENTIALS_DIRECTORY", secrets.as_os_str());
    // Kubernetes' links to services look like settings, and are none.
    let setup = setup.env("TOKTRA_SIEM_DATA_DIR", data.as_os_str()).env("TOKTRA_SIEM_PORT", "tcp://10.0.0.1:8080");
    let world = World::with(setup).await;
    world.with_key(key).get("/v1/siem/connectors").await.expect_status(200);
    assert!(!world.log().contains("WARN"), "{}", world.log());
    world.end().await;
}

/// Debian's promtool knows no Kubernetes: another way to find targets stands in for it, and everything else is checked.
#[tokio::test]
async fn prometheus_takes_the_job_that_finds_the_pod() {
    let Some(promtool) = real::PROMTOOL.path() else { return };
    let job = std::fs::read_to_string(ops("kubernetes/prometheus.yml")).unwrap();
    assert!(job.contains("job_name: toktra-siem\n"), "rules and dashboard go by that name");
    let standing_in =
        job.replace("kubernetes_sd_configs:", "static_configs:").replace("- role: pod", "- targets: [pod]");
    assert_ne!(standing_in, job);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("prometheus.yml");
    std::fs::write(&path, standing_in).unwrap();
    assert_eq!(complaints(&promtool, &["check", "config", path.to_str().unwrap()], "").await, None);
}
