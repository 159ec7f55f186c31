//! A first start that is killed at each of its steps: the next one is a first start as any other, or goes on where that one was.
//!
//! A few lines of C take the place of the system's calls: they count what changes the names and the contents of files in the data directory, and
//! what commits to the database, and end the process before the step that was named.

use std::path::{Path, PathBuf};
use std::process::Command;

use toktra_siem_testkit::prelude::*;

/// Its exit code at the step.
const KILLED: i32 = 99;

const SHIM: &str = concat!(
    r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t alone = PTHREAD_MUTEX_INITIALIZER;
static int done;

static void step(const char *what, const char *path) {
    const char *dir = getenv("TOKTRA_SIEM_DATA_DIR"), *end = getenv("KILL_AT"), *list = getenv("KILL_STEPS");
    if (!dir || strncmp(path, dir, strlen(dir))) return;
    /* What SQLite does is its own affair, up to the moment that a commit is on disk. */
    if (strstr(path, "toktra.db") && !(strstr(path, "toktra.db-wal") && !strcmp(what, "sync"))) return;
    pthread_mutex_lock(&alone);
    if (++done == (end ? atoi(end) : 0)) _exit(99);
    int fd = list ? syscall(SYS_openat, AT_FDCWD, list, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
    if (fd >= 0) {
        dprintf(fd, "%s %s\n", what, path);
        close(fd);
    }
    pthread_mutex_unlock(&alone);
}

"#,
    include_str!("../../../../fixtures/shims/calls.c")
);

/// The library that takes the calls' place, in `dir`.
fn shim(dir: &Path) -> PathBuf {
    let (source, shim) = (dir.join("shim.c"), dir.join("shim.so"));
    std::fs::write(&source, SHIM).unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&shim).arg(&source).status();
    assert!(built.unwrap().success());
    shim
}

/// A world whose server has never started, and has to make its keys itself.
fn asleep() -> World {
    World::asleep(setup().env("TOKTRA_SIEM_API_KEY", "").without_account_checks())
}

/// What was handed out works, and nothing of what was begun is left.
async fn stands(world: &mut World, step: usize) {
    let key = world.file("first-api-key").unwrap_or_else(|| panic!("step {step}: no first key"));
    let client = world.with_key(&key);
    client.begin("/v1/events", &event("anomaly", "high")).await;
    let link = world.first_link().unwrap();
    world.anonymous().get(&link[link.find("/setup/").unwrap()..]).await.expect_status(200);
    let names =
        std::fs::read_dir(world.data_dir()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let unfinished: Vec<String> = names.filter(|name| name.contains(".new")).collect();
    assert!(unfinished.is_empty(), "step {step}: {unfinished:?}");
    // Whoever has the key keeps it, and nobody is given another.
    let sealing = world.file("encryption.key");
    world.restart().await;
    assert_eq!((world.file("first-api-key"), world.file("encryption.key")), (Some(key), sealing), "step {step}");
}

#[tokio::test]
async fn a_first_start_that_is_killed_at_any_step_is_followed_by_one_that_stands() {
    let dir = tempfile::tempdir().unwrap();
    let (shim, list) = (shim(dir.path()), dir.path().join("steps"));
    let mut whole = asleep();
    whole.set("LD_PRELOAD", shim.clone());
    whole.set("KILL_STEPS", list.clone());
    whole.again().await;
    whole.end().await;
    let steps = std::fs::read_to_string(&list).unwrap();
    let steps: Vec<&str> = steps.lines().collect();
    let handed_out =
        steps.iter().rposition(|step| step.contains("first-login-link")).expect("the last file that is handed out");
    // One more: what says that the key was handed out.
    for step in 1..=handed_out + 2 {
        let mut world = asleep();
        world.set("LD_PRELOAD", shim.clone());
        world.set("KILL_AT", step.to_string());
        world.refused(KILLED).await;
        world.unset("LD_PRELOAD");
        world.again().await;
        stands(&mut world, step).await;
        world.end().await;
    }
}
